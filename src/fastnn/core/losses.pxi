# Losses and their gradients.

cdef dict LOSS_KINDS = {(<bytes>fnn_loss_names[i]).decode(): i for i in range(FNN_LOSS_COUNT)}


def loss_forward(name, input, target, double a=0.0, row_weight=None):
    cdef int kind = LOSS_KINDS[name]
    if not (is_plain(input) and is_like(target, input)):
        input, target = map(plain, checks.elementwise(name, input=input, target=target))
    if row_weight is not None:
        return _weighted_loss(kind, input, target, a, row_weight)
    cdef ndarray x = input, t = target
    cdef ndarray partial = empty_vector(chunks_of(x, FNN_SUM_CHUNK), cnp.NPY_DOUBLE)
    cdef int type = type_of(x)
    cdef size_t size = cnp.PyArray_SIZE(x)
    with nogil:
        fnn_loss_forward(type, kind, data(x), data(t), <double *>data(partial), size, a, chunks_of(x, FNN_SUM_CHUNK))
    return total(partial)


cdef double _weighted_loss(int kind, ndarray x, ndarray t, double a, ndarray weights) except? -1:
    """The loss of each row by itself, times its weight."""
    cdef size_t rows = cnp.PyArray_DIM(weights, 0), row
    cdef size_t size = cnp.PyArray_SIZE(x) // rows if rows else 0, count = (size + FNN_SUM_CHUNK - 1) // FNN_SUM_CHUNK
    cdef size_t bytes = size * cnp.PyArray_ITEMSIZE(x)
    cdef ndarray partial = empty_vector(rows * count, cnp.NPY_DOUBLE)
    cdef int type = type_of(x)
    with nogil:
        for row in range(rows):
            fnn_loss_forward(type, kind, <char *>data(x) + row * bytes, <char *>data(t) + row * bytes,
                             <double *>data(partial) + row * count, size, a, count)
    return float(weights @ partial.reshape(rows, count).sum(axis=1))


def loss_backward(name, input, target, double scale, double a=0.0, row_weight=None):
    cdef int kind = LOSS_KINDS[name]
    if not (is_plain(input) and is_like(target, input)):
        input, target = map(plain, checks.elementwise(name, input=input, target=target))
    cdef ndarray x = input, t = target, dx = empty_like(input)
    cdef int type = type_of(x)
    cdef size_t size = cnp.PyArray_SIZE(x)
    with nogil:
        fnn_loss_backward(type, kind, data(x), data(t), data(dx), a, scale, size)
    return _weigh(dx, row_weight)


cdef ndarray _weigh(ndarray dx, row_weight):
    """Rows times their weights, in place."""
    if row_weight is not None:
        np.multiply(dx, row_weight.reshape(-1, *[1] * (dx.ndim - 1)), out=dx, casting="same_kind")
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


cdef double _total_weight(ndarray x, ndarray labels, ndarray weight, int64_t ignore_index, ndarray each) noexcept:
    """The sum of the labels' class weights, or the number of rows; all of it times `each` row's weight."""
    cdef double sum = 0, one
    cdef cnp.npy_intp i
    cdef const int64_t *label = NULL
    cdef const double *row = NULL
    if labels is not None:
        label = <const int64_t *>data(labels)
    if each is not None:
        row = <const double *>data(each)
    for i in range(cnp.PyArray_DIM(x, 0)):
        if label is not NULL and label[i] == ignore_index:
            continue
        one = 1
        if label is not NULL and weight is not None:
            if cnp.PyArray_TYPE(weight) == cnp.NPY_DOUBLE:
                one = (<const double *>data(weight))[label[i]]
            else:
                one = (<const float *>data(weight))[label[i]]
        sum += one * (row[i] if row is not NULL else 1)
    return sum


cdef double _mean(ndarray x, ndarray labels, ndarray weight, int64_t ignore_index, ndarray each) noexcept:
    """One over the total weight; 0 where that is 0."""
    cdef double total = _total_weight(x, labels, weight, ignore_index, each)
    return 1 / total if total else 0


cdef double _total(ndarray losses, ndarray each):
    return total(losses) if each is None else float(losses @ each)


def nll_forward(input, target, weight=None, int64_t ignore_index=-100, row_weight=None):
    cdef ndarray x, labels, rows, w
    x, labels, rows, w = _classes("NLLLoss", input, target, weight, ignore_index)
    cdef size_t n = cnp.PyArray_DIM(x, 0), cols = cnp.PyArray_DIM(x, 1)
    cdef ndarray losses = empty_vector(n, cnp.NPY_DOUBLE)
    cdef int type = type_of(x)
    with nogil:
        fnn_nll(type, data(x), <const int64_t *>data(labels), data(rows), data(w), <double *>data(losses), NULL, cols,
                ignore_index, 0, n)
    return _total(losses, row_weight), _total_weight(x, labels, w, ignore_index, row_weight)


def nll_backward(input, target, scale, weight=None, int64_t ignore_index=-100, row_weight=None):
    cdef ndarray x, labels, rows, w
    x, labels, rows, w = _classes("NLLLoss", input, target, weight, ignore_index)
    cdef size_t n = cnp.PyArray_DIM(x, 0), cols = cnp.PyArray_DIM(x, 1)
    cdef ndarray dx = empty_like(x)
    cdef double factor = _mean(x, labels, w, ignore_index, row_weight) if scale is None else scale
    cdef int type = type_of(x)
    with nogil:
        fnn_nll(type, data(x), <const int64_t *>data(labels), data(rows), data(w), NULL, data(dx), cols, ignore_index,
                factor, n)
    return _weigh(dx, row_weight)


def cross_entropy_forward(input, target, weight=None, int64_t ignore_index=-100, double label_smoothing=0.0,
                          row_weight=None):
    cdef ndarray x, labels, rows, w
    x, labels, rows, w = _classes("CrossEntropyLoss", input, target, weight, ignore_index)
    cdef size_t n = cnp.PyArray_DIM(x, 0), cols = cnp.PyArray_DIM(x, 1)
    cdef ndarray losses = empty_vector(n, cnp.NPY_DOUBLE)
    cdef int type = type_of(x)
    with nogil:
        fnn_cross_entropy(type, data(x), <const int64_t *>data(labels), data(rows), data(w), <double *>data(losses),
                          NULL, cols, ignore_index, label_smoothing, 0, n)
    return _total(losses, row_weight), _total_weight(x, labels, w, ignore_index, row_weight)


def cross_entropy_backward(input, target, scale, weight=None, int64_t ignore_index=-100,
                           double label_smoothing=0.0, row_weight=None):
    cdef ndarray x, labels, rows, w
    x, labels, rows, w = _classes("CrossEntropyLoss", input, target, weight, ignore_index)
    cdef size_t n = cnp.PyArray_DIM(x, 0), cols = cnp.PyArray_DIM(x, 1)
    cdef ndarray dx = empty_like(x)
    cdef double factor = _mean(x, labels, w, ignore_index, row_weight) if scale is None else scale
    cdef int type = type_of(x)
    with nogil:
        fnn_cross_entropy(type, data(x), <const int64_t *>data(labels), data(rows), data(w), NULL, data(dx), cols,
                          ignore_index, label_smoothing, factor, n)
    return _weigh(dx, row_weight)
