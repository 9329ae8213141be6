"""Archives and documents, drawn on the spot."""

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from velum import Engine, Plan, Region, RuntimeConfig
from velum.plan import Rule
from velum.region import Box
from velum.spec import PartSpec
from velum.testing import FakeLocalizer

BOX = Box(8, 8, 40, 40)
SIZE = (64, 48)
PLAN = Plan((Rule("face", PartSpec("fake"), PartSpec("blacken"), grow=0),))

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def finding(*regions: Region) -> Engine:
    """An engine whose localizer finds a face in every picture."""
    found = regions or (Region(BOX, "face", 0.9),)
    return Engine(host=RuntimeConfig(localizers={"fake": lambda: FakeLocalizer(found)}, offline=True))


def picture(format: str = "PNG", seed: int = 0) -> bytes:
    """A picture of noise that no zero is in."""
    file = io.BytesIO()
    coarse = np.random.default_rng(seed).integers(32, 256, (SIZE[1] // 4, SIZE[0] // 4, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC).save(file, format)
    return file.getvalue()


def zipped(path: Path, members: Mapping[str, bytes], *, stored: tuple[str, ...] = ()) -> Path:
    """A ZIP with these members, packed but for those `stored`."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            method = zipfile.ZIP_STORED if name in stored else zipfile.ZIP_DEFLATED
            info = zipfile.ZipInfo(name, (2024, 5, 6, 7, 8, 10))
            archive.writestr(info, data, method)
    return path


def tarred(path: Path, members: Mapping[str, bytes], mode: str = "w") -> Path:
    """A TAR with these members, of somebody with a name."""
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]  # a mode is a literal there
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.uname, info.uid = len(data), 1_700_000_000, "jane", 1234
            archive.addfile(info, io.BytesIO(data))
    return path


def members_of(path: Path) -> dict[str, bytes]:
    """The members of a ZIP, in the order of its directory."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {info.filename: archive.read(info) for info in archive.infolist()}


def docx() -> dict[str, bytes]:
    """The members of a text document with a picture, a preview, an author, revision identifiers and a comment."""
    core = (
        '<cp:coreProperties xmlns:cp="c" xmlns:dc="d" xmlns:t="t"><dc:creator>Jane Roe</dc:creator>'
        "<dc:title>Plan</dc:title><t:created>2024-05-06</t:created><cp:lastModifiedBy>Jane</cp:lastModifiedBy></cp:coreProperties>"
    )
    relations = (
        f'<Relationships xmlns="{RELATIONS}">'
        f'<Relationship Id="r1" Type="{OFFICE}/officeDocument" Target="word/document.xml"/>'
        f'<Relationship Id="r2" Type="{OFFICE}/thumbnail" Target="docProps/thumbnail.jpeg"/></Relationships>'
    )
    pictures = (
        f'<Relationships xmlns="{RELATIONS}"><Relationship Id="r1" Type="{OFFICE}/image" Target="media/image1.png"/>'
        f'<Relationship Id="r2" Type="{OFFICE}/image" Target="http://example.org/a.png" TargetMode="External"/>'
        "</Relationships>"
    )
    body = (
        f'<w:document xmlns:w="{WORD}"><w:p w:rsidR="00A1" w:rsidRDefault="00B2"><w:t>1 &lt; 2</w:t></w:p>'
        '<w:ins w:id="1" w:author="Jane Roe" w:date="2024-05-06T00:00:00Z"/></w:document>'
    )
    types = (
        '<Types xmlns="t"><Default Extension="png" ContentType="image/png"/>'
        '<Override PartName="/docProps/thumbnail.jpeg" ContentType="image/jpeg"/></Types>'
    )
    texts = {
        "[Content_Types].xml": types, "_rels/.rels": relations, "word/document.xml": body,
        "word/_rels/document.xml.rels": pictures, "docProps/core.xml": core,
        "docProps/app.xml": '<Properties xmlns="p"><Company>Roe &amp; Co</Company></Properties>',
        "word/styles.xml": f'<w:styles xmlns:w="{WORD}"/>',
    }  # fmt: skip
    return {name: text.encode() for name, text in texts.items()} | {
        "word/media/image1.png": picture(), "docProps/thumbnail.jpeg": picture("JPEG"),
        "word/fonts/font1.odttf": bytes(range(256)) * 4,
    }  # fmt: skip


def odt() -> dict[str, bytes]:
    """The members of an OpenDocument text with a picture, a preview, an author and an earlier version."""
    manifest = (
        '<manifest:manifest xmlns:manifest="m"><manifest:file-entry manifest:full-path="/"/>'
        '<manifest:file-entry manifest:full-path="Thumbnails/thumbnail.png"/>'
        '<manifest:file-entry manifest:full-path="Pictures/1.jpg"/></manifest:manifest>'
    )
    meta = (
        '<office:document-meta xmlns:office="o" xmlns:dc="d" xmlns:meta="m"><office:meta><dc:creator>Jane</dc:creator>'
        "<dc:title>Plan</dc:title><meta:creation-date>2024</meta:creation-date></office:meta></office:document-meta>"
    )
    content = (
        '<office:document-content xmlns:office="o" xmlns:dc="d" xmlns:r="r"><office:annotation>'
        '<dc:creator>Jane</dc:creator><dc:date>2024</dc:date>yes</office:annotation><office:p r:rsid="1"/>'
        "</office:document-content>"
    )
    return {
        "mimetype": b"application/vnd.oasis.opendocument.text", "content.xml": content.encode(),
        "meta.xml": meta.encode(), "META-INF/manifest.xml": manifest.encode(), "Pictures/1.jpg": picture("JPEG"),
        "Thumbnails/thumbnail.png": picture(), "Versions/Version1": b"PK\x03\x04 an old one",
    }  # fmt: skip


def epub() -> dict[str, bytes]:
    """The members of a book with a cover."""
    book = (
        '<package xmlns="p" xmlns:dc="d"><metadata><dc:title>Plan</dc:title><dc:identifier id="i">1</dc:identifier>'
        '<dc:language>en</dc:language><dc:creator id="c">Jane</dc:creator><meta refines="#c" property="role">aut</meta>'
        '<meta name="cover" content="x"/><meta name="generator" content="Pen 3"/></metadata></package>'
    )
    return {
        "mimetype": b"application/epub+zip", "OEBPS/content.opf": book.encode(), "OEBPS/cover.jpg": picture("JPEG"),
        "OEBPS/page.xhtml": b'<!DOCTYPE html><html><body><img src="cover.jpg"/></body></html>',
    }  # fmt: skip
