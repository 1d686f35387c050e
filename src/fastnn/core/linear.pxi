# Linear maps, on arrays of any strides.

cdef inline bint is_matrix(object a):
    """An exact 2-D array of float32 or float64, aligned, native, its strides whole elements."""
    if not cnp.PyArray_CheckExact(a) or cnp.PyArray_NDIM(<ndarray>a) != 2 or not cnp.PyArray_ISBEHAVED_RO(<ndarray>a):
        return False
    cdef int number = cnp.PyArray_TYPE(<ndarray>a), size = cnp.PyArray_ITEMSIZE(<ndarray>a)
    if number != cnp.NPY_FLOAT and number != cnp.NPY_DOUBLE:
        return False
    return cnp.PyArray_STRIDE(<ndarray>a, 0) % size == 0 and cnp.PyArray_STRIDE(<ndarray>a, 1) % size == 0


cdef inline ndarray matrix(object a):
    """A checked 2-D array whose strides are whole elements."""
    return <ndarray>a if is_matrix(a) else plain(a)


cdef struct Strides:
    ptrdiff_t row, col


cdef inline Strides strides_of(ndarray a):
    """In elements; along an axis of length 1, where any stride will do, the one that makes the array contiguous."""
    cdef Strides s
    cdef int size = cnp.PyArray_ITEMSIZE(a)
    s.row = cnp.PyArray_STRIDE(a, 0) // size
    s.col = cnp.PyArray_STRIDE(a, 1) // size
    if cnp.PyArray_DIM(a, 1) == 1:
        s.col = 1
    if cnp.PyArray_DIM(a, 0) == 1:
        s.row = cnp.PyArray_DIM(a, 1) if s.col == 1 else 1
    return s


cdef void multiply(ndarray a, bint a_transposed, ndarray b, bint b_transposed, ndarray bias, ndarray c,
                   bint c_transposed, bint accumulate):
    """C = A B + bias, or +=, each matrix or its transpose; C, so read, has unit column stride."""
    cdef Strides sa = strides_of(a), sb = strides_of(b), sc = strides_of(c)
    cdef size_t m = cnp.PyArray_DIM(a, a_transposed), k = cnp.PyArray_DIM(a, not a_transposed)
    cdef size_t n = cnp.PyArray_DIM(b, not b_transposed)
    if a_transposed:
        sa.row, sa.col = sa.col, sa.row
    if b_transposed:
        sb.row, sb.col = sb.col, sb.row
    cdef ptrdiff_t c_row = sc.col if c_transposed else sc.row
    cdef int type = type_of(c)
    cdef void *pa = data(a)
    cdef void *pb = data(b)
    cdef void *pbias = data(bias)
    cdef void *pc = data(c)
    if m and n:
        with nogil:
            fnn_gemm(type, pa, sa.row, sa.col, pb, sb.row, sb.col, pbias, pc, c_row, m, n, k, accumulate)


cdef inline ndarray empty_matrix(cnp.npy_intp rows, cnp.npy_intp cols, int number):
    cdef cnp.npy_intp[2] dims
    dims[0], dims[1] = rows, cols
    return empty(2, dims, number, rows * cols * (8 if number == cnp.NPY_DOUBLE else 4))


cdef inline bint fit(object a, int a_axis, object b, int b_axis):
    """Both are matrices of one dtype, and those axes have one length."""
    return (is_matrix(a) and is_matrix(b) and cnp.PyArray_TYPE(<ndarray>a) == cnp.PyArray_TYPE(<ndarray>b)
            and cnp.PyArray_DIM(<ndarray>a, a_axis) == cnp.PyArray_DIM(<ndarray>b, b_axis))


def linear_forward(input, weight, bias):
    if not (fit(input, 1, weight, 1) and is_vector(bias, weight, cnp.PyArray_DIM(<ndarray>weight, 0))):
        weight, input, bias, _ = checks.linear("Linear", weight=weight, input=input, bias=bias)
        weight, input, bias = matrix(weight), matrix(input), plain(bias)
    cdef ndarray output = empty_matrix(cnp.PyArray_DIM(input, 0), cnp.PyArray_DIM(weight, 0), cnp.PyArray_TYPE(input))
    multiply(input, False, weight, True, bias, output, False, False)
    return output


def linear_backward_input(grad_output, weight):
    if not fit(grad_output, 1, weight, 0):
        weight, _, _, grad_output = checks.linear("Linear", weight=weight, grad_output=grad_output)
        weight, grad_output = matrix(weight), matrix(grad_output)
    cdef ndarray grad_input = empty_matrix(
        cnp.PyArray_DIM(grad_output, 0), cnp.PyArray_DIM(weight, 1), cnp.PyArray_TYPE(weight))
    multiply(grad_output, False, weight, False, None, grad_input, False, False)
    return grad_input


cdef inline bint is_writeable(object a):
    return a is None or cnp.PyArray_ISWRITEABLE(<ndarray>a)


def linear_backward_params(input, grad_output, grad_weight, grad_bias):
    if not (fit(input, 0, grad_output, 0) and is_matrix(grad_weight)
            and cnp.PyArray_DIM(<ndarray>input, 1) == cnp.PyArray_DIM(<ndarray>grad_weight, 1)
            and cnp.PyArray_DIM(<ndarray>grad_output, 1) == cnp.PyArray_DIM(<ndarray>grad_weight, 0)
            and is_vector(grad_bias, grad_weight, cnp.PyArray_DIM(<ndarray>grad_weight, 0))
            and is_writeable(grad_weight) and is_writeable(grad_bias)):
        checks.updated("Linear", "grad_weight", grad_weight)
        if grad_bias is not None:
            checks.updated("Linear", "grad_bias", grad_bias)
        _, input, _, grad_output = checks.linear(
            "Linear", weight=grad_weight, input=input, bias=grad_bias, grad_output=grad_output)
        input, grad_output = matrix(input), matrix(grad_output)
    cdef ndarray sums = grad_bias
    if not is_matrix(grad_weight) or type_of(grad_weight) != type_of(input):
        grad_weight += _products(grad_output, input)
    elif strides_of(grad_weight).col == 1:
        multiply(grad_output, True, input, False, None, grad_weight, False, True)
    elif strides_of(grad_weight).row == 1:
        multiply(input, True, grad_output, False, None, grad_weight, True, True)
    else:
        grad_weight += _products(grad_output, input)
    if sums is not None and is_vector(sums, grad_output, cnp.PyArray_SIZE(sums)):
        _add_column_sums(plain(grad_output), sums)
    elif sums is not None:
        grad_bias += grad_output.sum(axis=0)


def linear_gradients(input, grad_output, bint transposed):
    if not (fit(input, 0, grad_output, 0)):
        input, grad_output = map(matrix, checks.linear_gradients("Linear", input, grad_output))
    cdef ndarray weight = _products(input, grad_output) if transposed else _products(grad_output, input)
    cdef cnp.npy_intp outputs = cnp.PyArray_DIM(grad_output, 1)
    cdef ndarray bias = <ndarray>cnp.PyArray_ZEROS(1, &outputs, cnp.PyArray_TYPE(grad_output), 0)
    _add_column_sums(plain(grad_output), bias)
    return weight, bias


cdef ndarray _products(ndarray a, ndarray b):
    """a^T b as a fresh matrix; dy^T x also for gradients of a layout or dtype that the kernel cannot add to."""
    cdef ndarray product = empty_matrix(cnp.PyArray_DIM(a, 1), cnp.PyArray_DIM(b, 1), cnp.PyArray_TYPE(a))
    multiply(a, True, b, False, None, product, False, False)
    return product


cdef void _add_column_sums(ndarray x, ndarray sums):
    cdef size_t rows = cnp.PyArray_DIM(x, 0), cols = cnp.PyArray_DIM(x, 1)
    cdef int type = type_of(x)
    cdef void *px = data(x)
    cdef void *ps = data(sums)
    with nogil:
        fnn_column_sums(type, px, ps, rows, cols, cols)
