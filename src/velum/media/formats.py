"""Detection of image and video formats by content, never by a file's name; and the suffix of each format."""

import os
import re
from pathlib import Path

from velum.errors import BadInput, BadPlan

SUFFIXES = {
    ".avif": "AVIF", ".bmp": "BMP", ".gif": "GIF", ".heic": "HEIF", ".heif": "HEIF", ".hif": "HEIF",
    ".j2c": "JPEG2000", ".j2k": "JPEG2000", ".jfif": "JPEG", ".jp2": "JPEG2000", ".jpe": "JPEG", ".jpeg": "JPEG",
    ".jpg": "JPEG", ".jpx": "JPEG2000", ".png": "PNG", ".apng": "PNG", ".tif": "TIFF", ".tiff": "TIFF",
    ".webp": "WEBP",
}  # fmt: skip
"""Format of a file's suffix, in lower case."""

VIDEO_SUFFIXES = {
    ".3g2": "3GP", ".3gp": "3GP", ".avi": "AVI", ".m2ts": "TS", ".m4v": "MP4", ".mkv": "MKV", ".mov": "MOV",
    ".mp4": "MP4", ".mpeg": "MPEG", ".mpg": "MPEG", ".mts": "TS", ".ts": "TS", ".vob": "MPEG", ".webm": "WEBM",
}  # fmt: skip
"""Container of a video file's suffix, in lower case."""

DICOM_SUFFIXES = {".dcm": "DICOM", ".dicom": "DICOM", ".dic": "DICOM"}
"""Usual suffixes of DICOM files, in lower case. Many have none, or end in the last number of a UID."""

FORMATS = tuple(sorted(set(SUFFIXES.values())))
READ_ONLY = ("ASF", "FLV", "MXF", "OGG")
"""Containers of videos that velum reads but does not write."""

READ_ONLY_SUFFIXES = {
    ".asf": "ASF", ".dib": "BMP", ".flv": "FLV", ".mpo": "JPEG", ".mxf": "MXF", ".ogv": "OGG", ".wmv": "ASF",
}  # fmt: skip
"""Format of a suffix that velum reads but gives no result, in lower case."""

VIDEO_FORMATS = tuple(sorted({*VIDEO_SUFFIXES.values(), *READ_ONLY}))

VIDEO_HEAD_BYTES = 1024
"""How many bytes at the start of a file `video_format_of` needs."""

_STARTS = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    (b"BM", "BMP"),
)
_ATOMS = {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"}
_TS_SYNC, _TS_PACKET, _M2TS_PACKET = 0x47, 188, 192
_VIDEO_STARTS = (
    (b"\0\0\1\xba", "MPEG"),  # ISO/IEC 13818-1, 2.5.3.4: a pack of a program stream
    (b"FLV\x01", "FLV"),
    (bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"), "ASF"),
    (bytes.fromhex("060e2b34020501010d0102010102"), "MXF"),  # SMPTE ST 377-1, 7.1: the key of a partition pack
)
_OGG_PICTURES = (b"\x80theora", b"OVP80", b"BBCD", b"\x01video")
"""Starts of the first video packet in an Ogg file; an Ogg without any of them is audio."""

_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"mif2", b"msf1"}

UNREAD_PICTURES = (
    (bytes.fromhex("d7cdc69a"), "a WMF drawing"), (b"\x01\0\x09\0\0\x03", "a WMF drawing"),
    (b"VCLMTF", "a StarView drawing"), (bytes.fromhex("c5d0d3c6"), "an EPS drawing"), (b"8BPS", "a Photoshop picture"),
    (b"\0\0\x01\0", "an icon"), (b"\0\0\x02" + bytes(5), "a TGA picture"), (b"\0\0\x02\0", "an icon"),
    (b"icns", "an icon"),
    (b"\xff\x0a", "a JPEG XL picture"), (b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (b"II\xbc\x01", "a JPEG XR picture"), (b"DDS ", "a DDS picture"), (b"\x76\x2f\x31\x01", "an OpenEXR picture"),
    (b"#?RADIANCE", "a Radiance picture"), (b"qoif", "a QOI picture"), (b"gimp xcf", "a GIMP picture"),
    (b"SDPX", "a DPX picture"), (b"XPDS", "a DPX picture"),
    (b"FWS", "a Flash film"), (b"CWS", "a Flash film"), (b"ZWS", "a Flash film"),
)  # fmt: skip
"""Starts of files that show a picture which velum does not read, and what they are."""

_BARE_DICOM = re.compile(
    rb"[\x02\x08]\0[\0-\x18]\0(?:CS|UI|UL|OB|DA|[\x02-\x40]\0\0\0)|\0[\x02\x08]\0[\0-\x18](?:CS|UI|UL|OB|DA)"
)
"""Beginning of a data set (PS3.5, 7.1): an element of group 0002 or 0008, with or without a value representation."""

_PNM = re.compile(rb"P[1-7fF]\s(?:\s*#[^\n]*\n)*\s*(?:\d+\s+\d+|WIDTH \d)")
_DRAWINGS = frozenset({".ai", ".emf", ".eps", ".svg", ".svgz", ".wmf"})
"""Suffixes of drawings, which may hold pictures."""

OTHER_SUFFIXES = frozenset({
    ".3fr", ".arw", ".braw", ".cr2", ".cr3", ".crw", ".cur", ".dcr", ".dds", ".dib", ".dng", ".dpx", ".erf", ".exr",
    ".fff", ".hdr", ".icns", ".ico", ".iiq", ".insp", ".jls", ".jpm", ".jps", ".jxl", ".jxr", ".k25", ".kdc",
    ".mef", ".mos", ".mpo", ".mrw", ".nef", ".nrw", ".orf", ".pam", ".pbm", ".pcx", ".pef", ".pfm", ".pgm", ".pnm",
    ".ppm", ".psb", ".psd", ".qoi", ".raf", ".raw", ".rw2", ".rwl", ".sgi", ".sr2", ".srf", ".srw", ".tga", ".thm",
    ".wdp", ".x3f", ".xbm", ".xcf", ".xpm",
    ".264", ".265", ".360", ".amv", ".asf", ".dav", ".divx", ".dv", ".f4v", ".flv", ".h264", ".h265", ".hevc",
    ".insv", ".ivf", ".lrf", ".lrv", ".m1v", ".m2t", ".m2v", ".mj2", ".mjpeg", ".mjpg", ".mod", ".mpv", ".mxf",
    ".nsv", ".nut", ".ogm", ".ogv", ".qt", ".r3d", ".rm", ".rmvb", ".swf", ".tod", ".tp", ".trp", ".wmv", ".wtv",
    ".xvid", ".y4m",
})  # fmt: skip
"""Further suffixes of images and videos, which velum does not write."""

SOUND_SUFFIXES = frozenset({
    ".aa", ".aac", ".aax", ".aif", ".aifc", ".aiff", ".au", ".caf", ".flac", ".m4a", ".m4b", ".m4p", ".m4r", ".mka",
    ".mks", ".mp3", ".oga", ".opus", ".snd", ".spx", ".w64", ".wav", ".weba", ".wma",
})  # fmt: skip
"""Suffixes of audio files, although their containers could hold video."""

SOUND_FORMAT_SUFFIXES = {
    "WAV": (".wav",), "FLAC": (".flac",), "MP3": (".mp3",), "OGA": (".ogg", ".oga", ".opus", ".spx"),
    "M4A": (".m4a", ".m4b", ".m4r", ".mp4"), "MKA": (".mka", ".mkv"), "WEBA": (".weba", ".webm"),
    "AIFF": (".aiff", ".aif", ".aifc"), "AU": (".au", ".snd"), "CAF": (".caf",), "W64": (".w64",),
}  # fmt: skip
"""Suffixes of each format of sound files that velum reads and writes, the usual one first."""

_SOUND_STARTS = {
    b"fLaC": "FLAC", b".snd": "AU", b"caff\0\1": "CAF", b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0": "W64",
}  # fmt: skip

_USUAL = {
    "HEIF": ".heic", "JPEG": ".jpg", "JPEG2000": ".jp2", "TIFF": ".tif", "MPEG": ".mpg", "TS": ".ts", "MP4": ".mp4",
    "3GP": ".3gp", "DICOM": ".dcm", **dict.fromkeys(READ_ONLY, ".mkv"),
}  # fmt: skip
_ALIKE = {("MP4", "MOV"), ("MOV", "MP4"), ("3GP", "MP4"), ("WEBM", "MKV")}
"""Pairs (format of the content, format of the suffix) that are usual although they differ."""

_BITMAP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)
_APPLE_DOUBLE = b"\x00\x05\x16\x07"


def is_image(path: Path) -> bool:
    """Tell whether a file has the suffix of an image that velum reads; for choosing files of a folder."""
    return path.suffix.lower() in SUFFIXES


def is_dicom(head: bytes) -> bool:
    """Tell whether a file that begins with these bytes is a DICOM file (PS3.10, 7.1), whatever its preamble says."""
    return head[128:132] == b"DICM"


def format_of(data: bytes, name: str) -> str:
    """Return the image format of a file's bytes. Raises `BadInput`, with `name`, when velum does not read it.

    DICOM files are read from the disk only.
    """
    if is_dicom(data):
        raise BadInput(f"cannot read {name}: it is a DICOM file; hide in it with velum hide, velum batch or a job")
    for start, format_ in _STARTS:
        if data.startswith(start):
            return format_
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp" and (brand := _image_brands(data)):
        return brand
    if (unread := unread_picture(data)) is not None:
        raise BadInput(f"cannot read {name}: it is {unread}, which velum does not read; convert it to PNG first")
    if _BARE_DICOM.match(data):
        raise BadInput(
            f"cannot read {name}: it seems to be DICOM without the header of a file (128 bytes and 'DICM'); write it "
            "as a DICOM file first, for instance with dcmconv"
        )
    raise BadInput(f"{name} is of an unknown kind; supported are {', '.join((*FORMATS, *VIDEO_FORMATS, 'DICOM'))}")


def unread_picture(head: bytes) -> str | None:
    """Return what picture of a kind that velum does not read begins with these bytes; None for anything else."""
    if _PNM.match(head):
        return "a PNM picture"
    return next((kind for start, kind in UNREAD_PICTURES if head.startswith(start)), None)


def video_format_of(head: bytes) -> str | None:
    """Return the container of a video by the first bytes of its file; None when velum does not read it as a video."""
    if head[4:8] in _ATOMS:
        if head[4:12] == b"ftypcrx ":
            return None  # a camera raw file, which the image reader refuses by name
        still = _image_brands(head) if head[4:8] == b"ftyp" else None
        return None if still else _format_of_brand(head[8:12]) if head[4:8] == b"ftyp" else "MOV"
    if head.startswith(b"\x1a\x45\xdf\xa3"):  # EBML: the document type follows in the header (RFC 8794, 8.1)
        return "WEBM" if b"webm" in head[:64] else "MKV"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "AVI"
    for mark, name in _VIDEO_STARTS:
        if head.startswith(mark):
            return name
    if head.startswith(b"OggS"):
        return "OGG" if any(start in head for start in _OGG_PICTURES) else None
    # ISO/IEC 13818-1, 2.4.3.2: each packet of a transport stream begins with one byte; M2TS puts four before it.
    for start, step in ((0, _TS_PACKET), (4, _M2TS_PACKET)):
        syncs = head[start : start + 4 * step : step]
        if len(syncs) >= 2 and set(syncs) == {_TS_SYNC}:
            return "TS"
    return None


def sound_format_of_head(head: bytes) -> str | None:
    """Return the format of a sound file by its first bytes; None for other files, and for containers of videos."""
    if head[:4] in {b"RIFF", b"RF64"} and head[8:12] == b"WAVE":
        return "WAV"
    if head[:4] == b"FORM" and head[8:12] in {b"AIFF", b"AIFC"}:
        return "AIFF"
    if known := next((name for start, name in _SOUND_STARTS.items() if head.startswith(start)), None):
        return known
    if head.startswith(b"OggS") and video_format_of(head) is None:
        return "OGA"
    # ISO/IEC 11172-3, 2.4.2.3: eleven bits, the layer, and codes of rates of which some are reserved.
    layer3 = len(head) > 3 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2
    is_frame = layer3 and head[2] >> 4 not in {0, 15} and head[2] & 0x0C != 0x0C
    return "MP3" if head.startswith(b"ID3") or is_frame else None


def _format_of_brand(brand: bytes) -> str:
    return "MOV" if brand == b"qt  " else "3GP" if brand[:2] == b"3g" else "MP4"


def _image_brands(data: bytes) -> str | None:
    # ISO/IEC 14496-12, 4.3: a box of type ftyp holds a major brand, a version and the compatible brands.
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, min(int.from_bytes(data[:4]), 256), 4))}
    if brands & {b"avif", b"avis"}:
        return "AVIF"
    return "HEIF" if brands & _HEIF_BRANDS else None


def format_for(target: Path) -> str:
    """Return the image format of the target's suffix. Raises `BadPlan`, with the allowed suffixes, for another."""
    try:
        return SUFFIXES[target.suffix.lower()]
    except KeyError:
        raise BadPlan(
            f"cannot tell the format of {target} from its suffix {target.suffix!r}; allowed are {', '.join(SUFFIXES)}"
        ) from None


def kind_of(path: Path) -> str | None:
    """Return the format of a file by its content; None when velum does not read the format, or cannot read the file."""
    head = head_of(path)
    if is_dicom(head):
        return "DICOM"
    if kind := video_format_of(head):
        return kind
    try:
        kind = format_of(head, "")
    except BadInput:
        return None
    # The signature of a BMP is two letters only, with which a text may start, too.
    return None if kind == "BMP" and int.from_bytes(head[14:18], "little") not in _BITMAP_HEADERS else kind


def is_picture(path: Path) -> bool:
    """Tell whether a file is an image or a video by its suffix or content; for choosing files of a folder.

    A file with such a suffix that velum cannot read is chosen, too, so that it is reported and not silently skipped.
    """
    suffix = path.suffix.lower()
    known = (SUFFIXES, VIDEO_SUFFIXES, DICOM_SUFFIXES, OTHER_SUFFIXES, _DRAWINGS)
    if any(suffix in suffixes for suffixes in known):
        # On foreign disks, macOS writes a file `._NAME` (AppleDouble) beside each file NAME.
        return not (path.name.startswith("._") and head_of(path).startswith(_APPLE_DOUBLE))
    if suffix in SOUND_SUFFIXES or not path.is_file():
        return False
    return kind_of(path) is not None or unread_picture(head_of(path)) is not None


def is_suffix_of(suffix: str, format: str) -> bool:
    """Tell whether a file of this format may have this suffix."""
    if format == "DICOM":
        return suffix.lower() in {"", *DICOM_SUFFIXES} or suffix[1:].isdigit()
    kind = SUFFIXES.get(suffix.lower()) or VIDEO_SUFFIXES.get(suffix.lower())
    return kind == format or (format, kind) in _ALIKE


def suffix_of(format: str) -> str:
    """Return the usual suffix of a result whose source has this format."""
    suffixes = {**SUFFIXES, **VIDEO_SUFFIXES}
    return _USUAL.get(format) or next(suffix for suffix, kind in suffixes.items() if kind == format)


def head_of(path: Path) -> bytes:
    """Return the first bytes of a file; none of one that cannot be read."""
    try:
        # Not blocking: a pipe without a writer would otherwise hang here.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            return os.pread(descriptor, VIDEO_HEAD_BYTES, 0)
        finally:
            os.close(descriptor)
    except OSError:
        return b""
