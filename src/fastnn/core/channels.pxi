# Per channel: scale and shift, batch normalisation. The kernels take (rows, channels), those of batch normalisation
# planes too; for others (N, C, L) is brought to (N, L, C) and back.

cdef ndarray _channels_last(ndarray x):
    """(N, C, L) to (N, L, C)."""
    return plain(x.transpose(0, 2, 1))


cdef ndarray _channels_second(ndarray x):
    """(N, L, C) back to (N, C, L); (N, C) as it is."""
    return x if cnp.PyArray_NDIM(x) == 2 else plain(x.transpose(0, 2, 1))


cdef list _channel_arrays(str where, object input, dict given, bint as_planes=False):
    """input, then what is given, all plain: grad_output like the input, (N, C) or (N, L, C), and vectors.

    As planes, (N, C, L) stays that.
    """
    cdef cnp.npy_intp channels
    cdef bint fit = is_plain(input) and (cnp.PyArray_NDIM(<ndarray>input) == 2
                                         or (as_planes and cnp.PyArray_NDIM(<ndarray>input) == 3))
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
    if as_planes:
        return arrays
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


cdef tuple _channel_vectors(ndarray x, int axis=-1):
    """Two vectors of zeros, one element a channel."""
    cdef cnp.npy_intp channels = channels_of(x) if axis < 0 else cnp.PyArray_DIM(x, axis)
    return (cnp.PyArray_ZEROS(1, &channels, cnp.PyArray_TYPE(x), 0),
            cnp.PyArray_ZEROS(1, &channels, cnp.PyArray_TYPE(x), 0))


cdef fnn_planes planes_of(ndarray x) noexcept:
    """Where the planes of (N, C, L) are."""
    cdef fnn_planes p
    p.count, p.channel, p.size = cnp.PyArray_DIM(x, 0), cnp.PyArray_DIM(x, 2), cnp.PyArray_DIM(x, 2)
    p.step, p.tail = cnp.PyArray_DIM(x, 1) * p.size, 0
    return p


def batch_norm_forward(input, weight, bias, double eps):
    cdef ndarray x, w, b, y, mean, var
    x, w, b = _channel_arrays("BatchNorm1d", input, {"weight": weight, "bias": bias}, True)
    y = empty_like(x)
    mean, var = _channel_vectors(x, 1)
    cdef size_t channels = cnp.PyArray_DIM(x, 1)
    cdef int type = type_of(x)
    cdef fnn_planes p
    if size_of(x) and cnp.PyArray_NDIM(x) == 3:
        p = planes_of(x)
        with nogil:
            fnn_batch_norm_planes(type, data(x), data(w), data(b), data(y), data(mean), data(var), &p, False, False,
                                  eps, channels)
    elif size_of(x):
        with nogil:
            fnn_batch_norm_forward(type, data(x), data(w), data(b), data(y), data(mean), data(var), rows_of(x),
                                   channels, eps, channels)
    return y, mean, var


def batch_norm_backward(input, weight, grad_output, double eps):
    cdef ndarray x, dy, w, dx, dw, db
    x, dy, w = _channel_arrays("BatchNorm1d", input, {"grad_output": grad_output, "weight": weight}, True)
    dx = empty_like(x)
    dw, db = _channel_vectors(x, 1)
    cdef size_t channels = cnp.PyArray_DIM(x, 1)
    cdef int type = type_of(x)
    cdef fnn_planes p
    if size_of(x) and cnp.PyArray_NDIM(x) == 3:
        p = planes_of(x)
        with nogil:
            fnn_batch_norm_planes_backward(type, data(x), NULL, NULL, data(w), NULL, data(dy), data(dx), data(dw),
                                           data(db), &p, False, False, eps, channels)
    elif size_of(x):
        with nogil:
            fnn_batch_norm_backward(type, data(x), data(w), data(dy), data(dx), data(dw), data(db), rows_of(x),
                                    channels, eps, channels)
    return dx, dw, db


def batch_norm_inference(input, mean, var, weight, bias, double eps):
    cdef ndarray x, m, v, w, b, y
    x, m, v, w, b = _channel_arrays(
        "BatchNorm1d", input, {"mean": mean, "var": var, "weight": weight, "bias": bias}, True)
    y = empty_like(x)
    cdef size_t channels = cnp.PyArray_DIM(x, 1)
    cdef int type = type_of(x)
    cdef fnn_planes p
    if size_of(x) and cnp.PyArray_NDIM(x) == 3:
        p = planes_of(x)
        with nogil:
            fnn_batch_norm_planes(type, data(x), data(w), data(b), data(y), data(m), data(v), &p, True, False, eps,
                                  channels)
    elif size_of(x):
        with nogil:
            fnn_batch_norm_inference(type, data(x), data(m), data(v), data(w), data(b), data(y), rows_of(x), channels,
                                     eps, channels)
    return y


def batch_norm_inference_backward(input, mean, var, weight, grad_output, double eps):
    cdef ndarray x, dy, m, v, w, dx, dw, db
    x, dy, m, v, w = _channel_arrays(
        "BatchNorm1d", input, {"grad_output": grad_output, "mean": mean, "var": var, "weight": weight}, True)
    dx = empty_like(x)
    dw, db = _channel_vectors(x, 1)
    cdef size_t channels = cnp.PyArray_DIM(x, 1)
    cdef int type = type_of(x)
    cdef fnn_planes p
    if size_of(x) and cnp.PyArray_NDIM(x) == 3:
        p = planes_of(x)
        with nogil:
            fnn_batch_norm_planes_backward(type, data(x), data(m), data(v), data(w), NULL, data(dy), data(dx),
                                           data(dw), data(db), &p, True, False, eps, channels)
    elif size_of(x):
        with nogil:
            fnn_batch_norm_inference_backward(type, data(x), data(m), data(v), data(w), data(dy), data(dx), data(dw),
                                              data(db), rows_of(x), channels, eps, channels)
    return dx, dw, db
