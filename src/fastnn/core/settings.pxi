# Instruction set, GEMM provider, threads; backend.py is the only caller.

GEMM_PROVIDERS = ("auto", "native", "blas")


def isa_names():
    """The instruction sets compiled in, slowest first."""
    return [(<bytes>fnn_isa_names[i]).decode() for i in range(fnn_isa_count)]


def isa_available():
    """Those of them that this CPU and its system run."""
    return [name for i, name in enumerate(isa_names()) if fnn_isa_supported(i)]


def isa():
    return isa_names()[fnn_isa()]


def set_isa(name):
    if name not in isa_available():
        raise ValueError(f"FASTNN_ISA: expected one of {', '.join(isa_available())}, got {name}")
    fnn_set_isa(isa_names().index(name))


def gemm_provider():
    return GEMM_PROVIDERS[fnn_gemm_provider()]


def set_gemm_provider(name):
    known = GEMM_PROVIDERS if fnn_has_blas() else GEMM_PROVIDERS[:2]
    if name not in known:
        raise ValueError(f"FASTNN_GEMM: expected one of {', '.join(known)}, got {name}")
    fnn_set_gemm_provider(GEMM_PROVIDERS.index(name))


def blas():
    """What the BLAS says of itself, or None without one."""
    return fnn_blas_config().decode() if fnn_has_blas() else None


def has_openmp():
    return bool(fnn_has_openmp())


def num_threads():
    return fnn_num_threads()


def set_num_threads(int count):
    fnn_set_num_threads(count)


def set_thread_limit(int limit):
    fnn_set_thread_limit(limit)
