# Optimisers and clipping, in place. An element's update does not depend on its neighbours, so the arrays may have any
# layout that all of them share.

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


cdef bint _fit_together(list arrays, int optional):
    """Floating arrays of one dtype and shape, all but the second writeable; from `optional` on they may be None."""
    cdef object a
    cdef object first = arrays[0]
    cdef int i, number
    for i, a in enumerate(arrays):
        if a is None and i >= optional:
            continue
        if not cnp.PyArray_CheckExact(a) or not (i == 1 or cnp.PyArray_ISWRITEABLE(<ndarray>a)):
            return False
        if not cnp.PyArray_ISNOTSWAPPED(<ndarray>a):
            return False
        number = cnp.PyArray_TYPE(<ndarray>a)
        if (number != cnp.NPY_FLOAT and number != cnp.NPY_DOUBLE) or number != cnp.PyArray_TYPE(<ndarray>first):
            return False
        if not cnp.PyArray_SAMESHAPE(<ndarray>a, <ndarray>first):
            return False
    return True


cdef list _runs(str where, list arrays, tuple names, int optional):
    """The parameter, its gradient and its states as runs of memory of one order: themselves, or copies.

    `arrays` is checked in place, and may hold None from `optional` on; `_finish` writes the copies back.
    """
    if not _fit_together(arrays, optional):
        arrays[:] = checks.update(where, arrays[0], arrays[1], names[optional - 2:], **dict(zip(names, arrays[2:])))
    if _aligned_alike(arrays):
        return arrays
    return [None if a is None else np.array(a, order="C") for a in arrays]


cdef int _finish(list arrays, list runs) except -1:
    cdef int i
    if runs is not arrays:
        for i, (array, run) in enumerate(zip(arrays, runs)):
            if array is not None and i != 1:
                array[...] = run
    return 0


def sgd_update(param, grad, velocity, double lr, double momentum, double dampening, double weight_decay,
               bint nesterov, bint first):
    cdef list arrays = [param, grad, velocity]
    cdef list runs = _runs("SGD", arrays, ("velocity",), 2)
    cdef ndarray p = runs[0], g = runs[1], v = runs[2]
    with nogil:
        fnn_sgd_update(type_of(p), data(p), data(g), data(v), lr, momentum, 1 - dampening, weight_decay, nesterov,
                       first, size_of(p))
    _finish(arrays, runs)


def momentum_update(param, grad, velocity, double lr, double momentum):
    cdef list arrays = [param, grad, velocity]
    cdef list runs = _runs("SGD", arrays, ("velocity",), 3)
    cdef ndarray p = runs[0], g = runs[1], v = runs[2]
    with nogil:
        fnn_sgd_update(type_of(p), data(p), data(g), data(v), 1, momentum, lr, 0, False, False, size_of(p))
    _finish(arrays, runs)


cdef bint _ordinary(object a, ndarray like) noexcept:
    """An exact, writeable array of float32 or float64 with the dtype, the shape and the order of `like`."""
    if not cnp.PyArray_CheckExact(a) or not cnp.PyArray_ISBEHAVED(<ndarray>a) or not cnp.PyArray_ISBEHAVED_RO(like):
        return False
    cdef int number = cnp.PyArray_TYPE(<ndarray>a)
    if (number != cnp.NPY_FLOAT and number != cnp.NPY_DOUBLE) or number != cnp.PyArray_TYPE(like):
        return False
    return cnp.PyArray_SAMESHAPE(<ndarray>a, like) and (
        (cnp.PyArray_IS_C_CONTIGUOUS(<ndarray>a) and cnp.PyArray_IS_C_CONTIGUOUS(like))
        or (cnp.PyArray_IS_F_CONTIGUOUS(<ndarray>a) and cnp.PyArray_IS_F_CONTIGUOUS(like)))


cdef bint _flatten(object params, object grads, list flat, int depth=0) except -1:
    """Append every parameter and its gradient; False where a pair is not ordinary, or a list might hold itself."""
    if depth > 100 or not isinstance(params, (list, tuple)) or not isinstance(grads, (list, tuple)):
        return False
    for param, grad in zip(params, grads):
        if isinstance(param, (list, tuple)):
            if not _flatten(param, grad, flat, depth + 1):
                return False
        elif cnp.PyArray_CheckExact(grad) and _ordinary(param, grad):
            flat.append(param)
            flat.append(grad)
        else:
            return False
    return True


cdef list _states_of(list flat, object states):
    """The state of each parameter, held from here on; None where one is not ordinary."""
    cdef Py_ssize_t i
    if not isinstance(states, dict):
        return None
    cdef list found = [(<dict>states).get(i) for i in range(len(flat) // 2)]
    for i in range(len(found)):
        if not _ordinary(found[i], flat[2 * i + 1]):
            return None
    return found


def sgd_updates(params, grads, velocities, double lr, double momentum, double share, double weight_decay,
                bint nesterov):
    cdef list flat = []
    cdef list vs
    cdef ndarray p, g, v
    cdef Py_ssize_t i
    if not _flatten(params, grads, flat):
        return False
    vs = [None] * (len(flat) // 2) if velocities is None else _states_of(flat, velocities)
    if vs is None:
        return False
    for i in range(len(vs)):
        p, g, v = flat[2 * i], flat[2 * i + 1], vs[i]
        with nogil:
            fnn_sgd_update(type_of(p), data(p), data(g), data(v), lr, momentum, share, weight_decay, nesterov, False,
                           size_of(p))
    return True


def adam_updates(params, grads, means, squares, double lr, double beta1, double beta2, double eps,
                 double weight_decay, bint decoupled, long step):
    cdef list flat = []
    cdef list ms, vs
    cdef ndarray p, g, m, v
    cdef Py_ssize_t i
    cdef double shrink = 1 - lr * weight_decay if decoupled else 1, decay = 0 if decoupled else weight_decay
    cdef double step_size = lr / (1 - pow(beta1, step)), root_scale = 1 / sqrt(1 - pow(beta2, step))
    if not _flatten(params, grads, flat):
        return False
    ms, vs = _states_of(flat, means), _states_of(flat, squares)
    if ms is None or vs is None:
        return False
    for i in range(len(vs)):
        p, g, m, v = flat[2 * i], flat[2 * i + 1], ms[i], vs[i]
        with nogil:
            fnn_adam_update(type_of(p), data(p), data(g), data(m), data(v), NULL, shrink, decay, beta1, beta2,
                            step_size, root_scale, eps, size_of(p))
    return True


def adam_update(param, grad, m, v, v_max, double lr, double beta1, double beta2, double eps, double weight_decay,
                bint decoupled, long step):
    cdef list arrays = [param, grad, m, v, v_max]
    cdef list runs = _runs("Adam", arrays, ("m", "v", "v_max"), 4)
    cdef ndarray p = runs[0], g = runs[1], mean = runs[2], square = runs[3], largest = runs[4]
    cdef double shrink = 1 - lr * weight_decay if decoupled else 1, decay = 0 if decoupled else weight_decay
    cdef double step_size = lr / (1 - pow(beta1, step)), root_scale = 1 / sqrt(1 - pow(beta2, step))
    with nogil:
        fnn_adam_update(type_of(p), data(p), data(g), data(mean), data(square), data(largest), shrink, decay, beta1,
                        beta2, step_size, root_scale, eps, size_of(p))
    _finish(arrays, runs)


def rmsprop_update(param, grad, square_mean, grad_mean, velocity, double lr, double alpha, double eps,
                   double weight_decay, double momentum):
    cdef list arrays = [param, grad, square_mean, grad_mean, velocity]
    cdef list runs = _runs("RMSprop", arrays, ("square_mean", "grad_mean", "velocity"), 3)
    cdef ndarray p = runs[0], g = runs[1], square = runs[2], mean = runs[3], v = runs[4]
    with nogil:
        fnn_rmsprop_update(type_of(p), data(p), data(g), data(square), data(mean), data(v), lr, alpha, eps,
                           weight_decay, momentum, size_of(p))
    _finish(arrays, runs)


def adagrad_update(param, grad, square_sum, double lr, double eps, double weight_decay):
    cdef list arrays = [param, grad, square_sum]
    cdef list runs = _runs("Adagrad", arrays, ("square_sum",), 3)
    cdef ndarray p = runs[0], g = runs[1], sum = runs[2]
    with nogil:
        fnn_adagrad_update(type_of(p), data(p), data(g), data(sum), lr, eps, weight_decay, size_of(p))
    _finish(arrays, runs)


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
