# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The compiled back end: the operations of reference/, with the same names, arguments and exceptions.

A definition first tests whether its arguments are plain (exact NumPy arrays of one floating dtype, contiguous, of
matching shapes), a few nanoseconds through NumPy's C interface. Whatever else comes goes through checks.py, which
converts it or raises the line that the reference raises. Then the result is made and the C entry of csrc/fnn.h runs
without the GIL. Kernels cannot fail and read nothing that was not checked here. One file a family, in core/.
"""

from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New
from libc.math cimport pow, sqrt
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset, strcpy

cimport numpy as cnp
from numpy cimport ndarray

import numpy as np

from . import checks

cnp.import_array()

include "core/interface.pxi"
include "core/memory.pxi"
include "core/arrays.pxi"
include "core/linear.pxi"
include "core/elementwise.pxi"
include "core/channels.pxi"
include "core/windows.pxi"
include "core/norms.pxi"
include "core/copies.pxi"
include "core/losses.pxi"
include "core/updates.pxi"
include "core/program.pxi"
include "core/settings.pxi"

fnn_init()
