"""The seams of containers: what is a picture, how XML is changed, and archives with any members."""

import base64
import binascii
import io
import quopri
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.media.archive.factories import docx, odt, picture, tarred, zipped

from velum.errors import BadInput, VelumError
from velum.limits import Limits
from velum.media import archive
from velum.media.archive.member import why_unsafe
from velum.media.archive.xml_edit import XmlEdit

NAMES = st.text("abc/.é \\", min_size=1, max_size=8)
MEMBERS = st.dictionaries(NAMES, st.binary(max_size=300), max_size=4)


def copied(source: Path, target: Path) -> None:
    """Write a container again, with all its members as they are."""
    kind = archive.container_of(source)
    assert kind is not None
    file = target.with_name("member")
    with (
        archive.open_container(source, kind, archive.Budget(Limits()), "in") as opened,
        opened.writer(target, frozenset()) as writer,
    ):
        for member in opened.members():
            opened.unpack(member, file)
            writer.copy(member, file)


@given(members=MEMBERS, stored=st.booleans())
def test_a_zip_comes_out_with_the_members_that_it_had(
    members: dict[str, bytes], stored: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("zip", numbered=True)
    source = zipped(folder / "in.zip", members, stored=tuple(members) if stored else ())
    copied(source, folder / "out.zip")
    with zipfile.ZipFile(source) as before, zipfile.ZipFile(folder / "out.zip") as after:
        assert after.testzip() is None
        assert [(i.filename, i.CRC, i.compress_type, i.compress_size) for i in after.infolist()] == [
            (i.filename, i.CRC, i.compress_type, i.compress_size) for i in before.infolist()
        ]


@pytest.mark.exhaustive
def test_a_zip_with_more_members_than_its_old_directory_counts_is_written_with_the_new_one(tmp_path: Path) -> None:
    source = zipped(tmp_path / "in.zip", {})
    with zipfile.ZipFile(source, "w") as opened:
        for number in range(65_536):
            opened.writestr(zipfile.ZipInfo(f"{number:x}"), b"")
    kind, limits = archive.container_of(source), Limits(members=70_000)
    assert kind == "ZIP"
    with archive.open_container(source, kind, archive.Budget(limits), "in") as container:
        members = list(container.members())
        with container.writer(tmp_path / "out.zip", frozenset()) as writer:
            for member in members:
                writer.copy(member, tmp_path)
    with zipfile.ZipFile(tmp_path / "out.zip") as opened:
        assert len(opened.namelist()) == 65_536


def test_data_descriptors_and_zip64_fields_are_read(tmp_path: Path) -> None:
    class Pipe(io.BytesIO):
        """A target that zipfile cannot seek in: it then writes descriptors behind the members."""

        def seekable(self) -> bool:
            return False

        def seek(self, *_: int) -> int:
            raise io.UnsupportedOperation

    file = Pipe()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("a.txt", b"text " * 100)
        with opened.open("b.txt", "w", force_zip64=True) as member:
            member.write(b"more")
    (tmp_path / "in.zip").write_bytes(file.getvalue())
    with archive.open_container(tmp_path / "in.zip", "ZIP", archive.Budget(Limits()), "in") as container:
        assert container.leftovers == ()
    copied(tmp_path / "in.zip", tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as opened:
        assert opened.read("b.txt") == b"more"


@given(data=st.binary(max_size=400))
def test_any_bytes_give_a_kind_of_container_or_none_and_open_or_are_refused(
    data: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("any", numbered=True)
    for start in (b"", b"PK\x03\x04", b"\x1f\x8b\x08"):
        (folder / "in").write_bytes(start + data)
        if archive.container_of(folder / "in") is not None:
            with pytest.raises(VelumError):
                copied(folder / "in", folder / "out")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a/b.txt", ""), ("a..b", ""), (".hidden", ""), ("a/../b", "leads out"), ("..", "names no file"),
        ("a\\..\\b", "leads out"), ("/a", "absolute"), ("\\a", "absolute"), ("c:a", "absolute"), ("", "names no file"),
        ("a\0b", "control"), ("a\nb", "control"), ("./", "names no file"),
    ],
)  # fmt: skip
def test_names_that_lead_elsewhere_are_unsafe(name: str, reason: str) -> None:
    assert reason in why_unsafe(name)
    assert bool(why_unsafe(name)) == bool(reason)


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("a.txt", b"the free world, and BM", "inert"), ("a.txt", "käse".encode("latin-1"), "inert"),
        ("a.txt", "text".encode("utf-16"), "inert"), ("a.svg", b"<svg><path d='M0 0'/></svg>", "inert"),
        ("a.html", b'<img src="a.png">', "inert"), ("empty", b"", "inert"), ("a.ttf", b"\0\1\0\0\0\x0c", "inert"),
        ("a.xml", b"<a>" + base64.b64encode(bytes(100)) + b"</a>", "inert"),
        ("a.mp3", b"ID3\x04\0" + bytes(50), "sound"), ("a.mp3", b"ID3\x04\0" + picture("JPEG"), "refused"),
        ("a.txt", picture(), "media"), ("a.xml", "<a>data:image/png,x</a>".encode("utf-16"), "refused"),
        ("a.xml", b"<a>" + base64.b64encode(picture("JPEG")) + b"</a>", "refused"),
        ("a.jxl", b"\xff\x0a\0", "refused"), ("a.ico", b"\0\0\1\0", "refused"), ("a", b"\0\1", "unknown"),
    ],
)  # fmt: skip
def test_members_are_known_by_their_bytes(tmp_path: Path, name: str, data: bytes, kind: str) -> None:
    (tmp_path / "member").write_bytes(data)
    assert archive.content_of(tmp_path / "member", name, limit_bytes=1 << 20).kind == kind


CODED = base64.b64encode(picture("JPEG"))
HEX = picture("JPEG").hex().encode()


def folded(text: bytes, width: int, between: bytes = b"\n") -> bytes:
    return between.join(text[start : start + width] for start in range(0, len(text), width))


def batched(data: bytes) -> list[bytes]:
    """Data in rows of 12 bytes."""
    return [data[start : start + 12] for start in range(0, len(data), 12)]


def z85(data: bytes) -> bytes:
    """Data in the alphabet of ZeroMQ (RFC 32)."""
    own = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
    python = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
    return base64.b85encode(data, pad=True).translate(bytes.maketrans(python, own))


@pytest.mark.parametrize(
    "text",
    [
        b"PHOTO;ENCODING=b;TYPE=JPEG:" + folded(CODED, 48, b"\r\n "),
        b"<data>\n\t\t" + folded(CODED, 40, b"\n\t\t") + b"\n</data>",
        b'{"photo": "' + CODED.replace(b"/", b"\\/") + b'"}',
        b"photo=" + CODED.replace(b"/", b"%2F").replace(b"+", b"%2B"),
        b"{\\pict\\jpegblip\n" + folded(HEX, 64) + b"}",
        folded(HEX, 2, b" "),
        b",".join(b"0x" + HEX[i : i + 2] for i in range(0, len(HEX), 2)),
        b", ".join(b"%d" % value for value in picture("JPEG")),
        b"begin 644 a.jpg\n" + binascii.b2a_uu(picture("JPEG")[:45]),
        quopri.encodestring(picture("JPEG")),
        b"<~" + base64.a85encode(picture("JPEG")) + b"~>",
        b"<~" + folded(base64.a85encode(picture("PNG")), 76) + b"~>",
        b"x = '" + base64.b85encode(picture("JPEG")) + b"'",
        b"x = '" + base64.b85encode(picture("PNG")) + b"'",
        b'zmq: "' + z85(picture("JPEG")) + b'"',
        b"otpauth " + base64.b32encode(picture("JPEG")),
        folded(base64.b32encode(picture("PNG")).lower(), 76),
        b"PHOTO = " + repr(picture("JPEG")).encode(),
        b"PHOTO = " + repr(picture("PNG")).encode(),
        b"".join(b'"' + b"".join(b"\\x%02X" % value for value in row) + b'"\n' for row in batched(picture("JPEG"))),
        b"char photo[] = " + b"".join(b"\\%03o" % value for value in picture("JPEG")),
        b'{"photo": "' + b"".join(b"\\u%04X" % value for value in picture("JPEG")) + b'"}',
    ],
    ids=[
        "vCard", "property list", "JSON with escaped slashes", "web form", "RTF", "hexadecimal digits in pairs", "C",
        "list of numbers", "uuencode", "quoted-printable", "ascii85",
        "PNG in ascii85", "base85", "PNG in base85", "Z85", "base32", "PNG in base32, folded, in small letters",
        "Python", "PNG in Python", "strings of C", "octal digits", "escapes of JSON",
    ],
)  # fmt: skip
def test_a_picture_written_into_a_text_is_refused(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "member").write_bytes(text)
    assert archive.content_of(tmp_path / "member", "a.txt", limit_bytes=1 << 20).kind == "refused"


@pytest.mark.parametrize(
    "text",
    [
        b"GATTACA" * 400,
        b"OTP " + b"JBSWY3DPEHPK3PXP" * 30,
        b'if data.startswith((b"\\xff\\xd8\\xff\\xe0\\x00\\x10JFIF", b"\\x89PNG\\r\\n\\x1a\\n", b"GIF89a")): pass',
        b"Begin 2024 with a plan",
        base64.b85encode(bytes(range(256)) * 4),
        b"s4IA is a word; GIF8 too",
        b"".join(b"    (0x%X, 'X'),\n" % code for code in (0xFFD7, 0xFFD8, 0xFFDA, *range(0xFFDD, 0xFFEF))),
    ],
    ids=[
        "nucleotides",
        "secrets in base32",
        "a program",
        "a sentence",
        "other data in base85",
        "words",
        "table of characters",
    ],
)
def test_texts_that_look_like_coded_pictures_are_copied(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "member").write_bytes(text)
    assert archive.content_of(tmp_path / "member", "a.txt", limit_bytes=1 << 20).kind == "inert"


def test_a_font_with_a_picture_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "member").write_bytes(b"\0\1\0\0\0" + picture("JPEG"))
    assert archive.content_of(tmp_path / "member", "a.ttf", limit_bytes=1 << 20).kind == "refused"


@pytest.mark.parametrize(
    ("file", "kind"),
    [("a.docx", "DOCX"), ("a.odt", "ODT"), ("a.zip", "ZIP"), ("a.tar", "TAR"), ("a.tgz", "TGZ"), ("a.png", None)],
)
def test_containers_are_known_by_their_content(tmp_path: Path, file: str, kind: str | None) -> None:
    members = {"a.docx": docx(), "a.odt": odt()}.get(file, {"a.txt": b"x"})
    if kind is None:
        (tmp_path / "no-suffix").write_bytes(picture())
    elif kind in {"TAR", "TGZ"}:
        tarred(tmp_path / "no-suffix", members, "w" if kind == "TAR" else "w:gz")
    else:
        zipped(tmp_path / "no-suffix", members)
    assert archive.container_of(tmp_path / "no-suffix") == kind


EDIT = XmlEdit(
    removes=lambda element: element.path[-1] == "gone",
    empties=lambda element: element.path[-1] == "hollow",
    attributes={"s": None, "author": "Author"},
)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<a><gone/>x<gone>y<b/></gone></a>", "<a>x</a>"),
        ("<a><gone t='>'/>x</a>", "<a>x</a>"),
        ("<a><hollow>Jane<b/></hollow><hollow/></a>", "<a><hollow></hollow><hollow/></a>"),
        ('<a n:s="1"  author = \'J\' k="v" xmlns:n="u"/>', '<a  author = "Author" k="v" xmlns:n="u"/>'),
        ("<a><!-- <gone/> --><![CDATA[<gone/>]]></a>", "<a><!-- <gone/> --><![CDATA[<gone/>]]></a>"),
        ("<a>\r\n<b   c='d'>é</b></a>", "<a>\r\n<b   c='d'>é</b></a>"),
    ],
)
def test_xml_changes_only_where_it_is_told_to(before: str, after: str) -> None:
    assert EDIT.apply(before.encode(), "a.xml").decode() == after


TEXTS = st.text("ab<&>'\" é\n", max_size=5)
TREES = st.recursive(
    st.tuples(st.sampled_from(["a", "gone", "hollow"]), st.dictionaries(st.sampled_from("ks"), TEXTS), TEXTS),
    lambda inner: st.tuples(st.sampled_from(["a", "gone"]), st.just({}), st.lists(inner, max_size=3)),
    max_leaves=8,
)


def tree(value: Any) -> ET.Element:
    content: Any = value[2]
    element = ET.Element(value[0], value[1])
    if isinstance(content, str):
        element.text = content
    else:
        element.extend(map(tree, content))
    return element


@given(TREES)
def test_nothing_of_what_goes_is_left_in_xml_and_the_rest_is_as_it_was(value: object) -> None:
    root = ET.Element("root")
    root.append(tree(value))
    data = ET.tostring(root)
    after = EDIT.apply(data, "a.xml")
    found = list(ET.fromstring(after).iter())
    assert not any(element.tag == "gone" or "s" in element.attrib for element in found)
    assert not any(element.text for element in found if element.tag == "hollow")
    assert EDIT.apply(after, "a.xml") == after
    if b"gone" not in data and b"hollow" not in data and b' s="' not in data:
        assert after == data


@pytest.mark.parametrize("text", ["<a>", "<a></b>", "", '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>'])
def test_xml_that_is_damaged_or_declares_entities_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match=r"a\.xml"):
        EDIT.apply(text.encode(), "a.xml")
