# Normalisation of every sample by itself: layer norm and RMS norm of rows, group norm of groups of channels.

cdef enum:
    NORM_BLOCK = 1 << 16  # elements of samples whose gradients by w and b are summed in one go


cdef list _norm_arrays(str where, object groups, object input, dict given):
    """input, then what is given, all plain: (rows, cols), or (N, C, L) where there are groups."""
    cdef bint fit = is_plain(input) and cnp.PyArray_NDIM(<ndarray>input) == (2 if groups is None else 3)
    cdef cnp.npy_intp size
    if fit:
        size = cnp.PyArray_DIM(<ndarray>input, 1)
        fit = groups is None or (type(groups) is int and groups >= 1 and size % groups == 0)
        for name, array in given.items():
            fit = fit and (is_like(array, input) if name == "grad_output" else is_vector(array, input, size))
    if fit:
        return [input, *given.values()]
    if groups is None:
        return [plain(a) for a in checks.feature_rows(where, input, **given)]
    return [plain(a) for a in checks.groups_of_channels(where, groups, input, **given)]


cdef ndarray _norm_forward(ndarray x, ndarray w, ndarray b, size_t groups, bint centred, double eps):
    cdef ndarray y = empty_like(x)
    cdef size_t samples = cnp.PyArray_DIM(x, 0), length = cnp.PyArray_DIM(x, 2) if cnp.PyArray_NDIM(x) == 3 else 1
    cdef int type = type_of(x)
    if size_of(x):
        with nogil:
            fnn_sample_norm_forward(type, data(x), data(w), data(b), data(y), groups, size_of(x) // (samples * groups),
                                    length, centred, eps, samples * groups)
    return y


cdef tuple _norm_backward(ndarray x, ndarray w, ndarray dy, size_t groups, bint centred, double eps):
    """dx, dw, db; db is None without centring."""
    cdef ndarray dx = empty_like(x), dw, db
    dw, db = _channel_vectors(x, 1)
    cdef size_t samples = cnp.PyArray_DIM(x, 0), channels = cnp.PyArray_DIM(x, 1)
    cdef size_t length = cnp.PyArray_DIM(x, 2) if cnp.PyArray_NDIM(x) == 3 else 1
    cdef size_t block, blocks, item = 8 if cnp.PyArray_TYPE(x) == cnp.NPY_DOUBLE else 4
    cdef int type = type_of(x)
    cdef char *slopes
    cdef char *levels
    if size_of(x):
        block = min(max(<size_t>NORM_BLOCK // (channels * length), <size_t>(16 if length == 1 else 1)), <size_t>64)
        blocks = (samples + block - 1) // block
        slopes = <char *>fnn_pool_alloc(2 * blocks * channels * item)
        if slopes is NULL:
            raise MemoryError
        levels = slopes + blocks * channels * item if centred else NULL
        with nogil:
            fnn_sample_norm_backward(type, data(x), data(w), data(dy), data(dx), slopes, levels, samples, block, groups,
                                     channels * length // groups, length, centred, eps, blocks)
            fnn_column_sums(type, slopes, data(dw), blocks, channels, channels)
            if centred:
                fnn_column_sums(type, levels, data(db), blocks, channels, channels)
            fnn_pool_free(slopes)
    return dx, dw, db if centred else None


def layer_norm_forward(input, weight, bias, double eps):
    cdef ndarray x, w, b
    x, w, b = _norm_arrays("LayerNorm", None, input, {"weight": weight, "bias": bias})
    return _norm_forward(x, w, b, 1, True, eps)


def layer_norm_backward(input, weight, grad_output, double eps):
    cdef ndarray x, w, dy
    x, w, dy = _norm_arrays("LayerNorm", None, input, {"weight": weight, "grad_output": grad_output})
    return _norm_backward(x, w, dy, 1, True, eps)


def rms_norm_forward(input, weight, double eps):
    cdef ndarray x, w
    x, w = _norm_arrays("RMSNorm", None, input, {"weight": weight})
    return _norm_forward(x, w, None, 1, False, eps)


def rms_norm_backward(input, weight, grad_output, double eps):
    cdef ndarray x, w, dy
    x, w, dy = _norm_arrays("RMSNorm", None, input, {"weight": weight, "grad_output": grad_output})
    return _norm_backward(x, w, dy, 1, False, eps)[:2]


def group_norm_forward(input, weight, bias, groups, double eps):
    cdef ndarray x, w, b
    x, w, b = _norm_arrays("GroupNorm", groups, input, {"weight": weight, "bias": bias})
    return _norm_forward(x, w, b, groups, True, eps)


def group_norm_backward(input, weight, grad_output, groups, double eps):
    cdef ndarray x, w, dy
    x, w, dy = _norm_arrays("GroupNorm", groups, input, {"weight": weight, "grad_output": grad_output})
    return _norm_backward(x, w, dy, groups, True, eps)
