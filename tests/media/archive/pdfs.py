"""PDFs, drawn on the spot, with everything that people forget in them."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pikepdf
from pikepdf import Array, Dictionary, Name, Stream
from PIL import Image
from tests.media.archive.factories import SIZE, picture

WIDTH, HEIGHT = SIZE


def image(pdf: Any, data: bytes, colours: Any = Name.DeviceRGB, bits: int = 8, **more: Any) -> Any:
    """A picture of the usual size; `more` are entries of its dictionary."""
    stream = Stream(pdf, data)
    stream.Type, stream.Subtype, stream.Width, stream.Height = Name.XObject, Name.Image, WIDTH, HEIGHT
    stream.BitsPerComponent = bits
    if colours is not None:
        stream.ColorSpace = colours
    for key, value in more.items():
        stream[Name(f"/{key}")] = value
    return pdf.make_indirect(stream)


def photo(pdf: Any, **more: Any) -> Any:
    """A JPEG as a picture of a PDF."""
    return image(pdf, picture("JPEG"), Filter=Name.DCTDecode, **more)


def samples(*bands: int) -> bytes:
    """Samples without any 0."""
    return np.random.default_rng(1).integers(32, 256, (HEIGHT, WIDTH, *bands), dtype=np.uint8).tobytes()


def document(path: Path, make: Any, contents: bytes = b"q 100 0 0 75 10 10 cm /Im0 Do Q", **page: Any) -> Path:
    """A PDF of one page that draws the picture which `make(pdf)` returns; `page` are more entries of the page."""
    with pikepdf.new() as pdf:
        node = pdf.add_blank_page(page_size=(200, 200)).obj
        font = pdf.make_indirect(Dictionary(Type=Name.Font, Subtype=Name.Type1, BaseFont=Name.Helvetica))
        node.Resources = Dictionary(XObject=Dictionary(Im0=make(pdf)))
        if b" Tf" in contents:
            node.Resources.Font = Dictionary(F1=font)
        node.Contents = Stream(pdf, contents)
        for key, value in page.items():
            node[Name(f"/{key}")] = value(pdf)
        pdf.save(path)
    return path


def crowded(path: Path) -> Path:
    """A PDF with the word Jane wherever no page shows it, and pictures that no page shows."""
    with pikepdf.open(document(path, photo), allow_overwriting_input=True) as pdf:
        page = pdf.pages[0].obj
        page.Thumb = photo(pdf)
        page.Resources.XObject.Im0.Alternates = Array([Dictionary(Image=photo(pdf))])
        page.PieceInfo = Dictionary(Jane=1)
        note = Dictionary(Type=Name.Annot, Subtype=Name.Text, Rect=Array([0, 0, 9, 9]), Contents="Jane", T="Jane")
        link = Dictionary(
            Type=Name.Annot, Subtype=Name.Link, Rect=Array([0, 0, 9, 9]), Contents="Jane",
            A=Dictionary(S=Name.URI, URI="http://example.org"),
        )  # fmt: skip
        script = Dictionary(
            Type=Name.Annot, Subtype=Name.Link, Rect=Array([0, 0, 9, 9]), A=Dictionary(S=Name.JavaScript, JS="Jane()")
        )
        entry = pdf.make_indirect(
            Dictionary(Type=Name.Annot, Subtype=Name.Widget, FT=Name.Tx, T="name", V="Jane", Rect=Array([0, 0, 90, 9]))
        )
        page.Annots = Array([pdf.make_indirect(note), pdf.make_indirect(link), script, entry])
        pdf.Root.AcroForm = Dictionary(Fields=Array([entry]), XFA="Jane")
        pdf.Root.OpenAction = Dictionary(S=Name.JavaScript, JS="Jane()")
        pdf.attachments["jane.jpg"] = picture("JPEG")
        pdf.docinfo["/Author"], pdf.docinfo["/Title"] = "Jane", "Plan"
        with pdf.open_metadata() as metadata:
            metadata["dc:creator"], metadata["dc:title"] = ["Jane"], "Plan"
        pdf.save(path)
    return path


def everything(path: Path) -> bytes:
    """All bytes of a PDF, unpacked as far as anybody can."""
    target = io.BytesIO()
    with pikepdf.open(path) as pdf:
        pdf.save(
            target, qdf=True, object_stream_mode=pikepdf.ObjectStreamMode.disable, static_id=True,
            stream_decode_level=pikepdf.StreamDecodeLevel.generalized, compress_streams=False,
        )  # fmt: skip
    return target.getvalue()


def pictures(path: Path) -> list[Image.Image]:
    """All pictures that a PDF holds, also those that no page shows."""
    with pikepdf.open(path) as pdf:
        streams = [value for value in pdf.objects if isinstance(value, Stream) and value.get("/Subtype") == Name.Image]
        return [pikepdf.PdfImage(stream).as_pil_image().copy() for stream in streams]
