# Rows of a table by their numbers, and pixels that are repeated.

def embedding_forward(weight, index):
    cdef ndarray w, numbers, y
    w = plain(checks.floating("Embedding", "weight", weight))
    checks.shape("Embedding", "weight", w, ("num_embeddings", "embedding_dim"))
    numbers = checks.indices("Embedding", index, len(w))
    cdef size_t rows = size_of(numbers), cols = cnp.PyArray_DIM(w, 1)
    cdef int type = type_of(w)
    cdef cnp.npy_intp[2] dims
    dims[0], dims[1] = rows, cols
    y = empty(2, dims, cnp.PyArray_TYPE(w), rows * cols * (8 if type == FNN_TYPE_F64 else 4))
    if size_of(y):
        with nogil:
            fnn_embedding_forward(type, data(w), <const int64_t *>data(numbers), data(y), cols, rows)
    return y if cnp.PyArray_NDIM(numbers) == 1 else y.reshape(np.shape(numbers) + (cols,))


def embedding_backward(grad_weight, index, grad_output, padding_idx):
    checks.updated("Embedding", "grad_weight", grad_weight)
    checks.shape("Embedding", "grad_weight", grad_weight, ("num_embeddings", "embedding_dim"))
    cdef ndarray numbers = checks.indices("Embedding", index, len(grad_weight))
    grad_output = checks.floating("Embedding", "grad_output", grad_output)
    checks.shape("Embedding", "grad_output", grad_output, (*np.shape(numbers), grad_weight.shape[1]))
    cdef ndarray dw = plain(grad_weight), dy = plain(grad_output.astype(grad_weight.dtype, copy=False))
    cdef size_t rows = size_of(numbers), cols = cnp.PyArray_DIM(dw, 1)
    cdef int64_t padding = -1 if padding_idx is None else padding_idx
    cdef int type = type_of(dw)
    if size_of(dy):
        with nogil:
            fnn_embedding_backward(type, <const int64_t *>data(numbers), data(dy), data(dw), rows, cols, padding,
                                   cnp.PyArray_DIM(dw, 0))
        if grad_weight is not dw:  # laid out in another way
            grad_weight[...] = dw


def upsample_forward(input, scale):
    cdef ndarray x = plain(checks.images("Upsample", input=input)[0]), y
    checks.pair("Upsample", "scale", scale, 1)
    cdef size_t down = scale[0], across = scale[1], height = cnp.PyArray_DIM(x, 2), width = cnp.PyArray_DIM(x, 3)
    cdef int type = type_of(x)
    y = empty_planes(cnp.PyArray_DIM(x, 0), cnp.PyArray_DIM(x, 1), height * down, width * across, cnp.PyArray_TYPE(x))
    if size_of(x):
        with nogil:
            fnn_upsample_forward(type, data(x), data(y), width, down, across, size_of(x) // width)
    return y


def upsample_backward(grad_output, scale):
    cdef ndarray dy = plain(checks.images("Upsample", grad_output=grad_output)[0]), dx
    checks.pair("Upsample", "scale", scale, 1)
    cdef size_t down = scale[0], across = scale[1], height = cnp.PyArray_DIM(dy, 2), width = cnp.PyArray_DIM(dy, 3)
    cdef int type = type_of(dy)
    if height % down or width % across:
        raise ValueError(f"Upsample: expected grad_output of whole blocks of {scale}, got {np.shape(dy)}")
    dx = empty_planes(cnp.PyArray_DIM(dy, 0), cnp.PyArray_DIM(dy, 1), height // down, width // across,
                      cnp.PyArray_TYPE(dy))
    if size_of(dx):
        with nogil:
            fnn_upsample_backward(type, data(dy), data(dx), width // across, down, across,
                                  size_of(dx) * across // width)
    return dx
