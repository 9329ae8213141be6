"""The TurboJPEG library of the system: coefficients of a JPEG, read and replaced without decoding.

The only file that knows the library. It is called by the interface of its version 2, which later ones offer too.
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
"""Called with the number of a component, that of a row of its blocks, and the row, which may be changed in place."""

KeepBlock = Callable[[int, int], bool]
"""Tells by the number of a component and that of a row whether the row is to be seen."""

_NAMES = {
    "darwin": ("libturbojpeg.0.dylib", "libturbojpeg.dylib"),
    "win32": ("turbojpeg.dll", "libturbojpeg.dll"),
}
_OTHERWISE = ("libturbojpeg.so.0", "libturbojpeg.so")

_NO_OUTPUT, _PROGRESSIVE, _COPY_NONE = 16, 32, 64
"""Options of a transform (turbojpeg.h, TJXOPT_...)."""


class _Region(ctypes.Structure):
    _fields_ = (("x", ctypes.c_int), ("y", ctypes.c_int), ("w", ctypes.c_int), ("h", ctypes.c_int))


_Called = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, _Region, _Region, ctypes.c_int, ctypes.c_int, ctypes.c_void_p)


class _Transform(ctypes.Structure):
    _fields_ = (
        ("r", _Region), ("op", ctypes.c_int), ("options", ctypes.c_int), ("data", ctypes.c_void_p),
        ("customFilter", _Called),
    )  # fmt: skip


class TurboJpegError(Exception):
    """The library could not read the file, or warned about it."""


def available() -> bool:
    """Tell whether the library is on this system."""
    return _library() is not None


def coefficients(data: bytes, read: Filter) -> None:
    """Have each row of blocks read, of all components in turn. Raises `TurboJpegError`."""
    _transformed(data, lambda _component, _row: True, read, _NO_OUTPUT)


def edited(data: bytes, wanted: KeepBlock, edit: Filter, *, progressive: bool) -> bytes:
    """Return the JPEG with the rows that are `wanted` as `edit` left them, and without any metadata.

    Raises `TurboJpegError`.

    Huffman codes are made anew, restart markers are left out; every coefficient that is not changed stays.
    """
    return _transformed(data, wanted, edit, _COPY_NONE | (_PROGRESSIVE if progressive else 0))


def _transformed(data: bytes, wanted: KeepBlock, touch: Filter, options: int) -> bytes:
    library = _library()
    if library is None:
        raise TurboJpegError("there is no TurboJPEG library on this system")
    failed: list[BaseException] = []

    def called(blocks: Any, row: Any, plane: Any, component: int, _number: int, _transform: Any) -> int:
        try:
            number = row.y // 8
            if row.y < plane.h and wanted(component, number):
                held = (ctypes.c_short * (row.w * 8)).from_address(blocks)
                touch(component, number, np.frombuffer(held, np.int16).reshape(-1, 64))
        except Exception as error:  # noqa: BLE001 - nothing may be raised through the library; it is raised below
            failed.append(error)
            return -1
        return 0

    handle = library.tjInitTransform()
    if not handle:
        raise TurboJpegError("the TurboJPEG library could not begin")
    out, size = ctypes.POINTER(ctypes.c_ubyte)(), ctypes.c_ulong(0)
    transform = _Transform(options=options, customFilter=_Called(called))
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
    """Return the library; None where it is not installed."""
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
