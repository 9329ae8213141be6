"""Binding of the system's TurboJPEG library: reads and replaces the coefficients of a JPEG without decoding it.

It uses the interface of version 2, which later versions offer too.
"""

import ctypes
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

Blocks = npt.NDArray[np.int16]
"""Quantised coefficients of one row of blocks, (blocks, 64), in natural order."""

Filter = Callable[[int, int, Blocks], None]
"""Called with the index of a component, the index of a row of its blocks, and the row, which it may change in place."""

KeepBlock = Callable[[int, int], bool]
"""Tells, by the index of a component and of a row of its blocks, whether the filter should see the row."""

_NAMES = {
    "darwin": ("libturbojpeg.0.dylib", "libturbojpeg.dylib"),
    "win32": ("turbojpeg.dll", "libturbojpeg.dll"),
}
_OTHERWISE = ("libturbojpeg.so.0", "libturbojpeg.so")

_NO_OUTPUT, _PROGRESSIVE, _COPY_NONE = 16, 32, 64
"""Options of a transform (turbojpeg.h, TJXOPT_...)."""


class _Region(ctypes.Structure):
    _fields_ = (("x", ctypes.c_int), ("y", ctypes.c_int), ("w", ctypes.c_int), ("h", ctypes.c_int))


_FilterCallback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, _Region, _Region, ctypes.c_int, ctypes.c_int, ctypes.c_void_p
)


class _Transform(ctypes.Structure):
    _fields_ = (
        ("r", _Region), ("op", ctypes.c_int), ("options", ctypes.c_int), ("data", ctypes.c_void_p),
        ("customFilter", _FilterCallback),
    )  # fmt: skip


class TurboJpegError(Exception):
    """The library is missing, could not read the file, or warned about it."""


def available() -> bool:
    """Tell whether the library is on this system."""
    return _library() is not None


def coefficients(data: bytes, read: Filter) -> None:
    """Call `read` for each row of blocks, component by component. Raises `TurboJpegError`."""
    _run_transform(data, lambda _component, _row: True, read, _NO_OUTPUT)


def replace_coefficients(data: bytes, keep: KeepBlock, edit: Filter, *, progressive: bool) -> bytes:
    """Return the JPEG after `edit` has seen each `keep` row of blocks, without any metadata. Raises `TurboJpegError`.

    Huffman tables are built anew and restart markers are left out; coefficients that `edit` does not change stay.
    """
    return _run_transform(data, keep, edit, _COPY_NONE | (_PROGRESSIVE if progressive else 0))


def _run_transform(data: bytes, keep: KeepBlock, touch: Filter, options: int) -> bytes:
    library = _library()
    if library is None:
        raise TurboJpegError("there is no TurboJPEG library on this system")
    failed: list[BaseException] = []

    def filter_row(blocks: Any, row: Any, plane: Any, component: int, _number: int, _transform: Any) -> int:
        try:
            number = row.y // 8
            if row.y < plane.h and keep(component, number):
                samples = (ctypes.c_short * (row.w * 8)).from_address(blocks)
                touch(component, number, np.frombuffer(samples, np.int16).reshape(-1, 64))
        except Exception as error:  # noqa: BLE001 - must not pass through the C library; raised again below
            failed.append(error)
            return -1
        return 0

    handle = library.tjInitTransform()
    if not handle:
        raise TurboJpegError("the TurboJPEG library could not allocate a transformer")
    out, size = ctypes.POINTER(ctypes.c_ubyte)(), ctypes.c_ulong(0)
    transform = _Transform(options=options, customFilter=_FilterCallback(filter_row))
    try:
        wrong = library.tjTransform(
            handle, data, len(data), 1, ctypes.byref(out), ctypes.byref(size), ctypes.byref(transform), 0
        )
        if failed:
            raise failed[0]
        if wrong:
            raise TurboJpegError(library.tjGetErrorStr2(handle).decode("utf-8", "replace"))
        return ctypes.string_at(out, size.value) if size.value else b""
    finally:
        library.tjFree(out)
        library.tjDestroy(handle)


@cache
def _library() -> ctypes.CDLL | None:
    """Load the library and declare its functions; None where it is not installed."""
    for name in _NAMES.get(sys.platform, _OTHERWISE):
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.tjInitTransform.restype = ctypes.c_void_p
        library.tjTransform.argtypes = (
            ctypes.c_void_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p,
            ctypes.c_void_p, ctypes.c_int,
        )  # fmt: skip
        library.tjGetErrorStr2.argtypes, library.tjGetErrorStr2.restype = (ctypes.c_void_p,), ctypes.c_char_p
        library.tjFree.argtypes, library.tjFree.restype = (ctypes.c_void_p,), None
        library.tjDestroy.argtypes = (ctypes.c_void_p,)
        return library
    return None
