# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The compiled back end: the operations of reference.py, with the same names, arguments and exceptions.

A definition first tests whether its arguments are plain (exact NumPy arrays of one floating dtype, contiguous, of
matching shapes), a few nanoseconds through NumPy's C interface. Whatever else comes goes through checks.py, which
converts it or raises the line that the reference raises. Then the result is made and the C entry of csrc/fnn.h runs
without the GIL. Kernels cannot fail and read nothing that was not checked here.
"""

from libc.math cimport pow, sqrt
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

cimport numpy as cnp
from numpy cimport ndarray

import numpy as np

from . import checks

cnp.import_array()

cdef extern from "fnn.h" nogil:
    enum: FNN_TYPE_F32, FNN_TYPE_F64, FNN_SUM_CHUNK, FNN_DROPOUT_CHUNK, FNN_UNARY_COUNT, FNN_LOSS_COUNT
    const char *fnn_unary_names[]
    const char *fnn_loss_names[]
    const char *fnn_isa_names[]
    const int fnn_isa_count
    int fnn_isa_supported(int isa)
    int fnn_isa()
    void fnn_set_isa(int isa)
    int fnn_has_blas()
    const char *fnn_blas_config()
    int fnn_gemm_provider()
    void fnn_set_gemm_provider(int provider)
    int fnn_has_openmp()
    int fnn_num_threads()
    void fnn_set_num_threads(int count)
    void fnn_set_thread_limit(int limit)
    void fnn_init()

    void fnn_gemm(int type, const void *a, ptrdiff_t a_row, ptrdiff_t a_col, const void *b, ptrdiff_t b_row,
                  ptrdiff_t b_col, const void *bias, void *c, ptrdiff_t c_row, size_t m, size_t n, size_t k,
                  int accumulate)
    void fnn_unary_forward(int type, int kind, const void *x, void *y, double a, double b, size_t n)
    void fnn_unary_backward(int type, int kind, const void *x, const void *dy, void *dx, double a, double b, size_t n)
    void fnn_softmax_forward(int type, const void *x, void *y, size_t cols, size_t rows)
    void fnn_softmax_backward(int type, const void *x, const void *dy, void *dx, size_t cols, size_t rows)
    void fnn_log_softmax_forward(int type, const void *x, void *y, size_t cols, size_t rows)
    void fnn_log_softmax_backward(int type, const void *x, const void *dy, void *dx, size_t cols, size_t rows)
    void fnn_column_sums(int type, const void *x, void *sums, size_t rows, size_t cols, size_t units)
    void fnn_channel_scale_forward(int type, const void *x, const void *w, const void *b, void *y, size_t cols,
                                   size_t rows)
    void fnn_channel_scale_backward(int type, const void *x, const void *w, const void *dy, void *dx, void *dw,
                                    void *db, size_t rows, size_t cols, size_t units)
    void fnn_batch_norm_forward(int type, const void *x, const void *w, const void *b, void *y, void *mean, void *var,
                                size_t rows, size_t cols, double eps, size_t units)
    void fnn_batch_norm_backward(int type, const void *x, const void *w, const void *dy, void *dx, void *dw, void *db,
                                 size_t rows, size_t cols, double eps, size_t units)
    void fnn_batch_norm_inference(int type, const void *x, const void *mean, const void *var, const void *w,
                                  const void *b, void *y, size_t rows, size_t cols, double eps, size_t units)
    void fnn_batch_norm_inference_backward(int type, const void *x, const void *mean, const void *var, const void *w,
                                           const void *dy, void *dx, void *dw, void *db, size_t rows, size_t cols,
                                           double eps, size_t units)
    void fnn_dropout_bits(int type, uint16_t *bits, size_t size, uint64_t seed, uint64_t offset, size_t chunks)
    void fnn_dropout(int type, const void *x, void *y, size_t size, uint32_t threshold, double scale, uint64_t seed,
                     uint64_t offset, size_t chunks)
    void fnn_loss_forward(int type, int kind, const void *x, const void *t, double *partial, size_t size, double a,
                          size_t chunks)
    void fnn_loss_backward(int type, int kind, const void *x, const void *t, void *dx, double a, double scale,
                           size_t n)
    void fnn_nll(int type, const void *x, const int64_t *labels, const void *targets, const void *weight,
                 double *losses, void *dx, size_t cols, int64_t ignore_index, double scale, size_t rows)
    void fnn_cross_entropy(int type, const void *x, const int64_t *labels, const void *targets, const void *weight,
                           double *losses, void *dx, size_t cols, int64_t ignore_index, double smoothing,
                           double scale, size_t rows)
    void fnn_sgd_update(int type, void *p, const void *g, void *v, double lr, double momentum, double dampening,
                        double weight_decay, int nesterov, int first, size_t n)
    void fnn_adam_update(int type, void *p, const void *g, void *m, void *v, void *v_max, double shrink,
                         double weight_decay, double beta1, double beta2, double step_size, double root_scale,
                         double eps, size_t n)
    void fnn_rmsprop_update(int type, void *p, const void *g, void *square_mean, void *grad_mean, void *velocity,
                            double lr, double alpha, double eps, double weight_decay, double momentum, size_t n)
    void fnn_adagrad_update(int type, void *p, const void *g, void *square_sum, double lr, double eps,
                            double weight_decay, size_t n)
    void fnn_square_sum(int type, const void *x, double *partial, size_t size, size_t chunks)
    void fnn_scale(int type, void *x, double factor, size_t n)
    void fnn_clip(int type, void *x, double low, double high, size_t n)


# ---------------------------------------------------------------------------------------------------------------
# Arrays: what is plain, and how to make it so. The NumPy C interface costs 1 to 2 ns a question where a typed
# memoryview costs 0.5 to 1 us an argument.
# ---------------------------------------------------------------------------------------------------------------

cdef inline bint is_plain(object a):
    """An exact array of float32 or float64, aligned, native, contiguous in C order."""
    if not cnp.PyArray_CheckExact(a) or not cnp.PyArray_ISCARRAY_RO(<ndarray>a):
        return False
    cdef int number = cnp.PyArray_TYPE(<ndarray>a)
    return number == cnp.NPY_FLOAT or number == cnp.NPY_DOUBLE


cdef inline bint is_like(object a, ndarray b):
    """As plain as b, which is, and of its dtype and shape."""
    return is_plain(a) and cnp.PyArray_TYPE(<ndarray>a) == cnp.PyArray_TYPE(b) and cnp.PyArray_SAMESHAPE(<ndarray>a, b)


cdef inline bint is_vector(object a, ndarray b, cnp.npy_intp size):
    """None, or plain, of the dtype of b, and of shape (size,)."""
    if a is None:
        return True
    return (is_plain(a) and cnp.PyArray_TYPE(<ndarray>a) == cnp.PyArray_TYPE(b)
            and cnp.PyArray_NDIM(<ndarray>a) == 1 and cnp.PyArray_DIM(<ndarray>a, 0) == size)


cdef inline ndarray plain(object a):
    """A checked array, contiguous in C order; None stays None."""
    return None if a is None else <ndarray>cnp.PyArray_GETCONTIGUOUS(<ndarray>a)


cdef inline int type_of(ndarray a) noexcept nogil:
    return FNN_TYPE_F64 if cnp.PyArray_TYPE(a) == cnp.NPY_DOUBLE else FNN_TYPE_F32


cdef inline void *data(ndarray a) noexcept nogil:
    return NULL if a is None else cnp.PyArray_DATA(a)


cdef inline ndarray empty_like(ndarray a):
    return <ndarray>cnp.PyArray_EMPTY(cnp.PyArray_NDIM(a), cnp.PyArray_DIMS(a), cnp.PyArray_TYPE(a), 0)


cdef inline ndarray empty_vector(cnp.npy_intp size, int number):
    return <ndarray>cnp.PyArray_EMPTY(1, &size, number, 0)


cdef inline double total(ndarray partial):
    """The sum of a (n,) float64 array, in order."""
    cdef double *p = <double *>cnp.PyArray_DATA(partial)
    cdef double sum = 0
    cdef cnp.npy_intp i
    for i in range(cnp.PyArray_SIZE(partial)):
        sum += p[i]
    return sum


cdef inline size_t chunks_of(ndarray a, size_t chunk) noexcept nogil:
    return (<size_t>cnp.PyArray_SIZE(a) + chunk - 1) // chunk


# ---------------------------------------------------------------------------------------------------------------
# Linear maps: any strides
# ---------------------------------------------------------------------------------------------------------------

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
    return <ndarray>cnp.PyArray_EMPTY(2, dims, number, 0)


cdef inline bint fit(object a, int a_axis, object b, int b_axis):
    """Both are matrices of one dtype, and those axes have one length."""
    return (is_matrix(a) and is_matrix(b) and cnp.PyArray_TYPE(<ndarray>a) == cnp.PyArray_TYPE(<ndarray>b)
            and cnp.PyArray_DIM(<ndarray>a, a_axis) == cnp.PyArray_DIM(<ndarray>b, b_axis))


def linear_forward(input, weight, bias):
    if not (fit(input, 1, weight, 1) and is_vector(bias, weight, cnp.PyArray_DIM(<ndarray>weight, 0))):
        weight, input, bias, _ = checks.linear("Linear", weight, input=input, bias=bias)
        weight, input, bias = matrix(weight), matrix(input), plain(bias)
    cdef ndarray output = empty_matrix(cnp.PyArray_DIM(input, 0), cnp.PyArray_DIM(weight, 0), cnp.PyArray_TYPE(input))
    multiply(input, False, weight, True, bias, output, False, False)
    return output


def linear_backward_input(grad_output, weight):
    if not fit(grad_output, 1, weight, 0):
        weight, _, _, grad_output = checks.linear("Linear", weight, grad_output=grad_output)
        weight, grad_output = matrix(weight), matrix(grad_output)
    cdef ndarray grad_input = empty_matrix(
        cnp.PyArray_DIM(grad_output, 0), cnp.PyArray_DIM(weight, 1), cnp.PyArray_TYPE(weight))
    multiply(grad_output, False, weight, False, None, grad_input, False, False)
    return grad_input


cdef inline bint is_writeable(object a):
    return a is None or cnp.PyArray_ISWRITEABLE(<ndarray>a)


def linear_backward_params(input, grad_output, grad_weight, grad_bias):
    if not (fit(input, 1, grad_weight, 1) and fit(grad_output, 1, grad_weight, 0) and fit(input, 0, grad_output, 0)
            and is_vector(grad_bias, grad_weight, cnp.PyArray_DIM(<ndarray>grad_weight, 0))
            and is_writeable(grad_weight) and is_writeable(grad_bias)):
        checks.updated("Linear", "grad_weight", grad_weight)
        if grad_bias is not None:
            checks.updated("Linear", "grad_bias", grad_bias)
        _, input, _, grad_output = checks.linear(
            "Linear", grad_weight, input=input, bias=grad_bias, grad_output=grad_output)
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


cdef ndarray _products(ndarray grad_output, ndarray input):
    """dy^T x as a fresh matrix, for gradients of a layout or dtype that the kernel cannot add to."""
    cdef ndarray product = empty_matrix(
        cnp.PyArray_DIM(grad_output, 1), cnp.PyArray_DIM(input, 1), cnp.PyArray_TYPE(input))
    multiply(grad_output, True, input, False, None, product, False, False)
    return product


cdef void _add_column_sums(ndarray x, ndarray sums):
    cdef size_t rows = cnp.PyArray_DIM(x, 0), cols = cnp.PyArray_DIM(x, 1)
    cdef int type = type_of(x)
    cdef void *px = data(x)
    cdef void *ps = data(sums)
    with nogil:
        fnn_column_sums(type, px, ps, rows, cols, cols)


# ---------------------------------------------------------------------------------------------------------------
# Elementwise activations
# ---------------------------------------------------------------------------------------------------------------

cdef dict UNARY_KINDS = {(<bytes>fnn_unary_names[i]).decode(): i for i in range(FNN_UNARY_COUNT)}


def unary_forward(name, input, double a=0.0, double b=0.0):
    cdef int kind = UNARY_KINDS[name]
    cdef ndarray x = input if is_plain(input) else plain(checks.elementwise(name, input=input)[0])
    cdef ndarray y = empty_like(x)
    cdef int type = type_of(x)
    cdef size_t n = cnp.PyArray_SIZE(x)
    cdef void *px = data(x)
    cdef void *py = data(y)
    with nogil:
        fnn_unary_forward(type, kind, px, py, a, b, n)
    return y


def unary_backward(name, input, grad_output, double a=0.0, double b=0.0):
    cdef int kind = UNARY_KINDS[name]
    if not (is_plain(input) and is_like(grad_output, input)):
        input, grad_output = map(plain, checks.elementwise(name, input=input, grad_output=grad_output))
    cdef ndarray dx = empty_like(input)
    cdef int type = type_of(dx)
    cdef size_t n = cnp.PyArray_SIZE(dx)
    cdef void *px = data(input)
    cdef void *pdy = data(grad_output)
    cdef void *pdx = data(dx)
    with nogil:
        fnn_unary_backward(type, kind, px, pdy, pdx, a, b, n)
    return dx


# ---------------------------------------------------------------------------------------------------------------
# Softmax over the last axis
# ---------------------------------------------------------------------------------------------------------------

ctypedef void (*RowsForward)(int, const void *, void *, size_t, size_t) noexcept nogil
ctypedef void (*RowsBackward)(int, const void *, const void *, void *, size_t, size_t) noexcept nogil


cdef ndarray _rows_forward(str where, object input, RowsForward run):
    cdef ndarray x = input if is_plain(input) and cnp.PyArray_NDIM(<ndarray>input) else plain(
        checks.rows(where, input=input)[0])
    cdef ndarray y = empty_like(x)
    cdef int type = type_of(x)
    cdef size_t size = cnp.PyArray_SIZE(x), cols = cnp.PyArray_DIM(x, cnp.PyArray_NDIM(x) - 1)
    cdef void *px = data(x)
    cdef void *py = data(y)
    if size:
        with nogil:
            run(type, px, py, cols, size // cols)
    return y


cdef ndarray _rows_backward(str where, object input, object grad_output, RowsBackward run):
    if not (is_plain(input) and cnp.PyArray_NDIM(<ndarray>input) and is_like(grad_output, input)):
        input, grad_output = map(plain, checks.rows(where, input=input, grad_output=grad_output))
    cdef ndarray dx = empty_like(input)
    cdef int type = type_of(dx)
    cdef size_t size = cnp.PyArray_SIZE(dx), cols = cnp.PyArray_DIM(dx, cnp.PyArray_NDIM(dx) - 1)
    cdef void *px = data(input)
    cdef void *pdy = data(grad_output)
    cdef void *pdx = data(dx)
    if size:
        with nogil:
            run(type, px, pdy, pdx, cols, size // cols)
    return dx


def softmax_forward(input):
    return _rows_forward("Softmax", input, fnn_softmax_forward)


def softmax_backward(input, grad_output):
    return _rows_backward("Softmax", input, grad_output, fnn_softmax_backward)


def log_softmax_forward(input):
    return _rows_forward("LogSoftmax", input, fnn_log_softmax_forward)


def log_softmax_backward(input, grad_output):
    return _rows_backward("LogSoftmax", input, grad_output, fnn_log_softmax_backward)


# ---------------------------------------------------------------------------------------------------------------
# Per channel. The kernels take (rows, channels); (N, C, L) is brought to (N L, C) and back.
# ---------------------------------------------------------------------------------------------------------------

cdef ndarray _channels_last(ndarray x):
    return x if x is None or cnp.PyArray_NDIM(x) == 2 else plain(x.transpose(0, 2, 1))


cdef ndarray _channels_second(ndarray x):
    return x if cnp.PyArray_NDIM(x) == 2 else plain(x.transpose(0, 2, 1))


cdef list _channel_arrays(str where, object input, object grad_output, dict vectors):
    """input and grad_output as (N, C) or (N, L, C), then the vectors; all plain."""
    cdef cnp.npy_intp channels
    if is_plain(input) and cnp.PyArray_NDIM(<ndarray>input) == 2:
        channels = cnp.PyArray_DIM(<ndarray>input, 1)
        if grad_output is None or is_like(grad_output, input):
            if all([is_vector(v, input, channels) for v in vectors.values()]):
                return [input, grad_output, *vectors.values()]
    arrays = [plain(a) for a in checks.channels(where, input, grad_output, **vectors)]
    return [_channels_last(arrays[0]), _channels_last(arrays[1]), *arrays[2:]]


cdef inline size_t channels_of(ndarray x) noexcept nogil:
    return cnp.PyArray_DIM(x, cnp.PyArray_NDIM(x) - 1)


cdef inline size_t rows_of(ndarray x) noexcept nogil:
    return cnp.PyArray_SIZE(x) // channels_of(x) if channels_of(x) else 0


def channel_scale_forward(input, weight, bias):
    cdef ndarray x, w, b, y
    x, _, w, b = _channel_arrays("ChannelwiseScale", input, None, {"weight": weight, "bias": bias})
    y = empty_like(x)
    if rows_of(x):
        fnn_channel_scale_forward(type_of(x), data(x), data(w), data(b), data(y), channels_of(x), rows_of(x))
    return _channels_second(y)


def channel_scale_backward(input, weight, grad_output):
    cdef ndarray x, dy, w, dx, dw, db
    x, dy, w = _channel_arrays("ChannelwiseScale", input, grad_output, {"weight": weight})
    dx = empty_like(x)
    dw, db = _channel_vectors(x)
    if rows_of(x):
        fnn_channel_scale_backward(type_of(x), data(x), data(w), data(dy), data(dx), data(dw), data(db), rows_of(x),
                                   channels_of(x), channels_of(x))
    return _channels_second(dx), dw, db


cdef tuple _channel_vectors(ndarray x):
    """Two vectors of zeros, one element a channel."""
    cdef cnp.npy_intp channels = channels_of(x)
    return (cnp.PyArray_ZEROS(1, &channels, cnp.PyArray_TYPE(x), 0),
            cnp.PyArray_ZEROS(1, &channels, cnp.PyArray_TYPE(x), 0))


def batch_norm_forward(input, weight, bias, double eps):
    cdef ndarray x, w, b, y, mean, var
    x, _, w, b = _channel_arrays("BatchNorm1d", input, None, {"weight": weight, "bias": bias})
    y = empty_like(x)
    mean, var = _channel_vectors(x)
    cdef size_t rows = rows_of(x), cols = channels_of(x)
    cdef int type = type_of(x)
    if rows:
        with nogil:
            fnn_batch_norm_forward(type, data(x), data(w), data(b), data(y), data(mean), data(var), rows, cols, eps,
                                   cols)
    return _channels_second(y), mean, var


def batch_norm_backward(input, weight, grad_output, double eps):
    cdef ndarray x, dy, w, dx, dw, db
    x, dy, w = _channel_arrays("BatchNorm1d", input, grad_output, {"weight": weight})
    dx = empty_like(x)
    dw, db = _channel_vectors(x)
    cdef size_t rows = rows_of(x), cols = channels_of(x)
    cdef int type = type_of(x)
    if rows:
        with nogil:
            fnn_batch_norm_backward(type, data(x), data(w), data(dy), data(dx), data(dw), data(db), rows, cols, eps,
                                    cols)
    return _channels_second(dx), dw, db


def batch_norm_inference(input, mean, var, weight, bias, double eps):
    cdef ndarray x, m, v, w, b, y
    x, _, m, v, w, b = _channel_arrays(
        "BatchNorm1d", input, None, {"mean": mean, "var": var, "weight": weight, "bias": bias})
    y = empty_like(x)
    cdef size_t rows = rows_of(x), cols = channels_of(x)
    cdef int type = type_of(x)
    if rows:
        with nogil:
            fnn_batch_norm_inference(type, data(x), data(m), data(v), data(w), data(b), data(y), rows, cols, eps, cols)
    return _channels_second(y)


def batch_norm_inference_backward(input, mean, var, weight, grad_output, double eps):
    cdef ndarray x, dy, m, v, w, dx, dw, db
    x, dy, m, v, w = _channel_arrays(
        "BatchNorm1d", input, grad_output, {"mean": mean, "var": var, "weight": weight})
    dx = empty_like(x)
    dw, db = _channel_vectors(x)
    cdef size_t rows = rows_of(x), cols = channels_of(x)
    cdef int type = type_of(x)
    if rows:
        with nogil:
            fnn_batch_norm_inference_backward(type, data(x), data(m), data(v), data(w), data(dy), data(dx), data(dw),
                                              data(db), rows, cols, eps, cols)
    return _channels_second(dx), dw, db


# ---------------------------------------------------------------------------------------------------------------
# Dropout
# ---------------------------------------------------------------------------------------------------------------

cdef object MASK64 = 0xFFFFFFFFFFFFFFFF


def dropout_bits(cnp.npy_intp size, seed, offset):
    cdef ndarray bits = empty_vector(size, cnp.NPY_UINT16)
    cdef uint64_t key = seed & MASK64, high = offset & MASK64
    with nogil:
        fnn_dropout_bits(FNN_TYPE_F32, <uint16_t *>data(bits), size, key, high, chunks_of(bits, FNN_DROPOUT_CHUNK))
    return bits


def dropout(input, p, seed, offset):
    cdef ndarray x = input if is_plain(input) else plain(checks.elementwise("Dropout", input=input)[0])
    cdef double drop = checks.probability("Dropout", p)
    cdef uint32_t threshold = round(65536 * drop)
    cdef uint64_t key = seed & MASK64, high = offset & MASK64
    cdef ndarray y = empty_like(x)
    cdef int type = type_of(x)
    cdef size_t size = cnp.PyArray_SIZE(x)
    with nogil:
        fnn_dropout(type, data(x), data(y), size, threshold, 1 / (1 - drop), key, high,
                    chunks_of(x, FNN_DROPOUT_CHUNK))
    return y


# ---------------------------------------------------------------------------------------------------------------
# Losses
# ---------------------------------------------------------------------------------------------------------------

cdef dict LOSS_KINDS = {(<bytes>fnn_loss_names[i]).decode(): i for i in range(FNN_LOSS_COUNT)}


def loss_forward(name, input, target, double a=0.0):
    cdef int kind = LOSS_KINDS[name]
    if not (is_plain(input) and is_like(target, input)):
        input, target = map(plain, checks.elementwise(name, input=input, target=target))
    cdef ndarray x = input, t = target
    cdef ndarray partial = empty_vector(chunks_of(x, FNN_SUM_CHUNK), cnp.NPY_DOUBLE)
    cdef int type = type_of(x)
    cdef size_t size = cnp.PyArray_SIZE(x)
    with nogil:
        fnn_loss_forward(type, kind, data(x), data(t), <double *>data(partial), size, a, chunks_of(x, FNN_SUM_CHUNK))
    return total(partial)


def loss_backward(name, input, target, double scale, double a=0.0):
    cdef int kind = LOSS_KINDS[name]
    if not (is_plain(input) and is_like(target, input)):
        input, target = map(plain, checks.elementwise(name, input=input, target=target))
    cdef ndarray x = input, t = target, dx = empty_like(input)
    cdef int type = type_of(x)
    cdef size_t size = cnp.PyArray_SIZE(x)
    with nogil:
        fnn_loss_backward(type, kind, data(x), data(t), data(dx), a, scale, size)
    return dx


cdef bint _labels_fit(ndarray labels, int64_t classes, int64_t ignore_index) noexcept:
    cdef const int64_t *label = <const int64_t *>data(labels)
    cdef cnp.npy_intp i
    for i in range(cnp.PyArray_SIZE(labels)):
        if (label[i] < 0 or label[i] >= classes) and label[i] != ignore_index:
            return False
    return True


cdef tuple _classes(str where, object input, object target, object weight, int64_t ignore_index):
    """input, labels or None, rows or None, weight or None, all plain; as checks.classes."""
    if (is_plain(input) and cnp.PyArray_NDIM(<ndarray>input) == 2
            and is_vector(weight, input, cnp.PyArray_DIM(<ndarray>input, 1))
            and cnp.PyArray_CheckExact(target) and cnp.PyArray_TYPE(<ndarray>target) == cnp.NPY_INT64
            and cnp.PyArray_ISCARRAY_RO(<ndarray>target) and cnp.PyArray_NDIM(<ndarray>target) == 1
            and cnp.PyArray_DIM(<ndarray>target, 0) == cnp.PyArray_DIM(<ndarray>input, 0)
            and _labels_fit(target, cnp.PyArray_DIM(<ndarray>input, 1), ignore_index)):
        return input, target, None, weight
    return tuple([plain(a) for a in checks.classes(where, input, target, weight, ignore_index)])


cdef double _total_weight(ndarray x, ndarray labels, ndarray weight, int64_t ignore_index) noexcept:
    """The sum of the labels' class weights, or the number of rows."""
    cdef double sum = 0
    cdef cnp.npy_intp i
    cdef const int64_t *label
    if labels is None:
        return cnp.PyArray_DIM(x, 0)
    label = <const int64_t *>data(labels)
    for i in range(cnp.PyArray_SIZE(labels)):
        if label[i] == ignore_index:
            continue
        if weight is None:
            sum += 1
        elif cnp.PyArray_TYPE(weight) == cnp.NPY_DOUBLE:
            sum += (<const double *>data(weight))[label[i]]
        else:
            sum += (<const float *>data(weight))[label[i]]
    return sum


def nll_forward(input, target, weight=None, int64_t ignore_index=-100):
    cdef ndarray x, labels, rows, w
    x, labels, rows, w = _classes("NLLLoss", input, target, weight, ignore_index)
    cdef size_t n = cnp.PyArray_DIM(x, 0), cols = cnp.PyArray_DIM(x, 1)
    cdef ndarray losses = empty_vector(n, cnp.NPY_DOUBLE)
    cdef int type = type_of(x)
    with nogil:
        fnn_nll(type, data(x), <const int64_t *>data(labels), data(rows), data(w), <double *>data(losses), NULL, cols,
                ignore_index, 0, n)
    return total(losses), _total_weight(x, labels, w, ignore_index)


def nll_backward(input, target, double scale, weight=None, int64_t ignore_index=-100):
    cdef ndarray x, labels, rows, w
    x, labels, rows, w = _classes("NLLLoss", input, target, weight, ignore_index)
    cdef size_t n = cnp.PyArray_DIM(x, 0), cols = cnp.PyArray_DIM(x, 1)
    cdef ndarray dx = empty_like(x)
    cdef int type = type_of(x)
    with nogil:
        fnn_nll(type, data(x), <const int64_t *>data(labels), data(rows), data(w), NULL, data(dx), cols, ignore_index,
                scale, n)
    return dx


def cross_entropy_forward(input, target, weight=None, int64_t ignore_index=-100, double label_smoothing=0.0):
    cdef ndarray x, labels, rows, w
    x, labels, rows, w = _classes("CrossEntropyLoss", input, target, weight, ignore_index)
    cdef size_t n = cnp.PyArray_DIM(x, 0), cols = cnp.PyArray_DIM(x, 1)
    cdef ndarray losses = empty_vector(n, cnp.NPY_DOUBLE)
    cdef int type = type_of(x)
    with nogil:
        fnn_cross_entropy(type, data(x), <const int64_t *>data(labels), data(rows), data(w), <double *>data(losses),
                          NULL, cols, ignore_index, label_smoothing, 0, n)
    return total(losses), _total_weight(x, labels, w, ignore_index)


def cross_entropy_backward(input, target, double scale, weight=None, int64_t ignore_index=-100,
                           double label_smoothing=0.0):
    cdef ndarray x, labels, rows, w
    x, labels, rows, w = _classes("CrossEntropyLoss", input, target, weight, ignore_index)
    cdef size_t n = cnp.PyArray_DIM(x, 0), cols = cnp.PyArray_DIM(x, 1)
    cdef ndarray dx = empty_like(x)
    cdef int type = type_of(x)
    with nogil:
        fnn_cross_entropy(type, data(x), <const int64_t *>data(labels), data(rows), data(w), NULL, data(dx), cols,
                          ignore_index, label_smoothing, scale, n)
    return dx


# ---------------------------------------------------------------------------------------------------------------
# Optimisers, in place: an element's update does not depend on its neighbours, so the arrays may have any layout that
# all of them share.
# ---------------------------------------------------------------------------------------------------------------

cdef bint _aligned_alike(list arrays):
    """All are written or read as one run of memory, in the same order of elements."""
    cdef ndarray a
    cdef bint c_order = True, f_order = True
    for a in arrays:
        if a is not None:
            if not cnp.PyArray_ISBEHAVED_RO(a):
                return False
            c_order = c_order and cnp.PyArray_IS_C_CONTIGUOUS(a)
            f_order = f_order and cnp.PyArray_IS_F_CONTIGUOUS(a)
    return c_order or f_order


cdef class _Update:
    """The arrays of an update as runs of memory; `finish` writes copies back where the layouts did not allow it."""

    cdef list given, used
    cdef int type
    cdef size_t size

    def __init__(self, where, param, grad, **states):
        self.given = checks.update(where, param, grad, **states)
        self.used = self.given if _aligned_alike(self.given) else [
            None if a is None else np.array(a, order="C") for a in self.given]
        self.type = type_of(self.used[0])
        self.size = cnp.PyArray_SIZE(self.used[0])

    cdef void *at(self, int i):
        return data(self.used[i])

    cdef finish(self):
        if self.used is not self.given:
            for given, used in zip(self.given, self.used):
                if given is not None and given is not self.given[1]:
                    given[...] = used


def sgd_update(param, grad, velocity, double lr, double momentum, double dampening, double weight_decay,
               bint nesterov, bint first):
    cdef _Update u = _Update("SGD", param, grad, velocity=velocity)
    fnn_sgd_update(u.type, u.at(0), u.at(1), u.at(2), lr, momentum, dampening, weight_decay, nesterov, first, u.size)
    u.finish()


def adam_update(param, grad, m, v, v_max, double lr, double beta1, double beta2, double eps, double weight_decay,
                bint decoupled, long step):
    cdef _Update u = _Update("Adam", param, grad, m=m, v=v, v_max=v_max)
    cdef double shrink = 1 - lr * weight_decay if decoupled else 1
    cdef double decay = 0 if decoupled else weight_decay
    fnn_adam_update(u.type, u.at(0), u.at(1), u.at(2), u.at(3), u.at(4), shrink, decay, beta1, beta2,
                    lr / (1 - pow(beta1, step)), 1 / sqrt(1 - pow(beta2, step)), eps, u.size)
    u.finish()


def rmsprop_update(param, grad, square_mean, grad_mean, velocity, double lr, double alpha, double eps,
                   double weight_decay, double momentum):
    cdef _Update u = _Update("RMSprop", param, grad, square_mean=square_mean, grad_mean=grad_mean, velocity=velocity)
    fnn_rmsprop_update(u.type, u.at(0), u.at(1), u.at(2), u.at(3), u.at(4), lr, alpha, eps, weight_decay, momentum,
                       u.size)
    u.finish()


def adagrad_update(param, grad, square_sum, double lr, double eps, double weight_decay):
    cdef _Update u = _Update("Adagrad", param, grad, square_sum=square_sum)
    fnn_adagrad_update(u.type, u.at(0), u.at(1), u.at(2), lr, eps, weight_decay, u.size)
    u.finish()


def square_sum(array):
    cdef ndarray x = array if is_plain(array) else plain(checks.floating("square_sum", "array", array))
    cdef ndarray partial = empty_vector(chunks_of(x, FNN_SUM_CHUNK), cnp.NPY_DOUBLE)
    cdef int type = type_of(x)
    cdef size_t size = cnp.PyArray_SIZE(x)
    with nogil:
        fnn_square_sum(type, data(x), <double *>data(partial), size, chunks_of(x, FNN_SUM_CHUNK))
    return total(partial)


def scale_(array, double factor):
    cdef ndarray x = checks.updated("scale_", "array", array)
    if not _aligned_alike([x]):
        x *= x.dtype.type(factor)
        return
    fnn_scale(type_of(x), data(x), factor, cnp.PyArray_SIZE(x))


def clip_(array, double low, double high):
    cdef ndarray x = checks.updated("clip_", "array", array)
    if not _aligned_alike([x]):
        np.clip(x, low, high, out=x)
        return
    fnn_clip(type_of(x), data(x), low, high, cnp.PyArray_SIZE(x))


# ---------------------------------------------------------------------------------------------------------------
# Settings; backend.py is their only caller
# ---------------------------------------------------------------------------------------------------------------

GEMM_PROVIDERS = ("auto", "native", "blas")


def isa_names():
    """The instruction sets compiled in, slowest first."""
    return [(<bytes>fnn_isa_names[i]).decode() for i in range(fnn_isa_count)]


def isa_available():
    """Those of them that this CPU and its system run."""
    return [name for i, name in enumerate(isa_names()) if fnn_isa_supported(i)]


def isa():
    return isa_names()[fnn_isa()]


def set_isa(name):
    if name not in isa_available():
        raise ValueError(f"FASTNN_ISA: expected one of {', '.join(isa_available())}, got {name}")
    fnn_set_isa(isa_names().index(name))


def gemm_provider():
    return GEMM_PROVIDERS[fnn_gemm_provider()]


def set_gemm_provider(name):
    known = GEMM_PROVIDERS if fnn_has_blas() else GEMM_PROVIDERS[:2]
    if name not in known:
        raise ValueError(f"FASTNN_GEMM: expected one of {', '.join(known)}, got {name}")
    fnn_set_gemm_provider(GEMM_PROVIDERS.index(name))


def blas():
    """What the BLAS says of itself, or None without one."""
    return fnn_blas_config().decode() if fnn_has_blas() else None


def has_openmp():
    return bool(fnn_has_openmp())


def num_threads():
    return fnn_num_threads()


def set_num_threads(int count):
    fnn_set_num_threads(count)


def set_thread_limit(int limit):
    fnn_set_thread_limit(limit)


fnn_init()
