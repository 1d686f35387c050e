# Losses and their gradients.

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
    if (is_plain(input) and cnp.PyArray_NDIM(<ndarray>input) == 2 and is_like(target, input)
            and is_vector(weight, input, cnp.PyArray_DIM(<ndarray>input, 1))):
        return input, None, target, weight
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


cdef double _mean(ndarray x, ndarray labels, ndarray weight, int64_t ignore_index) noexcept:
    """One over the total weight; 0 where that is 0."""
    cdef double total = _total_weight(x, labels, weight, ignore_index)
    return 1 / total if total else 0


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


def nll_backward(input, target, scale, weight=None, int64_t ignore_index=-100):
    cdef ndarray x, labels, rows, w
    x, labels, rows, w = _classes("NLLLoss", input, target, weight, ignore_index)
    cdef size_t n = cnp.PyArray_DIM(x, 0), cols = cnp.PyArray_DIM(x, 1)
    cdef ndarray dx = empty_like(x)
    cdef double factor = _mean(x, labels, w, ignore_index) if scale is None else scale
    cdef int type = type_of(x)
    with nogil:
        fnn_nll(type, data(x), <const int64_t *>data(labels), data(rows), data(w), NULL, data(dx), cols, ignore_index,
                factor, n)
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


def cross_entropy_backward(input, target, scale, weight=None, int64_t ignore_index=-100,
                           double label_smoothing=0.0):
    cdef ndarray x, labels, rows, w
    x, labels, rows, w = _classes("CrossEntropyLoss", input, target, weight, ignore_index)
    cdef size_t n = cnp.PyArray_DIM(x, 0), cols = cnp.PyArray_DIM(x, 1)
    cdef ndarray dx = empty_like(x)
    cdef double factor = _mean(x, labels, w, ignore_index) if scale is None else scale
    cdef int type = type_of(x)
    with nogil:
        fnn_cross_entropy(type, data(x), <const int64_t *>data(labels), data(rows), data(w), NULL, data(dx), cols,
                          ignore_index, label_smoothing, factor, n)
    return dx
