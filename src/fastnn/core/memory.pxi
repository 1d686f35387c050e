# The memory of large results. NumPy takes it from the pool of csrc/pool.c through a handler of its own (NEP 49), which
# is in force only while such an array is made; the array keeps it, and gives its memory back there.

cdef extern from "numpy/arrayobject.h":
    ctypedef struct PyDataMemAllocator:
        void *ctx
        void *(*malloc)(void *ctx, size_t size) noexcept nogil
        void *(*calloc)(void *ctx, size_t count, size_t size) noexcept nogil
        void *(*realloc)(void *ctx, void *memory, size_t size) noexcept nogil
        void (*free)(void *ctx, void *memory, size_t size) noexcept nogil

    ctypedef struct PyDataMem_Handler:
        char name[127]
        uint8_t version
        PyDataMemAllocator allocator

    object PyDataMem_SetHandler(object handler)


cdef enum:
    POOLED_BYTES = 1 << 16  # below, malloc answers from what it holds; setting the handler costs 0.15 us


cdef void *_pool_malloc(void *ctx, size_t size) noexcept nogil:
    return fnn_pool_alloc(size)


cdef void *_pool_calloc(void *ctx, size_t count, size_t size) noexcept nogil:
    cdef void *memory
    if size and count > (<size_t>-1) // size:
        return NULL
    memory = fnn_pool_alloc(count * size)
    if memory is not NULL:
        memset(memory, 0, count * size)
    return memory


cdef void *_pool_realloc(void *ctx, void *memory, size_t size) noexcept nogil:
    return fnn_pool_realloc(memory, size)


cdef void _pool_free(void *ctx, void *memory, size_t size) noexcept nogil:
    fnn_pool_free(memory)


cdef PyDataMem_Handler pool_handler
strcpy(pool_handler.name, b"fastnn")
pool_handler.version = 1
pool_handler.allocator.malloc = _pool_malloc
pool_handler.allocator.calloc = _pool_calloc
pool_handler.allocator.realloc = _pool_realloc
pool_handler.allocator.free = _pool_free
cdef object POOL = PyCapsule_New(&pool_handler, "mem_handler", NULL)


cdef inline ndarray empty(int ndim, cnp.npy_intp *shape, int number, size_t bytes):
    """A fresh array, contiguous in C order."""
    if bytes < POOLED_BYTES:
        return <ndarray>cnp.PyArray_EMPTY(ndim, shape, number, 0)
    cdef object before = PyDataMem_SetHandler(POOL)
    try:
        return <ndarray>cnp.PyArray_EMPTY(ndim, shape, number, 0)
    finally:
        PyDataMem_SetHandler(before)


def aligned(ndarray array):
    """A copy in memory of the pool, in the same order; a small array, or one that has no order, as it is."""
    cdef object before
    cdef ndarray copy
    cdef bint fortran = cnp.PyArray_IS_F_CONTIGUOUS(array)
    if cnp.PyArray_NBYTES(array) < POOLED_BYTES or not (fortran or cnp.PyArray_IS_C_CONTIGUOUS(array)):
        return array
    before = PyDataMem_SetHandler(POOL)
    try:
        copy = <ndarray>cnp.PyArray_EMPTY(cnp.PyArray_NDIM(array), cnp.PyArray_DIMS(array), cnp.PyArray_TYPE(array),
                                          fortran)
    finally:
        PyDataMem_SetHandler(before)
    copy[...] = array
    return copy


def cached_bytes():
    return fnn_pool_bytes()


def empty_cache():
    fnn_pool_clear()
