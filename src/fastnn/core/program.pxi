# Programs: training steps and inference as lists of instructions, csrc/program.h. What makes the list is program/; here
# a list gets its memory, and before every run it is asked whether the model is still the one that it was made from.

from cpython.dict cimport PyDict_GetItem
from cpython.exc cimport PyErr_CheckSignals
from cpython.pythread cimport (
    NOWAIT_LOCK, WAIT_LOCK, PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock, PyThread_release_lock,
    PyThread_type_lock)
from cpython.ref cimport PyObject
from libc.stdlib cimport calloc, free

cdef tuple SPLITS = ("rows", "across", "params")
# The number and the split of each instruction by name.
INSTRUCTIONS = {(<bytes>fnn_instruction_names[i]).decode(): (i, SPLITS[fnn_instruction_splits[i]])
                for i in range(FNN_INSTRUCTION_COUNT)}
cdef dict OPTIMIZERS = {"sgd": FNN_SGD, "adam": FNN_ADAM, "rmsprop": FNN_RMSPROP, "adagrad": FNN_ADAGRAD}
cdef dict REDUCTION_KINDS = {"mean": FNN_MEAN, "sum": FNN_SUM, "batchmean": FNN_BATCHMEAN}

cdef enum:
    ALIGNED = 64
    AXES = 4  # of an array, at most
    NS_PER_THREAD = 25000  # FNN_NS_PER_THREAD
    STAGGER = 192  # bytes between arrays of the arena, so that equal offsets in them share no set of a cache


def unary_kind(name, double a, double b):
    """The number of an activation, and whether its gradient may be taken at the output."""
    cdef int kind = UNARY_KINDS[name]
    return kind, bool(fnn_unary_at_output(kind, a, b))


def panel_width(dtype):
    """How many columns a panel of a packed weight has."""
    return fnn_gemm_panel() // dtype.itemsize


def loss_kind(name):
    return LOSS_KINDS[name]


cdef class Program:
    """One program, its memory, and what it was made from. Everything that `program/` hands over was checked there."""

    cdef fnn_program program
    cdef list arena  # (bytes a row, bytes besides) of each place in the arena
    cdef list arrays  # of the model, whose places come after the arena's
    cdef ndarray memory
    cdef size_t capacity, arenas  # rows that an arena and a room have place for, and how many arenas there are
    cdef list watched  # (dictionary, key, value)
    cdef list lists  # (list, its items as a tuple)
    cdef list converted  # (array, its copy in another dtype)
    cdef list states  # the optimiser's of each parameter
    cdef list masks, counters
    cdef list scalars  # (dictionary, key, value) of the optimiser, and who works them out again
    cdef object rescale
    cdef tuple shape, out_shape  # of a row
    cdef readonly cnp.npy_intp least_rows  # of a batch
    cdef cnp.npy_intp most_rows  # or 0
    cdef size_t item, x_row, y_row
    cdef int64_t table_rows  # 0: rows are of floats; else of numbers below
    cdef void **expected  # data of the arrays
    cdef bint *writeable
    cdef int *ndims
    cdef cnp.npy_intp *layouts  # shape and stride of each axis
    cdef cnp.npy_intp *sizes  # bytes
    cdef bint lanes  # whether there are arrays in lanes, which are those of an instruction set
    cdef int isa
    cdef PyThread_type_lock lock
    cdef object owner

    def __cinit__(self):
        self.lock = PyThread_allocate_lock()

    def __dealloc__(self):
        free(self.program.code)
        free(self.program.values)
        free(self.program.parameters)
        free(self.program.masks)
        free(self.program.windows)
        free(self.program.counters)
        free(self.expected)
        free(self.writeable)
        free(self.ndims)
        free(self.layouts)
        free(self.sizes)
        if self.lock is not NULL:
            PyThread_free_lock(self.lock)

    def __init__(self, dtype, code, arena, arrays, shape, out_shape, watched, lists, converted, scratch, ns,
                 least_rows):
        cdef fnn_program *p = &self.program
        cdef Py_ssize_t i
        cdef int j
        cdef ndarray array
        self.item = dtype.itemsize
        p.type = FNN_TYPE_F64 if self.item == 8 else FNN_TYPE_F32
        self.arena, self.arrays, self.shape, self.out_shape = arena, arrays, shape, out_shape
        self.watched, self.lists, self.converted = watched, lists, converted
        self.states, self.masks, self.counters, self.scalars, self.least_rows = [], [], [], [], least_rows
        self.x_row = self.item
        for size in shape:
            self.x_row *= <size_t>size
        self.y_row = self.item
        for size in out_shape:
            self.y_row *= <size_t>size
        p.scratch, p.ns = scratch, ns
        p.count = len(code)
        p.arena_places = len(arena)
        p.places = FNN_PLACES + len(arena) + len(arrays)
        p.code = <fnn_instruction *>calloc(p.count + 1, sizeof(fnn_instruction))
        p.values = <void **>calloc(p.places + 1, sizeof(void *))
        self.expected = <void **>calloc(len(arrays) + 1, sizeof(void *))
        self.writeable = <bint *>calloc(len(arrays) + 1, sizeof(bint))
        self.ndims = <int *>calloc(len(arrays) + 1, sizeof(int))
        self.layouts = <cnp.npy_intp *>calloc(2 * AXES * len(arrays) + 1, sizeof(cnp.npy_intp))
        self.sizes = <cnp.npy_intp *>calloc(len(arrays) + 1, sizeof(cnp.npy_intp))
        if (p.code is NULL or p.values is NULL or self.expected is NULL or self.writeable is NULL
                or self.ndims is NULL or self.layouts is NULL or self.sizes is NULL or self.lock is NULL):
            raise MemoryError
        for i, instruction in enumerate(code):
            self._instruction(&p.code[i], instruction)
        for i, array in enumerate(arrays):
            self.expected[i] = p.values[FNN_PLACES + p.arena_places + i] = cnp.PyArray_DATA(array)
            self.writeable[i] = cnp.PyArray_ISWRITEABLE(array)
            self.ndims[i] = cnp.PyArray_NDIM(array)
            self.sizes[i] = cnp.PyArray_NBYTES(array)
            for j in range(min(self.ndims[i], AXES)):
                self.layouts[2 * (AXES * i + j)] = cnp.PyArray_DIM(array, j)
                self.layouts[2 * (AXES * i + j) + 1] = cnp.PyArray_STRIDE(array, j)

    cdef int _instruction(self, fnn_instruction *to, tuple instruction) except -1:
        cdef Py_ssize_t i
        name, meet, operands, numbers, scalars = instruction
        to.kind, to.meet = INSTRUCTIONS[name][0], meet
        for i, place in enumerate(operands):
            to.v[i] = place
        for i, number in enumerate(numbers):
            to.n[i] = number
        for i, scalar in enumerate(scalars):
            to.d[i] = scalar
        return 0

    def train_with(self, parameters, squares, states, firsts, kind, scalars, penalty, watched_scalars, rescale, masks,
                   counters, reduction, classes, rows, weighted, ignore_index, size, weight, losses, hits, gathered,
                   gathered_targets, gathered_weights):
        """What a program with a loss and an optimiser has besides; places are numbers."""
        cdef fnn_program *p = &self.program
        cdef Py_ssize_t i, j
        cdef ndarray counter
        p.parameter_count, p.mask_count, p.counter_count = len(parameters), len(masks), len(counters)
        p.parameters = <fnn_parameter *>calloc(p.parameter_count + 1, sizeof(fnn_parameter))
        p.masks = <fnn_mask *>calloc(p.mask_count + 1, sizeof(fnn_mask))
        p.counters = <int64_t **>calloc(p.counter_count + 1, sizeof(int64_t *))
        if p.parameters is NULL or p.masks is NULL or p.counters is NULL:
            raise MemoryError
        for i, places in enumerate(parameters):
            p.parameters[i].p = places[0]
            for j, place in enumerate(places[1:]):
                p.parameters[i].states[j] = place
            p.parameters[i].first = firsts[i]
            p.parameters[i].squares, p.parameters[i].size = squares[i]
        for i, counter in enumerate(counters):
            p.counters[i] = <int64_t *>cnp.PyArray_DATA(counter)
        self.states, self.masks, self.counters = states, masks, counters
        self.scalars, self.rescale = watched_scalars, rescale
        p.optimizer.kind = OPTIMIZERS[kind]
        p.scratch = max(p.scratch, <size_t>FNN_GEMM_SPACE)
        self._set_scalars(scalars, penalty)
        p.criterion.reduction, p.criterion.classes, p.criterion.rows = REDUCTION_KINDS[reduction], classes, rows
        p.criterion.weighted = weighted
        p.criterion.ignore_index, p.criterion.size = ignore_index, size
        p.criterion.weight, p.criterion.losses = weight, losses
        p.hits, p.gathered, p.gathered_targets, p.gathered_weights = hits, gathered, gathered_targets, gathered_weights

    def watch(self, entries):
        """Watch these (dictionary, key, value) too."""
        self.watched += entries

    def slide(self, windows):
        """The windows of convolutions and pooling, as tuples in the order of the fields; arrays are then in lanes."""
        cdef fnn_window *z
        cdef Py_ssize_t i
        self.program.windows = <fnn_window *>calloc(len(windows) + 1, sizeof(fnn_window))
        if self.program.windows is NULL:
            raise MemoryError
        for i in range(len(windows)):
            z = &self.program.windows[i]
            (z.channels, z.height, z.width, z.outputs, z.out_height, z.out_width, z.kernel_height, z.kernel_width,
             z.stride_down, z.stride_across, z.dilation_down, z.dilation_across, z.pad_top, z.pad_left,
             z.groups) = windows[i]
        self.lanes, self.isa = True, fnn_isa()

    def look_up(self, table_rows):
        """Take rows of int64 numbers from 0 and below `table_rows`."""
        self.table_rows = table_rows
        self.x_row = self.x_row // self.item * sizeof(int64_t)

    def limit(self, least, most):
        """Take batches of at least and at most so many rows; None for any number."""
        self.least_rows = max(self.least_rows, least)
        self.most_rows = 0 if most is None else most

    def keep(self, owner):
        """Keep alive what the program's arrays belong to."""
        self.owner = owner

    def block(self, size_t bytes, size_t least):
        """How many rows of the widest array of the arena have about so many bytes."""
        cdef size_t widest = max([per_row for per_row, _ in self.arena], default=1) or 1
        return max(bytes // widest // 16 * 16, least)

    cdef int _set_scalars(self, scalars, double penalty) except -1:
        cdef int i
        self.program.optimizer.penalty = penalty
        for i, scalar in enumerate(scalars):
            self.program.optimizer.d[i] = scalar
        return 0

    cdef bint _same(self) except -1:
        """Whether the model, its arrays and the optimiser's are still those that the program was made from."""
        cdef tuple entry
        cdef PyObject *found
        cdef Py_ssize_t i
        cdef list items
        cdef tuple expected
        if self.lanes and self.isa != fnn_isa():
            return False
        for entry in self.watched:
            found = PyDict_GetItem(entry[0], entry[1])
            if found is not <PyObject *>entry[2] and not (found is NULL and entry[2] is MISSING):
                return False
        for entry in self.lists:
            items, expected = entry[0], entry[1]
            if len(items) != len(expected):
                return False
            for i in range(len(expected)):
                if items[i] is not expected[i]:
                    return False
        for i in range(len(self.arrays)):
            if (cnp.PyArray_DATA(<ndarray>self.arrays[i]) is not self.expected[i]
                    or not self._shaped(<ndarray>self.arrays[i], i)
                    or cnp.PyArray_ISWRITEABLE(<ndarray>self.arrays[i]) != self.writeable[i]):
                return False
        return True

    cdef inline bint _shaped(self, ndarray array, Py_ssize_t i) noexcept:
        """Whether an array of the model has the shape and the strides that it had: both can be assigned."""
        cdef int j, ndim = cnp.PyArray_NDIM(array)
        cdef cnp.npy_intp *layout = self.layouts + 2 * AXES * i
        if ndim > AXES or ndim != self.ndims[i]:
            return False
        for j in range(ndim):
            if cnp.PyArray_DIM(array, j) != layout[2 * j] or cnp.PyArray_STRIDE(array, j) != layout[2 * j + 1]:
                return False
        return True

    cdef bint _apart(self, ndarray x) noexcept:
        """Whether x shares no memory with the arrays of the model, which change before x was read for the last time."""
        cdef char *start = <char *>cnp.PyArray_DATA(x)
        cdef char *end = start + cnp.PyArray_NBYTES(x)
        cdef Py_ssize_t i
        for i in range(len(self.arrays)):
            if <char *>self.expected[i] < end and start < <char *>self.expected[i] + self.sizes[i]:
                return False
        return True

    cdef bint _scalars_same(self) except -1:
        """The optimiser's numbers, worked out again where one was assigned."""
        cdef tuple entry
        cdef Py_ssize_t i
        for entry in self.scalars:
            if PyDict_GetItem(entry[0], entry[1]) is not <PyObject *>entry[2]:
                break
        else:
            return True
        fresh = self.rescale()
        if fresh is None:
            return False
        scalars, penalty, self.scalars = fresh
        self._set_scalars(scalars, penalty)
        return True

    cdef size_t _threads(self, size_t rows):
        """At most so many threads are worth waking for so many rows."""
        cdef double worth = <double>rows * self.program.ns / NS_PER_THREAD
        return 1 if worth < 2 else <size_t>min(<double>fnn_num_threads(), worth)

    cdef int _reserve(self, size_t rows, size_t arenas, size_t members) except -1:
        """Memory for so many rows: arenas, and a room for each member of a team."""
        cdef fnn_program *p = &self.program
        cdef size_t offset = 0, i
        cdef char *start
        cdef cnp.npy_intp bytes
        if rows <= self.capacity and arenas <= self.arenas and members <= <size_t>p.members:
            return 0
        rows, arenas, members = max(rows, self.capacity), max(arenas, self.arenas), max(members, <size_t>p.members)
        if self.lanes:
            rows = (rows + 15) // 16 * 16  # whole blocks of lanes, of any instruction set
        offsets = []
        for per_row, fixed in self.arena:
            offsets.append(offset)
            offset += (per_row * rows + fixed + ALIGNED - 1) // ALIGNED * ALIGNED + STAGGER
        p.arena_size = (offset + 4095) // 4096 * 4096
        p.room = fnn_room(p, rows)
        bytes = p.arena_size * arenas + p.room * members + ALIGNED
        self.memory = None
        self.capacity = self.arenas = p.members = 0
        self.memory = empty(1, &bytes, cnp.NPY_UINT8, bytes)
        start = <char *>cnp.PyArray_DATA(self.memory)
        start += (ALIGNED - <size_t>start % ALIGNED) % ALIGNED
        for i in range(p.arena_places):
            p.values[FNN_PLACES + i] = start + <size_t>offsets[i]
        p.rooms = start + p.arena_size * arenas
        self.capacity, self.arenas, p.members = rows, arenas, <int>members
        return 0

    cdef bint _input_fits(self, object x) except -1:
        if self.table_rows == 0:
            return self._rows_fit(x, self.shape)
        return (cnp.PyArray_CheckExact(x) and cnp.PyArray_TYPE(<ndarray>x) == cnp.NPY_INT64
                and cnp.PyArray_ISCARRAY_RO(<ndarray>x) and self._rows_shaped(x, self.shape)
                and are_below(x, self.table_rows))

    cdef bint _rows_fit(self, object x, tuple shape) except -1:
        """A plain array of the program's dtype whose rows have a shape."""
        return is_plain(x) and type_of(<ndarray>x) == self.program.type and self._rows_shaped(x, shape)

    cdef bint _rows_shaped(self, ndarray x, tuple shape) except -1:
        cdef int i
        if cnp.PyArray_NDIM(x) != len(shape) + 1:
            return False
        for i in range(len(shape)):
            if cnp.PyArray_DIM(x, i + 1) != <cnp.npy_intp>shape[i]:
                return False
        return True

    cdef bint _target_fits(self, object y, cnp.npy_intp rows) except -1:
        if not cnp.PyArray_CheckExact(y) or cnp.PyArray_NDIM(<ndarray>y) < 1 or cnp.PyArray_DIM(<ndarray>y, 0) != rows:
            return False
        if self.program.criterion.rows:
            return self._rows_fit(y, self.out_shape)
        return (cnp.PyArray_TYPE(<ndarray>y) == cnp.NPY_INT64 and cnp.PyArray_ISCARRAY_RO(<ndarray>y)
                and cnp.PyArray_NDIM(<ndarray>y) == 1
                and _labels_fit(y, self.program.criterion.size, self.program.criterion.ignore_index))

    cdef bint _weights_fit(self, object weights, cnp.npy_intp rows) except -1:
        """float64 weights of the rows where the program takes them, else None."""
        if weights is None or not self.program.criterion.weighted:
            return weights is None and not self.program.criterion.weighted
        return (cnp.PyArray_CheckExact(weights) and cnp.PyArray_TYPE(<ndarray>weights) == cnp.NPY_DOUBLE
                and cnp.PyArray_ISCARRAY_RO(<ndarray>weights) and cnp.PyArray_NDIM(<ndarray>weights) == 1
                and cnp.PyArray_DIM(<ndarray>weights, 0) == rows)

    cdef int _acquire(self) except -1:
        if not PyThread_acquire_lock(self.lock, NOWAIT_LOCK):
            with nogil:
                PyThread_acquire_lock(self.lock, WAIT_LOCK)
        return 0

    cdef int _begin(self) except -1:
        """Read what the model and the optimiser count."""
        cdef Py_ssize_t i
        for i in range(len(self.states)):
            self.program.parameters[i].step = (<dict>self.states[i])["step"]
        for i in range(len(self.masks)):
            self.program.masks[i].key = self.masks[i].key & MASK64
            self.program.masks[i].step = self.masks[i].step & MASK64
        for source, copy in self.converted:
            copy[...] = source
        return 0

    cdef int _end(self) except -1:
        cdef Py_ssize_t i
        for i in range(len(self.states)):
            (<dict>self.states[i])["step"] = <long long>self.program.parameters[i].step
        for i in range(len(self.masks)):
            self.masks[i].step = self.program.masks[i].step
        return 0

    def step(self, x, y, weights=None):
        """The loss of a step on a batch; None if the program is not made for what is given, and nothing was done."""
        cdef fnn_batches b
        cdef double loss = 0, penalty = 0
        if not self._input_fits(x):
            return None
        cdef cnp.npy_intp rows = cnp.PyArray_DIM(<ndarray>x, 0)
        if rows < self.least_rows or not self._target_fits(y, rows) or not self._weights_fit(weights, rows):
            return None
        self._acquire()
        try:
            if not self._same() or not self._scalars_same() or not self._apart(x):
                return None
            self._reserve(rows, 1, self._threads(rows))
            self._begin()
            b.x, b.y = <const char *>cnp.PyArray_DATA(<ndarray>x), <const char *>cnp.PyArray_DATA(<ndarray>y)
            b.x_row = b.y_row = b.done = 0
            b.order = NULL
            b.rows = b.batch = rows
            b.steps, b.losses, b.penalties = 1, &loss, &penalty if self.program.optimizer.penalty else NULL
            b.weights = NULL
            if weights is not None:
                b.weights = <const double *>cnp.PyArray_DATA(<ndarray>weights)
            b.hits = b.counted = b.counting = 0
            with nogil:
                fnn_train(&self.program, &b, 0)
            self._end()
        finally:
            PyThread_release_lock(self.lock)
        return loss

    def epoch(self, x, y, weights, order, size_t batch, bint drop_last, on_steps):
        """Steps over all rows, or those of `order`: the losses of the steps, the penalties in them or None, hits, and
        rows that count. None as in `step`.

        `on_steps` is called every now and then with the number of new steps. Where it or a signal raises, what was done
        stays done.
        """
        cdef fnn_batches b
        cdef ndarray losses, penalties = None
        cdef size_t before, most
        if not self._input_fits(x):
            return None
        cdef cnp.npy_intp rows = cnp.PyArray_DIM(<ndarray>x, 0)
        cdef size_t rest
        if not self._target_fits(y, rows) or not self._weights_fit(weights, rows):
            return None
        if order is not None:
            if not is_order(order, rows):
                return None
            rows = cnp.PyArray_DIM(<ndarray>order, 0)
        rest = rows % batch
        if drop_last:
            rows, rest = rows - rest, 0
        if rows < self.least_rows or (rest and rest < <size_t>self.least_rows) or batch < <size_t>self.least_rows:
            return None
        self._acquire()
        try:
            if not self._same() or not self._scalars_same() or not self._apart(x):
                return None
            most = min(batch, <size_t>rows)
            self._begin()
            b.steps = (rows + batch - 1) // batch
            losses = np.empty(b.steps)
            b.penalties = NULL
            if self.program.optimizer.penalty:
                penalties = np.empty(b.steps)
                b.penalties = <double *>cnp.PyArray_DATA(penalties)
            b.weights = NULL
            if weights is not None:
                b.weights = <const double *>cnp.PyArray_DATA(<ndarray>weights)
            b.x, b.y = <const char *>cnp.PyArray_DATA(<ndarray>x), <const char *>cnp.PyArray_DATA(<ndarray>y)
            b.x_row = self.x_row
            b.y_row = self.y_row if self.program.criterion.rows else sizeof(int64_t)
            b.order = NULL
            if order is not None:
                b.order = <const int64_t *>cnp.PyArray_DATA(<ndarray>order)
            b.rows, b.batch, b.done, b.losses = rows, batch, 0, <double *>cnp.PyArray_DATA(losses)
            b.hits = b.counted = 0
            b.counting = self.program.hits != 0
            while b.done < b.steps:
                before = b.done
                self._reserve(most, 1, self._threads(most))  # again where a step taken in between found none
                with nogil:
                    fnn_train(&self.program, &b, SLICE)
                self._end()
                if not self._look_around(on_steps, b.done - before) and b.done < b.steps:
                    raise RuntimeError(f"epoch: expected the model as it was, got a change after {b.done} steps")
        finally:
            PyThread_release_lock(self.lock)
        return losses, penalties, b.hits, b.counted

    cdef bint _look_around(self, on_steps, size_t steps) except -1:
        """Let signals and `on_steps` have their turn, which may run the program; whether the model is the same."""
        PyThread_release_lock(self.lock)
        try:
            PyErr_CheckSignals()
            if on_steps is not None:
                on_steps(steps)
        finally:
            self._acquire()
        if not self._same() or not self._scalars_same():
            return False
        self._begin()
        return True

    def infer(self, x, size_t block):
        """The output at x, or None as in `step`; one thread at a time."""
        cdef ndarray y
        cdef cnp.npy_intp[32] dims
        cdef int i, ndim = len(self.out_shape) + 1
        if not self._input_fits(x) or ndim > 32:
            return None
        cdef cnp.npy_intp rows = cnp.PyArray_DIM(<ndarray>x, 0)
        cdef size_t threads = 1
        if rows < self.least_rows or (self.most_rows and rows > self.most_rows):
            return None
        if not PyThread_acquire_lock(self.lock, NOWAIT_LOCK):
            return BUSY
        try:
            if not self._same():
                return None
            if block == 0:
                block = rows
            else:
                threads = self._threads(rows)
            self._reserve(min(block, <size_t>rows), threads, threads)
            for source, copy in self.converted:
                copy[...] = source
            dims[0] = rows
            for i in range(ndim - 1):
                dims[i + 1] = self.out_shape[i]
            y = empty(ndim, dims, cnp.NPY_DOUBLE if self.program.type == FNN_TYPE_F64 else cnp.NPY_FLOAT,
                      rows * self.y_row)
            with nogil:
                fnn_infer(&self.program, <const char *>cnp.PyArray_DATA(<ndarray>x), self.x_row,
                          <char *>cnp.PyArray_DATA(y), self.y_row, rows, block, <int>threads)
        finally:
            PyThread_release_lock(self.lock)
        return y


cdef double SLICE = 0.05  # seconds after which signals are looked at
MISSING = object()  # stands for an attribute that is not there
BUSY = object()  # what `infer` returns while another thread runs the program


cdef bint is_order(object a, cnp.npy_intp rows):
    """Numbers of rows."""
    return (cnp.PyArray_CheckExact(a) and cnp.PyArray_TYPE(<ndarray>a) == cnp.NPY_INT64
            and cnp.PyArray_ISCARRAY_RO(<ndarray>a) and cnp.PyArray_NDIM(<ndarray>a) == 1 and are_below(a, rows))


cdef bint are_below(ndarray a, int64_t end):
    """Whether all int64 numbers are from 0 and below the end."""
    cdef const int64_t *numbers = <const int64_t *>cnp.PyArray_DATA(a)
    cdef cnp.npy_intp i
    for i in range(cnp.PyArray_SIZE(a)):
        if not 0 <= numbers[i] < end:
            return False
    return True
