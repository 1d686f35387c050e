# Per channel: scale and shift, batch normalisation. The kernels take (rows, channels); (N, C, L) is brought to
# (N, L, C) and back.

cdef ndarray _channels_last(ndarray x):
    """(N, C, L) to (N, L, C)."""
    return plain(x.transpose(0, 2, 1))


cdef ndarray _channels_second(ndarray x):
    """(N, L, C) back to (N, C, L); (N, C) as it is."""
    return x if cnp.PyArray_NDIM(x) == 2 else plain(x.transpose(0, 2, 1))


cdef list _channel_arrays(str where, object input, dict given):
    """input, then what is given, all plain: grad_output like the input, (N, C) or (N, L, C), and vectors."""
    cdef cnp.npy_intp channels
    cdef bint fit = is_plain(input) and cnp.PyArray_NDIM(<ndarray>input) == 2
    if fit:
        channels = cnp.PyArray_DIM(<ndarray>input, 1)
        for name, array in given.items():
            if name == "grad_output":
                fit = fit and is_like(array, input)
            elif name == "weight" or name == "bias":
                fit = fit and is_vector(array, input, channels)
            else:
                fit = fit and array is not None and is_vector(array, input, channels)
    if fit:
        return [input, *given.values()]
    arrays = [plain(a) for a in checks.channels(where, input, **given)]
    return [_channels_last(a) if a is not None and cnp.PyArray_NDIM(<ndarray>a) == 3 else a for a in arrays]


cdef inline size_t channels_of(ndarray x) noexcept nogil:
    return cnp.PyArray_DIM(x, cnp.PyArray_NDIM(x) - 1)


cdef inline size_t rows_of(ndarray x) noexcept nogil:
    return cnp.PyArray_SIZE(x) // channels_of(x) if channels_of(x) else 0


def channel_scale_forward(input, weight, bias):
    cdef ndarray x, w, b, y
    x, w, b = _channel_arrays("ChannelwiseScale", input, {"weight": weight, "bias": bias})
    y = empty_like(x)
    if rows_of(x):
        fnn_channel_scale_forward(type_of(x), data(x), data(w), data(b), data(y), channels_of(x), rows_of(x))
    return _channels_second(y)


def channel_scale_backward(input, weight, grad_output):
    cdef ndarray x, dy, w, dx, dw, db
    x, dy, w = _channel_arrays("ChannelwiseScale", input, {"grad_output": grad_output, "weight": weight})
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
    x, w, b = _channel_arrays("BatchNorm1d", input, {"weight": weight, "bias": bias})
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
    x, dy, w = _channel_arrays("BatchNorm1d", input, {"grad_output": grad_output, "weight": weight})
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
    x, m, v, w, b = _channel_arrays(
        "BatchNorm1d", input, {"mean": mean, "var": var, "weight": weight, "bias": bias})
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
        "BatchNorm1d", input, {"grad_output": grad_output, "mean": mean, "var": var, "weight": weight})
    dx = empty_like(x)
    dw, db = _channel_vectors(x)
    cdef size_t rows = rows_of(x), cols = channels_of(x)
    cdef int type = type_of(x)
    if rows:
        with nogil:
            fnn_batch_norm_inference_backward(type, data(x), data(m), data(v), data(w), data(dy), data(dx), data(dw),
                                              data(db), rows, cols, eps, cols)
    return _channels_second(dx), dw, db
