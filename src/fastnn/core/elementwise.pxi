# Activations, softmax over the last axis, dropout.

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


cdef ndarray _rows_backward(str where, object input, object grad_output, RowsBackward run, str name="input"):
    if not (is_plain(input) and cnp.PyArray_NDIM(<ndarray>input) and is_like(grad_output, input)):
        input, grad_output = map(plain, checks.rows(where, **{name: input, "grad_output": grad_output}))
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


def softmax_backward_from_output(output, grad_output):
    return _rows_backward("Softmax", output, grad_output, fnn_softmax_backward_from_output, "output")


def log_softmax_backward_from_output(output, grad_output):
    return _rows_backward("LogSoftmax", output, grad_output, fnn_log_softmax_backward_from_output, "output")


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


cdef extern from "numpy/random/bitgen.h":  # a cimport of numpy.random imports it when fastnn is imported
    ctypedef struct bitgen_t:
        void *state


cdef struct mt19937_state:  # NumPy's
    uint32_t key[624]
    int pos


cdef mt19937_state *_mt19937(bit_generator) except? NULL:
    """The state of a bit generator of NumPy's; NULL if it is no MT19937 or is laid out otherwise than here."""
    cdef bitgen_t *interface
    cdef mt19937_state *state
    if type(bit_generator) is not np.random.MT19937:
        return NULL
    interface = <bitgen_t *>PyCapsule_GetPointer(bit_generator.capsule, "BitGenerator")
    state = <mt19937_state *>interface.state
    if not MT19937_CHECKED:
        given = bit_generator.state["state"]
        MT19937_CHECKED.append(state.pos == given["pos"] and state.key[0] == given["key"][0]
                               and state.key[623] == given["key"][623])
    return state if MT19937_CHECKED[0] else NULL


cdef list MT19937_CHECKED = []


def bernoulli_mask(bit_generator, cnp.npy_intp size, double keep):
    cdef ndarray mask
    cdef size_t pos
    cdef mt19937_state *state
    checks.keeping("Dropout", keep)
    with bit_generator.lock:
        state = _mt19937(bit_generator)
        if state is not NULL and 0 <= state.pos <= 624:
            mask = empty_vector(size, cnp.NPY_INT64)
            pos = state.pos
            with nogil:
                fnn_bernoulli_mask(FNN_TYPE_F64, state.key, &pos, <int64_t *>data(mask), size, keep, 1)
            state.pos = <int>pos
            return mask
    return np.random.RandomState(bit_generator).binomial(1, keep, size).astype(np.int64, copy=False)


def masked_scale(input, mask, double scale):
    cdef ndarray x = input if is_plain(input) else plain(checks.elementwise("Dropout", input=input)[0])
    cdef ndarray m = mask if _is_mask(mask, x) else plain(checks.mask("Dropout", mask, x))
    cdef ndarray y = empty_like(x)
    cdef int type = type_of(x)
    with nogil:
        fnn_masked_scale(type, data(x), <const int64_t *>data(m), data(y), scale, size_of(x))
    return y


cdef inline bint _is_mask(object mask, ndarray x):
    return (cnp.PyArray_CheckExact(mask) and cnp.PyArray_ISCARRAY_RO(<ndarray>mask)
            and cnp.PyArray_TYPE(<ndarray>mask) == cnp.NPY_INT64 and cnp.PyArray_SAMESHAPE(<ndarray>mask, x))
