"""Pictures of PDFs: from the bytes of their streams to samples and back (ISO 32000-2, 8.9)."""

import io
import re
import warnings
import zlib
from contextlib import suppress
from typing import Any

import pikepdf
from pikepdf import Array, Dictionary, Name, PdfImage, Stream
from PIL import Image, ImageChops, UnidentifiedImageError

from velum.errors import BadInput, LimitExceeded
from velum.media.image.strip_metadata import strip_everything

MOST_CONTENT = 256 << 20
"""Most bytes of the contents of one pattern or glyph, and of one JPEG."""


def decode_picture(stream: Any, pdf: Any) -> Image.Image:
    """Return the samples of a picture, in mode 1, L, RGB or CMYK. Raises `BadInput` for what cannot be decoded."""
    width, height = size_of(stream)
    expected = width * height * 8 + (1 << 20)
    if filters_of(stream) == ["/FlateDecode"]:
        refuse_bomb(stream, expected, "it")
    if stream.get("/ImageMask", False):
        # A stencil is decoded as black and white: it is drawn as one, in some colour.
        plain = Stream(pdf, stream.read_raw_bytes())
        for key in ("/Filter", "/DecodeParms", "/Width", "/Height"):
            if key in stream:
                plain[key] = stream[key]
        plain.Subtype, plain.ColorSpace, plain.BitsPerComponent = Name.Image, Name.DeviceGray, 1
        stream = plain
    if _is_indexed(stream) and "/Decode" in stream:
        raise BadInput("a picture with a palette whose indices are mapped (/Decode)")
    try:
        image = _decode_jpeg(stream) if "/DCTDecode" in filters_of(stream) else PdfImage(stream).as_pil_image()
        image.load()
    except (
        pikepdf.PikepdfError, NotImplementedError, ValueError, TypeError, KeyError, AttributeError, OSError,
        SyntaxError, RuntimeError, zlib.error, UnidentifiedImageError, Image.DecompressionBombError, IndexError,
        AssertionError,
    ) as error:  # fmt: skip
        kind = ", ".join([*filters_of(stream), str(stream.get("/ColorSpace", ""))[:60]])
        raise BadInput(f"a picture that velum cannot decode ({kind}): {str(error) or type(error).__name__}") from error
    image = image.convert("RGB") if image.mode in {"P", "RGBA"} else image
    if image.mode not in {"1", "L", "RGB", "CMYK"}:
        raise BadInput(f"a picture of samples that velum does not hide in ({image.mode})")
    if image.size != (width, height):
        raise BadInput(f"a picture of {image.size} pixels that states {width} x {height}")
    return image


def _decode_jpeg(stream: Any) -> Image.Image:
    """Return the samples of a JPEG as a PDF means them.

    Pillow inverts CMYK where the JPEG is marked as Adobe's; a PDF does so only where its `/Decode` says it (8.9.5.2).
    """
    parameters = stream.get("/DecodeParms")
    if parameters is not None and "ColorTransform" in repr(parameters):
        raise ValueError("its colours are transformed in a way of its own")
    data = stream.read_raw_bytes()
    if filters_of(stream) == ["/FlateDecode", "/DCTDecode"]:
        data = zlib.decompressobj().decompress(data, MOST_CONTENT)
    elif filters_of(stream) != ["/DCTDecode"]:
        raise ValueError("a JPEG packed once more")
    image: Image.Image = Image.open(io.BytesIO(data), formats=("JPEG",))
    image.load()
    bands = len(image.getbands())
    if bands != bands_of(stream.get("/ColorSpace")):
        raise ValueError(f"its {bands} bands are not those of its colour space")
    decode = [float(value) for value in stream.get("/Decode", [0, 1] * bands)]
    if decode not in ([0, 1] * bands, [1, 0] * bands):
        raise ValueError(f"its samples are mapped to {decode}")
    inverted = (image.mode == "CMYK" and "adobe" in image.info) != (decode[0] == 1)
    return ImageChops.invert(image) if inverted else image


def write_samples(stream: Any, image: Image.Image) -> None:
    """Write samples without loss into the stream of a picture, with the colour space that they had."""
    is_mask, colours = bool(stream.get("/ImageMask", False)), stream.get("/ColorSpace")
    image = image.convert("RGB") if image.mode in {"P", "RGBA"} else image.convert("L") if image.mode == "LA" else image
    low = image.mode == "L" and int(stream.get("/BitsPerComponent", 1)) == 1 and _is_bilevel(image)
    image = image.convert("1") if is_mask or low else image
    bands = {"1": 1, "L": 1, "RGB": 3, "CMYK": 4}[image.mode]
    stream.Width, stream.Height = image.size
    stream.BitsPerComponent = 1 if image.mode == "1" else 8
    for key in ("/DecodeParms", "/SMaskInData", *(() if is_mask else ("/Decode",))):
        if key in stream:
            del stream[key]
    if not is_mask and bands_of(colours) != bands:
        stream.ColorSpace = {1: Name.DeviceGray, 3: Name.DeviceRGB, 4: Name.DeviceCMYK}[bands]
        if isinstance(stream.get("/Mask"), Array):
            del stream["/Mask"]  # it names samples of the old colour space
    stream.write(zlib.compress(image.tobytes(), 6), filter=Name.FlateDecode)


def remove_metadata(stream: Any, image: Image.Image) -> None:
    """Take metadata out of the coded bytes of a picture in which nothing was hidden; `image` has its samples."""
    filters, raw = filters_of(stream), stream.read_raw_bytes()
    if filters == ["/DCTDecode"] and (stripped := strip_everything(raw, "JPEG")) is not None:
        stream.write(stripped, filter=Name.DCTDecode, decode_parms=stream.get("/DecodeParms"))
    elif "/DCTDecode" in filters or (filters == ["/JPXDecode"] and re.search(rb"uuid|xml |uinf", raw)):
        write_samples(stream, image)


def is_plain_jpeg(stream: Any) -> bool:
    """Tell whether the bytes of a picture are a JPEG whose samples mean what they mean in a file."""
    return (
        filters_of(stream) == ["/DCTDecode"] and "/DecodeParms" not in stream and "/Decode" not in stream
        and not stream.get("/ImageMask", False) and bands_of(stream.get("/ColorSpace")) in {1, 3}
        and not isinstance(stream.get("/Mask"), Array)
    )  # fmt: skip


def bands_of(colours: Any) -> int:
    """Return the number of samples of a pixel in a colour space that is grey, RGB or CMYK; 0 for others."""
    if isinstance(colours, Name):
        return {"/DeviceGray": 1, "/DeviceRGB": 3, "/DeviceCMYK": 4, "/G": 1, "/RGB": 3, "/CMYK": 4}.get(
            str(colours), 0
        )
    if isinstance(colours, Array) and len(colours) > 1:
        kind = str(colours[0])
        return int(colours[1].get("/N", 0)) if kind == "/ICCBased" else {"/CalGray": 1, "/CalRGB": 3}.get(kind, 0)
    return 0


def _is_indexed(stream: Any) -> bool:
    colours = stream.get("/ColorSpace")
    return isinstance(colours, Array) and len(colours) > 0 and str(colours[0]) in {"/Indexed", "/I"}


def filters_of(stream: Any) -> list[str]:
    """Return the names of the filters of a stream, the outermost first."""
    filters = stream.get("/Filter")
    return (
        [str(filters)]
        if isinstance(filters, Name)
        else [str(name) for name in filters]
        if isinstance(filters, Array)
        else []
    )


def size_of(stream: Any) -> tuple[int, int]:
    """Return the width and the height of a picture in pixels, as its stream states them."""
    try:
        return int(stream.get("/Width", 0)), int(stream.get("/Height", 0))
    except (TypeError, ValueError):
        return 0, 0


def _is_bilevel(image: Image.Image) -> bool:
    return {value for _, value in image.getcolors(2) or [(0, 1)]} <= {0, 255}


def refuse_bomb(stream: Any, most: int, name: str) -> None:
    """Raise `LimitExceeded` where a packed stream unpacks to more than `most` bytes."""
    if filters_of(stream) == ["/FlateDecode"]:
        unpacked = zlib.decompressobj()
        with suppress(zlib.error):  # pikepdf says what is wrong with it
            unpacked.decompress(stream.read_raw_bytes(), most)
        if unpacked.unconsumed_tail:
            raise LimitExceeded("unpacked_bytes", most + 1, most, name)


def commands_of(stream: Any) -> list[Any]:
    """Return the commands of contents, up to where they break off: no more than these is shown."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pikepdf would print where they break off, with a path of its own
        return list(pikepdf.parse_content_stream(stream))


def values_of(holder: Any) -> list[Any]:
    """Return the values of a dictionary or of a stream's dictionary, by key; none of any other object."""
    return [holder[key] for key in sorted(holder.keys())] if isinstance(holder, Dictionary | Stream) else []


def resources_of(page: Any) -> Any:
    """Return the resources of a page, which may be those of a node above it (7.7.3.4)."""
    node, depth = page, 0
    while isinstance(node, Dictionary) and depth < 100:
        if "/Resources" in node:
            return node.Resources
        node, depth = node.get("/Parent"), depth + 1
    return Dictionary()
