# Arrays: what is plain, and how to make it so. To ask whether two arguments fit costs 4 ns by the NumPy C interface,
# 73 by the buffer protocol, 212 by typed memoryviews and 160 by the attributes that Python code reads
# (`make bench-calls`), of about 180 that a call of an operation takes.

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


cdef inline size_t size_of(ndarray a) noexcept nogil:
    return cnp.PyArray_SIZE(a)


cdef inline ndarray empty_like(ndarray a):
    return empty(cnp.PyArray_NDIM(a), cnp.PyArray_DIMS(a), cnp.PyArray_TYPE(a), cnp.PyArray_NBYTES(a))


cdef inline ndarray empty_vector(cnp.npy_intp size, int number):
    return empty(1, &size, number, 8 * size)


cdef inline double total(ndarray partial):
    """The sum of a (n,) float64 array, in order."""
    cdef double *p = <double *>cnp.PyArray_DATA(partial)
    cdef double sum = 0
    cdef cnp.npy_intp i
    for i in range(cnp.PyArray_SIZE(partial)):
        sum += p[i]
    return sum


cdef inline size_t chunks_of(ndarray a, size_t chunk) noexcept nogil:
    return (size_of(a) + chunk - 1) // chunk
