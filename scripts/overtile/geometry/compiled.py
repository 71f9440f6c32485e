"""How this project compiles loops: without Python's lock, and kept on disk where there is room."""

from numba import njit


def compiled(function):
    """Compile a function when it is first called, and keep the result beside its file.

    Where neither that folder nor the user's cache can be written, it is compiled in each process;
    the variable NUMBA_CACHE_DIR names a folder that can.
    """
    try:
        return njit(nogil=True, cache=True, error_model="numpy")(function)
    except RuntimeError:  # numba: no locator available
        return njit(nogil=True, error_model="numpy")(function)
