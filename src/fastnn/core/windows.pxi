# Convolutions and pooling over planes, arrays (N, C, H, W). The kernels work in lanes, see csrc/window.h: the planes go
# there and back at each call. Few rows go in strips.

cdef fnn_window window_of(ndarray input, tuple out, tuple kernel, tuple stride, tuple padding, tuple dilation,
                          size_t outputs, size_t groups):
    cdef fnn_window z = pool_window(size_of_planes(input), out, kernel, stride, padding, dilation)
    z.channels, z.outputs, z.groups = cnp.PyArray_DIM(input, 1), outputs, groups
    return z


cdef tuple sizes_of(tuple size, tuple kernel, tuple stride, tuple padding, tuple dilation):
    """Height and width of the output."""
    cdef int i
    return tuple([(size[i] + sum(padding[i]) - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in range(2)])


cdef inline ndarray empty_planes(size_t rows, size_t channels, size_t height, size_t width, int number):
    cdef cnp.npy_intp[4] dims
    dims[0], dims[1], dims[2], dims[3] = rows, channels, height, width
    return empty(4, dims, number, rows * channels * height * width * (8 if number == cnp.NPY_DOUBLE else 4))


cdef struct Lanes:
    void *data
    size_t blocks, rows, channels, size


cdef Lanes lanes(int type, size_t rows, size_t channels, size_t size) noexcept nogil:
    """Room for so many planes in lanes; NULL where there is none."""
    cdef Lanes made
    cdef size_t width = fnn_lanes(type)
    made.rows, made.channels, made.size = rows, channels, size
    made.blocks = (rows + width - 1) // width
    made.data = fnn_pool_alloc(made.blocks * channels * (size + 1) * width * (8 if type == FNN_TYPE_F64 else 4))
    return made


cdef Lanes filled(int type, const void *x, size_t rows, size_t channels, size_t size) noexcept nogil:
    cdef Lanes made = lanes(type, rows, channels, size)
    if made.data is not NULL:
        fnn_to_lanes(type, x, made.data, rows, channels, size, made.blocks * channels)
    return made


cdef void emptied(int type, Lanes a, void *y) noexcept nogil:
    fnn_from_lanes(type, a.data, y, a.rows, a.channels, a.size, a.blocks * a.channels)


cdef void *packed_weights(int type, const void *w, const fnn_window *z, int back) noexcept nogil:
    cdef void *packed = fnn_pool_alloc(fnn_conv_packed_size(z, back) * (8 if type == FNN_TYPE_F64 else 4))
    if packed is not NULL:
        fnn_conv_pack(type, w, packed, z, back, 0, z.groups)
    return packed


cdef int conv_by_lanes(int type, const void *x, const void *w, const void *bias, void *y, fnn_window *z,
                       size_t rows) noexcept nogil:
    cdef Lanes a = filled(type, x, rows, z.channels, z.height * z.width)
    cdef Lanes b = lanes(type, rows, z.outputs, z.out_height * z.out_width)
    cdef void *packed = packed_weights(type, w, z, 0)
    cdef bint done = a.data is not NULL and b.data is not NULL and packed is not NULL
    if done:
        fnn_conv_forward(type, a.data, packed, bias, b.data, z, 0, a.blocks * z.out_height)
        emptied(type, b, y)
    fnn_pool_free(a.data)
    fnn_pool_free(b.data)
    fnn_pool_free(packed)
    return done


cdef int conv_by_strips(int type, const void *x, const void *w, const void *bias, void *y, fnn_window *z,
                        size_t rows) noexcept nogil:
    """The same with the columns of each row cut into strips: every row is a block."""
    cdef size_t width = fnn_lanes(type), item = 8 if type == FNN_TYPE_F64 else 4
    cdef size_t strip = (z.out_width + width - 1) // width
    cdef fnn_window s = z[0]
    s.width = (strip - 1) * z.stride_across + (z.kernel_width - 1) * z.dilation_across + 1
    s.pad_left, s.out_width = 0, strip
    cdef void *a = fnn_pool_alloc(rows * z.channels * (s.height * s.width + 1) * width * item)
    cdef void *b = fnn_pool_alloc(rows * z.outputs * (s.out_height * strip + 1) * width * item)
    cdef void *packed = packed_weights(type, w, &s, 0)
    cdef bint done = a is not NULL and b is not NULL and packed is not NULL
    if done:
        fnn_to_strips(type, x, a, z, strip, s.width, rows * z.channels * z.height)
        fnn_conv_forward(type, a, packed, bias, b, &s, 0, rows * z.out_height)
        fnn_from_strips(type, b, y, z, strip, rows * z.outputs * z.out_height)
    fnn_pool_free(a)
    fnn_pool_free(b)
    fnn_pool_free(packed)
    return done


cdef tuple kernel_of(ndarray w):
    return cnp.PyArray_DIM(w, 2), cnp.PyArray_DIM(w, 3)


cdef tuple size_of_planes(ndarray x):
    return cnp.PyArray_DIM(x, 2), cnp.PyArray_DIM(x, 3)


def conv_forward(input, weight, bias, stride, padding, dilation, groups):
    cdef ndarray x, w, b, y
    w, x, b, _ = map(plain, checks.conv("Conv2d", None, stride, padding, dilation, groups, weight=weight, input=input,
                                        bias=bias))
    cdef tuple kernel = kernel_of(w), out = sizes_of(size_of_planes(x), kernel, stride, padding, dilation)
    cdef fnn_window z = window_of(x, out, kernel, stride, padding, dilation, cnp.PyArray_DIM(w, 0), groups)
    cdef int type = type_of(x)
    cdef size_t rows = cnp.PyArray_DIM(x, 0), width = fnn_lanes(type)
    cdef size_t by_lanes = (rows + width - 1) // width * width * z.out_width  # lanes that work, for each line
    cdef size_t by_strips = rows * ((z.out_width + width - 1) // width * width)
    cdef bint done = True
    y = empty_planes(rows, z.outputs, z.out_height, z.out_width, cnp.PyArray_TYPE(x))
    cdef void *px = data(x)
    cdef void *pw = data(w)
    cdef void *pb = data(b)
    cdef void *py = data(y)
    if size_of(y):
        with nogil:
            done = (conv_by_strips if by_strips < by_lanes else conv_by_lanes)(type, px, pw, pb, py, &z, rows)
    if not done:
        raise MemoryError
    return y


def conv_backward_input(grad_output, weight, size, stride, padding, dilation, groups, bias=None):
    cdef ndarray dy, w, b, dx
    w, _, b, dy = map(plain, checks.conv("Conv2d", size, stride, padding, dilation, groups, weight=weight,
                                         grad_output=grad_output, bias=bias))
    cdef size_t rows = cnp.PyArray_DIM(dy, 0)
    dx = empty_planes(rows, cnp.PyArray_DIM(w, 1) * groups, size[0], size[1], cnp.PyArray_TYPE(dy))
    cdef fnn_window z = window_of(dx, size_of_planes(dy), kernel_of(w), stride, padding, dilation,
                                  cnp.PyArray_DIM(w, 0), groups)
    cdef int type = type_of(dy)
    cdef bint done = True
    cdef Lanes outputs, inputs
    cdef void *packed
    cdef void *pdy = data(dy)
    cdef void *pw = data(w)
    cdef void *pb = data(b)
    cdef void *pdx = data(dx)
    if size_of(dx):
        with nogil:
            outputs = filled(type, pdy, rows, z.outputs, z.out_height * z.out_width)
            inputs = lanes(type, rows, z.channels, z.height * z.width)
            packed = packed_weights(type, pw, &z, 1)
            done = outputs.data is not NULL and inputs.data is not NULL and packed is not NULL
            if done:
                fnn_conv_backward_input(type, outputs.data, packed, pb, inputs.data, &z, 0, outputs.blocks * z.height)
                emptied(type, inputs, pdx)
            fnn_pool_free(outputs.data)
            fnn_pool_free(inputs.data)
            fnn_pool_free(packed)
    if not done:
        raise MemoryError
    return dx


def conv_backward_params(input, grad_output, grad_weight, grad_bias, stride, padding, dilation, groups):
    checks.updated("Conv2d", "grad_weight", grad_weight)
    if grad_bias is not None:
        checks.updated("Conv2d", "grad_bias", grad_bias)
    cdef ndarray x, dy, dw, db
    dw, x, db, dy = map(plain, checks.conv("Conv2d", None, stride, padding, dilation, groups, weight=grad_weight,
                                           input=input, bias=grad_bias, grad_output=grad_output))
    cdef fnn_window z = window_of(x, size_of_planes(dy), kernel_of(dw), stride, padding, dilation,
                                  cnp.PyArray_DIM(dw, 0), groups)
    cdef size_t rows = cnp.PyArray_DIM(x, 0), outs = z.outputs // z.groups
    cdef int type = type_of(x)
    cdef bint done = True
    cdef Lanes a, b
    cdef void *px = data(x)
    cdef void *pdy = data(dy)
    cdef void *pdw = data(dw)
    cdef void *pdb = data(db)
    if rows and size_of(dw):
        with nogil:
            a = filled(type, px, rows, z.channels, z.height * z.width)
            b = filled(type, pdy, rows, z.outputs, z.out_height * z.out_width)
            done = a.data is not NULL and b.data is not NULL
            if done:
                fnn_conv_backward_weight(type, a.data, b.data, pdw, &z, a.blocks, True,
                                         z.groups * ((outs + FNN_CONV_OUTPUTS - 1) // FNN_CONV_OUTPUTS))
                if pdb is not NULL:
                    fnn_plane_sums(type, b.data, pdb, b.blocks, z.outputs, b.size, z.outputs)
            fnn_pool_free(a.data)
            fnn_pool_free(b.data)
    if not done:
        raise MemoryError
    for given, made in ((grad_weight, dw), (grad_bias, db)):
        if given is not made:  # converted, or laid out in another way
            given[...] = made


# Pooling: every plane is a row of one channel. So many planes go to lanes and back at a time that they stay in cache.

cdef enum Pooling: MAX_FORWARD, MAX_BACKWARD, AVG_FORWARD, AVG_BACKWARD
cdef enum:
    POOL_BYTES = 1 << 19  # of the planes that one thread has in lanes
    POOL_SHARE = 1 << 21  # of several threads, each: less would not be worth waking them


cdef ndarray pooled(Pooling kind, ndarray x, ndarray dy, fnn_window z, bint pad_counts):
    """What pooling makes of x, or, on the way back, of dy (and of x for maxima)."""
    cdef ndarray given = dy if x is None else x
    cdef size_t rows = cnp.PyArray_DIM(given, 0) * cnp.PyArray_DIM(given, 1)
    cdef int type = type_of(given)
    cdef bint back = kind == MAX_BACKWARD or kind == AVG_BACKWARD, done = True
    cdef ndarray result = empty_planes(cnp.PyArray_DIM(given, 0), cnp.PyArray_DIM(given, 1),
                                       z.height if back else z.out_height, z.width if back else z.out_width,
                                       cnp.PyArray_TYPE(given))
    cdef char *px = <char *>data(x)
    cdef char *pdy = <char *>data(dy)
    cdef char *presult = <char *>data(result)
    z.channels = z.outputs = 1
    if rows and z.height * z.width and z.out_height * z.out_width:
        with nogil:
            if kind == MAX_BACKWARD and in_pairs(&z):
                fnn_max_pool_pairs_backward(type, px, pdy, presult, &z, rows)
            else:
                done = pooled_by_lanes(kind, type, px, pdy, presult, &z, rows, pad_counts)
    if not done:
        raise MemoryError
    return result


cdef bint in_pairs(const fnn_window *z) noexcept nogil:
    """Whether every element is in one window of two by two."""
    return (z.kernel_height == z.kernel_width == z.stride_down == z.stride_across == 2
            and z.dilation_down == z.dilation_across == 1 and z.pad_top == z.pad_left == 0
            and z.height == 2 * z.out_height and z.width == 2 * z.out_width)


cdef bint pooled_by_lanes(Pooling kind, int type, const char *px, const char *pdy, char *presult, const fnn_window *z,
                          size_t rows, bint pad_counts) noexcept nogil:
    cdef size_t item = 8 if type == FNN_TYPE_F64 else 4
    cdef size_t size = z.height * z.width, out_size = z.out_height * z.out_width
    cdef size_t block = fnn_lanes(type) * item * (2 * size + out_size)  # bytes
    cdef size_t threads = fnn_num_threads(), each = POOL_SHARE if threads > 1 else POOL_BYTES
    cdef size_t step = max(<size_t>1, each // block) * fnn_lanes(type) * threads, first = 0
    cdef Lanes a = lanes(type, min(step, rows), 1, size), b = lanes(type, min(step, rows), 1, out_size), c
    cdef bint back = kind == MAX_BACKWARD or kind == AVG_BACKWARD, done = a.data is not NULL and b.data is not NULL
    c.data = NULL
    if kind == MAX_BACKWARD:
        c = lanes(type, min(step, rows), 1, size)
        done = done and c.data is not NULL
    while done and first < rows:
        a = resized(type, a, min(step, rows - first))
        b = resized(type, b, a.rows)
        if px is not NULL:
            fnn_to_lanes(type, px + first * size * item, a.data, a.rows, 1, size, a.blocks)
        if pdy is not NULL:
            fnn_to_lanes(type, pdy + first * out_size * item, b.data, b.rows, 1, out_size, b.blocks)
        if kind == MAX_FORWARD:
            fnn_max_pool_forward(type, a.data, b.data, z, a.blocks)
        elif kind == MAX_BACKWARD:
            c = resized(type, c, a.rows)
            fnn_max_pool_backward(type, a.data, b.data, c.data, z, a.blocks)
        elif kind == AVG_FORWARD:
            fnn_avg_pool_forward(type, a.data, b.data, z, pad_counts, a.blocks)
        else:
            fnn_avg_pool_backward(type, b.data, a.data, z, pad_counts, a.blocks)
        emptied(type, c if kind == MAX_BACKWARD else a if back else b,
                presult + first * (size if back else out_size) * item)
        first += a.rows
    fnn_pool_free(a.data)
    fnn_pool_free(b.data)
    fnn_pool_free(c.data)
    return done


cdef Lanes resized(int type, Lanes a, size_t rows) noexcept nogil:
    """The same memory for fewer planes."""
    cdef size_t width = fnn_lanes(type)
    a.rows, a.blocks = rows, (rows + width - 1) // width
    return a


cdef fnn_window pool_window(tuple size, tuple out, tuple kernel, tuple stride, tuple padding, tuple dilation):
    cdef fnn_window z
    z.channels = z.outputs = z.groups = 1
    z.height, z.width = size
    z.out_height, z.out_width = out
    z.kernel_height, z.kernel_width = kernel
    z.stride_down, z.stride_across = stride
    z.dilation_down, z.dilation_across = dilation
    z.pad_top, z.pad_left = padding[0][0], padding[1][0]
    return z


def max_pool_forward(input, kernel, stride, padding, dilation):
    cdef ndarray x = plain(checks.images("MaxPool2d", input=input)[0])
    out = checks.window_counts("MaxPool2d", size_of_planes(x), kernel, stride, padding, dilation)
    return pooled(MAX_FORWARD, x, None, pool_window(size_of_planes(x), out, kernel, stride, padding, dilation), False)


def max_pool_backward(input, grad_output, kernel, stride, padding, dilation):
    cdef ndarray x, dy
    x, dy = map(plain, checks.images("MaxPool2d", input=input, grad_output=grad_output))
    out = checks.window_counts("MaxPool2d", size_of_planes(x), kernel, stride, padding, dilation)
    checks.shape("MaxPool2d", "grad_output", dy, (cnp.PyArray_DIM(x, 0), cnp.PyArray_DIM(x, 1), *out))
    return pooled(MAX_BACKWARD, x, dy, pool_window(size_of_planes(x), out, kernel, stride, padding, dilation), False)


def avg_pool_forward(input, kernel, stride, padding, count_include_pad):
    cdef ndarray x = plain(checks.images("AvgPool2d", input=input)[0])
    out = checks.window_counts("AvgPool2d", size_of_planes(x), kernel, stride, padding)
    return pooled(AVG_FORWARD, x, None, pool_window(size_of_planes(x), out, kernel, stride, padding, (1, 1)),
                  count_include_pad)


def avg_pool_backward(grad_output, size, kernel, stride, padding, count_include_pad):
    cdef ndarray dy = plain(checks.images("AvgPool2d", grad_output=grad_output)[0])
    checks.pair("AvgPool2d", "size", size, 0)
    out = checks.window_counts("AvgPool2d", size, kernel, stride, padding)
    checks.shape("AvgPool2d", "grad_output", dy, ("N", "C", *out))
    return pooled(AVG_BACKWARD, None, dy, pool_window(size, out, kernel, stride, padding, (1, 1)), count_include_pad)


cdef fnn_window even_windows(tuple size, tuple out):
    """Windows that cover the input evenly: a kernel of size 0."""
    return pool_window(size, out, (0, 0), (1, 1), ((0, 0), (0, 0)), (1, 1))


def adaptive_avg_pool_forward(input, out_size):
    cdef ndarray x = plain(checks.images("AdaptiveAvgPool2d", input=input)[0])
    checks.even_windows("AdaptiveAvgPool2d", size_of_planes(x), out_size)
    return pooled(AVG_FORWARD, x, None, even_windows(size_of_planes(x), out_size), False)


def adaptive_avg_pool_backward(grad_output, size):
    cdef ndarray dy = plain(checks.images("AdaptiveAvgPool2d", grad_output=grad_output)[0])
    checks.even_windows("AdaptiveAvgPool2d", size, size_of_planes(dy))
    return pooled(AVG_BACKWARD, None, dy, even_windows(size, size_of_planes(dy)), False)
