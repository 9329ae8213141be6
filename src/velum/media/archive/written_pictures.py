"""Finds pictures and files that are written into a text: in base64, base32, base85, digits, escapes and the like."""

import base64
import re
from collections.abc import Iterator

_LINKED_DATA = re.compile(rb"data:\s*(?:image|video|audio|font/svg|application/(?:pdf|zip|octet))", re.IGNORECASE)
_BASE64 = re.compile(rb"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{56,}")
_BASE32 = re.compile(rb"(?<![A-Za-z2-7])(?:[A-Z2-7]{56,}|[a-z2-7]{56,})")
_HEX = re.compile(rb"(?<![0-9A-Fa-f])[0-9A-Fa-f]{96,}")
_WRITTEN = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n|GIF8[79]a|RIFF....(?:WEBP|AVI )|II\*\0|MM\0\*|....ftyp|\xd0\xcf\x11\xe0|PK\x03\x04"
    rb"|%PDF-|\xd7\xcd\xc6\x9a|\x1a\x45\xdf\xa3|\x1f\x8b\x08|\x01\0\0\0.{36} EMF|BM.{12}[\x0c\x28\x6c\x7c]\0\0\0",
    re.DOTALL,
)
_BASE64_STARTS = re.compile(
    rb"(?:/9j/[2-7]|iVBORw0KGgo|R0lGOD[dl]h|UklGR|JVBERi0|0M8R4KGx|UEsDB|AAAADGpQIC|SUkqA|TU0AK)"
    rb"[A-Za-z0-9+/_-]{40}"
)
"""Beginnings of pictures and files in base64, wherever the lines around them begin."""
_HEX_STARTS = re.compile(
    rb"(?:(?!ffd8(?:ff[0-9a-f]{2}){3})ffd8ff[c-f][0-9a-f]|89504e470d0a1a0a|474946383[79]61|49492a00|4d4d002a|0000000c6a502020)[0-9a-f]{48}",
    re.IGNORECASE,
)
"""The same in hexadecimal digits; tables of characters have FFD8 too, with their neighbours behind it."""
_OTHER_CODES = re.compile(
    rb"^begin(?:-base64)? [0-7]{3,4} \S|=FF=D8=FF|=89PNG=0D"
    rb"|\b255[,;\s]+216[,;\s]+255[,;\s]+2[0-5]\d\b|\b137[,;\s]+80[,;\s]+78[,;\s]+71\b",
    re.MULTILINE,
)
"""Files in uuencode, and pictures in quoted-printable and lists of numbers."""
_ESCAPES = re.compile(
    rb"(?:\\xff\\xd8\\xff|\\377\\330\\377|\\u00ff\\u00d8\\u00ff|(?:\\x89|\\211|\\u0089)PNG\\|GIF8[79]a(?=.{0,20}\\))"
    rb"(?:\\x[0-9a-f]{2}|\\u[0-9a-f]{4}|\\[0-7]{1,3}|\\[^xu0-7]|[^\\\"'\r\n]|[\"'][\s+\\]*b?[\"']){24}",
    re.IGNORECASE,
)
"""Pictures in escapes of programs, as b'\\xff' in Python; a program that looks for their first bytes has fewer."""
_FOLD = re.compile(rb"(?<=[A-Za-z0-9+/_-])=?\r?\n[ \t]*(?=[A-Za-z0-9+/_-])")

_ASCII85 = bytes(range(33, 118))
_BASE85_ALPHABETS = (
    _ASCII85,
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~",
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#",
)
"""Digits of ascii85 (PostScript), of base85 (RFC 1924, as Python and Git write it), and of Z85 (ZeroMQ)."""
_JPEG_MARKERS = (0xC0, 0xC1, 0xC2, 0xC4, 0xDB, *range(0xE0, 0xF0), 0xFE)
_BASE85_BEGINNINGS = (b"\x89PNG\r\n\x1a\n", b"GIF8", *(b"\xff\xd8\xff" + bytes((marker,)) for marker in _JPEG_MARKERS))
_LEAST_BASE85 = 40
"""Digits that must follow a beginning, so that no word of a text is taken for one."""


def why_refused(text: bytes) -> str:
    """Say which picture or file is written into a text; empty where there is none."""
    if _LINKED_DATA.search(text):
        return "a text with a picture or a file written into it (data:)"
    if any(map(_WRITTEN.match, _written_bytes(text))):
        return "a text with a picture or a file written into it, in base64, base32 or hexadecimal digits"
    # Strings of JSON and of web forms write a slash in other ways, and long lines are folded.
    plain = _FOLD.sub(b"", text.replace(b"\\/", b"/").replace(b"%2F", b"/").replace(b"%2f", b"/").replace(b"%2B", b"+"))
    if _BASE64_STARTS.search(plain) or _HEX_STARTS.search(
        b"".join(plain.replace(b"0x", b"").replace(b",", b"").split())
    ):
        return "a text with a picture or a file written into it, in base64 or hexadecimal digits"
    is_other = (
        _OTHER_CODES.search(text) or _ESCAPES.search(text) or any(pattern.search(text) for pattern in _BASE85_STARTS)
    )
    return "a text with a picture or a file written into it" if is_other else ""


def _written_bytes(text: bytes) -> Iterator[bytes]:
    """Yield the first bytes of everything that a text may hold in base64, base32 or hexadecimal digits."""
    for match in _BASE64.finditer(text):
        yield base64.b64decode(
            match[0][:64].ljust(64, b"A"), altchars=b"-_" if b"-" in match[0] or b"_" in match[0] else None
        )
    for match in _BASE32.finditer(text):
        yield base64.b32decode(match[0][:56], casefold=True)
    for match in _HEX.finditer(text):
        yield bytes.fromhex(match[0][:96].decode())


def _base85_starts(digits: bytes) -> re.Pattern[bytes]:
    """Return a pattern of the beginnings of pictures in base85 with these digits: five for four bytes."""
    other = bytes.maketrans(_ASCII85, digits)
    beginnings = b"|".join(re.escape(base64.a85encode(start).translate(other)) for start in _BASE85_BEGINNINGS)
    return re.compile(rb"(?:%b)[%b\s]{%d}" % (beginnings, re.escape(digits), _LEAST_BASE85))


_BASE85_STARTS = tuple(map(_base85_starts, _BASE85_ALPHABETS))
