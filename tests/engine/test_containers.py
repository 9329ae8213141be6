"""Archives and documents: pictures and videos in them are hidden, everything else stays or is named."""

import base64
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.media.archive.factories import BOX, PLAN, docx, epub, finding, members_of, odt, picture, tarred, zipped
from tests.media.video.factories import Clip, made
from tests.rows import but_for, exhaustive

from velum import Engine, Limits, Plan, Region, Report
from velum.errors import BadInput, BadPlan, LimitExceeded, NotHidden, OutputFailed
from velum.plan import Rule, Video
from velum.plugins import RuntimeConfig
from velum.spec import PartSpec
from velum.testing import FakeLocalizer


def hide(source: Path, plan: Plan = PLAN, **more: object) -> tuple[Report, Path]:
    target = source.with_name(f"out-{source.name}")
    with finding() as engine:
        return engine.hide(source, target, plan, **more), target  # type: ignore[arg-type]


def is_black(data: bytes) -> bool:
    with Image.open(io.BytesIO(data)) as image:
        return bool((np.asarray(image.convert("RGB"))[BOX.y0 + 8 : BOX.y1 - 8, BOX.x0 + 8 : BOX.x1 - 8] <= 8).all())


def test_pictures_in_a_zip_are_hidden_and_all_else_is_the_same_byte_for_byte(tmp_path: Path) -> None:
    members = {"a.txt": b"text " * 500, "p/é.png": picture(), "b.csv": b"1,2\n", "p/c.jpg": picture("JPEG"), "d/": b""}
    source = zipped(tmp_path / "in.zip", members, stored=("b.csv", "p/c.jpg"))
    report, target = hide(source)
    result = members_of(target)
    assert list(result) == list(members)
    assert {name for name in members if result[name] != members[name]} == {"p/é.png", "p/c.jpg"}
    assert is_black(result["p/é.png"])
    assert is_black(result["p/c.jpg"])
    with zipfile.ZipFile(source) as before, zipfile.ZipFile(target) as after:
        pairs = list(zip(before.infolist(), after.infolist(), strict=True))
    assert [(old.compress_type, old.external_attr) for old, _ in pairs] == [
        (new.compress_type, new.external_attr) for _, new in pairs
    ]
    assert {new.date_time for _, new in pairs} == {(1980, 1, 1, 0, 0, 0)}
    assert (report.format, report.frames, report.labels) == ("ZIP", 2, {"face": 2})
    assert [region.frame for region in report.hidden] == [0, 1]
    actions = {member["name"]: member["action"] for member in report.members}
    assert actions == {
        "a.txt": "copied", "p/é.png": "hidden", "b.csv": "copied", "p/c.jpg": "hidden",
    }  # fmt: skip
    assert Report.from_json(json.loads(json.dumps(report.to_json()))) == replace(
        report, seconds={stage: round(spent, 6) for stage, spent in report.seconds.items()}
    )


def test_the_packed_bytes_of_copied_members_are_those_of_the_source(tmp_path: Path) -> None:
    source = zipped(tmp_path / "in.zip", {"a.txt": b"text " * 500})
    with zipfile.ZipFile(source) as archive:
        packed = archive.getinfo("a.txt").compress_size
    start = source.read_bytes().index(b"a.txt") + 5
    _, target = hide(source)
    assert source.read_bytes()[start : start + packed] in target.read_bytes()


def test_dates_stay_where_the_plan_keeps_them(tmp_path: Path) -> None:
    _, target = hide(zipped(tmp_path / "in.zip", {"a.txt": b"x"}), replace(PLAN, metadata=("datetime",)))
    with zipfile.ZipFile(target) as archive:
        assert archive.getinfo("a.txt").date_time == (2024, 5, 6, 7, 8, 10)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_pictures_in_a_tar_are_hidden_and_owners_are_left_out(tmp_path: Path, mode: str) -> None:
    source = tarred(tmp_path / "in.tar", {"a.txt": b"text", "p/b.png": picture()}, mode)
    report, target = hide(source)
    assert target.read_bytes()[:2] == source.read_bytes()[:2]
    with tarfile.open(target) as archive:
        infos = archive.getmembers()
        data = [archive.extractfile(info).read() for info in infos]  # type: ignore[union-attr]
    assert [info.name for info in infos] == ["a.txt", "p/b.png"]
    assert data[0] == b"text"
    assert is_black(data[1])
    assert {(info.uname, info.uid, info.mtime) for info in infos} == {("", 0, 0)}
    assert report.labels == {"face": 1}


def test_a_video_in_an_archive_is_hidden(tmp_path: Path) -> None:
    clip = made(tmp_path / "clip.mp4", Clip(frames=4))
    report, target = hide(zipped(tmp_path / "in.zip", {"a.png": picture(), "v.mp4": clip.read_bytes()}))
    assert report.frames == 5
    assert [member["frames"] for member in report.members] == [1, 4]
    assert (report.tracks[0].first_frame, report.tracks[0].last_frame) == (1, 4)
    assert members_of(target)["v.mp4"] != clip.read_bytes()


def test_a_text_document_loses_its_preview_its_author_and_its_revision_identifiers(tmp_path: Path) -> None:
    members = docx()
    report, target = hide(zipped(tmp_path / "in.docx", members))
    result = members_of(target)
    assert list(result) == [name for name in members if name != "docProps/thumbnail.jpeg"]
    assert is_black(result["word/media/image1.png"])
    assert b"thumbnail" not in result["_rels/.rels"] + result["[Content_Types].xml"]
    everything = b"".join(result.values())
    for secret in (b"Jane", b"Roe", b"rsid", b"2024"):
        assert secret not in everything
    assert b"1 &lt; 2</w:t></w:p>" in result["word/document.xml"]
    same = {"word/styles.xml", "word/fonts/font1.odttf", "word/_rels/document.xml.rels"}
    assert all(result[name] == members[name] for name in same)
    assert report.format == "DOCX"
    (warning,) = report.warnings
    assert "http://example.org/a.png" in warning


def test_names_of_tables_stay_and_copies_of_drawings_and_paths_of_templates_go(tmp_path: Path) -> None:
    inner = base64.b64encode(zipped(tmp_path / "inner.zip", {"a.png": picture()}).read_bytes())
    relations = (
        b'<Relationships><Relationship Id="t" Type="x/attachedTemplate" Target="file:///C:/Jane/a.dotm" '
        b'TargetMode="External"/></Relationships>'
    )
    members = {
        "[Content_Types].xml": b"<Types/>", "word/_rels/settings.xml.rels": relations,
        "word/settings.xml": b'<s xmlns:r="r"><attachedTemplate r:id="t"/></s>',
        "word/document.xml": b'<d xmlns:o="o"><shape o:gfxdata="' + inner + b'" k="1"/></d>',
        "xl/tables/table1.xml": b'<table displayName="Sales" id="1"/>',
        "xl/drawings/vmlDrawing1.vml": b"<xml><br></xml>",
    }  # fmt: skip
    _, target = hide(zipped(tmp_path / "in.docx", members))
    result = members_of(target)
    assert result["word/document.xml"] == b'<d xmlns:o="o"><shape k="1"/></d>'
    assert b"Jane" not in b"".join(result.values())
    assert b"attachedTemplate" not in result["word/settings.xml"]
    for name in ("xl/tables/table1.xml", "xl/drawings/vmlDrawing1.vml"):
        assert result[name] == members[name]


def test_properties_stay_as_the_plan_keeps_kinds_of_metadata(tmp_path: Path) -> None:
    source = zipped(tmp_path / "in.docx", docx())
    _, target = hide(source, replace(PLAN, metadata=("copyright", "description", "datetime")))
    core = members_of(target)["docProps/core.xml"]
    assert b"Jane Roe" in core
    assert b"Plan" in core
    assert b"2024" in core
    assert b"lastModifiedBy" not in core


def test_an_open_document_loses_its_preview_its_author_and_earlier_versions(tmp_path: Path) -> None:
    _, target = hide(zipped(tmp_path / "in.odt", odt(), stored=("mimetype",)))
    result = members_of(target)
    assert list(result) == ["mimetype", "content.xml", "meta.xml", "META-INF/manifest.xml", "Pictures/1.jpg"]
    assert is_black(result["Pictures/1.jpg"])
    assert b"Jane" not in b"".join(result.values())
    assert b"Thumbnails" not in result["META-INF/manifest.xml"]
    assert b"Pictures/1.jpg" in result["META-INF/manifest.xml"]
    assert b"yes</office:annotation><office:p/>" in result["content.xml"]


def test_a_book_begins_with_its_kind_unpacked_and_keeps_what_a_book_must_have(tmp_path: Path) -> None:
    report, target = hide(zipped(tmp_path / "in.epub", epub(), stored=("mimetype",)))
    assert target.read_bytes()[30:58] == b"mimetypeapplication/epub+zip"
    book = members_of(target)["OEBPS/content.opf"]
    assert b"Jane" not in book
    assert b"refines" not in book
    assert b"Pen" not in book
    assert b"Plan" in book
    assert b'name="cover"' in book
    assert report.format == "EPUB"
    assert report.labels == {"face": 1}


def test_archives_in_archives_are_hidden_too(tmp_path: Path) -> None:
    inner = zipped(tmp_path / "inner.docx", docx()).read_bytes()
    report, target = hide(zipped(tmp_path / "in.zip", {"a/inner.docx": inner}))
    (tmp_path / "inner-out.docx").write_bytes(members_of(target)["a/inner.docx"])
    assert is_black(members_of(tmp_path / "inner-out.docx")["word/media/image1.png"])
    assert {"name": "a/inner.docx", "action": "container"} in report.members
    assert "a/inner.docx/word/media/image1.png" in {member["name"] for member in report.members}


ENCODED = base64.b64encode(picture())
REFUSED = {
    "damaged picture": ("a.png", picture()[:200]),
    "EMF": ("a.emf", b"\x01\0\0\0" + bytes(36) + b" EMF" + bytes(40)),
    "WMF": ("a.wmf", bytes.fromhex("d7cdc69a") + bytes(40)),
    "OLE": ("oleObject1.bin", bytes.fromhex("d0cf11e0a1b11ae1") + bytes(40)),
    "OLE in disguise": ("a.txt", bytes.fromhex("d0cf11e0a1b11ae1") + bytes(40)),
    "raw photograph": ("a.nef", b"\1\2\3\0" + bytes(40)),
    "picture in an unknown file": ("a.bin", b"\0\1\2" + picture()),
    "unknown file": ("a.bin", bytes(range(256))),
    "SVG with a picture": ("a.svg", b'<svg><image href="data:image/png;base64,' + ENCODED + b'"/></svg>'),
    "page with a picture": ("a.html", b"<style>a { background: url(data:image/png;base64," + ENCODED + b") }</style>"),
    "picture in base64": ("a.xml", b"<office:binary-data>\n" + ENCODED + b"</office:binary-data>"),
    "picture in hexadecimal digits": ("a.rtf", rb"{\rtf1{\pict\pngblip " + picture().hex().encode() + b"}}"),
    "PostScript": ("a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n"),
    "gzip": ("a.emz", b"\x1f\x8b\x08" + bytes(40)),
    "WMV": ("a.wmv", bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + bytes(40)),
    "damaged archive": ("a.zip", b"PK\x03\x04" + bytes(40)),
    "parent folder": ("../a.txt", b"x"),
    "parent folder of Windows": ("..\\a.txt", b"x"),
    "absolute path": ("/etc/a.txt", b"x"),
    "drive": ("C:\\a.txt", b"x"),
}


SOON = (
    "damaged picture", "EMF", "OLE", "picture in an unknown file", "unknown file", "SVG with a picture",
    "damaged archive", "parent folder", "absolute path",
)  # fmt: skip


@pytest.mark.parametrize("case", but_for(REFUSED, SOON))
def test_nothing_is_written_when_a_member_cannot_be_hidden(tmp_path: Path, case: str) -> None:
    name, data = REFUSED[case]
    source = zipped(
        tmp_path / "in.zip", {"ok.png": picture(), "p/" * (not case.startswith(("par", "abs", "dr"))) + name: data}
    )
    with pytest.raises(BadInput, match="drop_members = NAME") as error:
        hide(source)
    assert name in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["in.zip"]


def test_members_that_are_named_are_left_out_of_an_archive(tmp_path: Path) -> None:
    _name, data = REFUSED["EMF"]
    source = zipped(tmp_path / "in.zip", {"x/a.emf": data, "a.txt": b"x"})
    report, target = hide(source, replace(PLAN, drop_members=("*.emf",)))
    assert list(members_of(target)) == ["a.txt"]
    assert {"name": "x/a.emf", "action": "removed", "reason": "asked"} in report.members


def test_drawings_that_are_named_are_empty_in_a_document(tmp_path: Path) -> None:
    _, data = REFUSED["EMF"]
    source = zipped(
        tmp_path / "in.docx", docx() | {"word/media/image2.emf": data, "word/embeddings/o.bin": b"\xd0\xcf\x11\xe0\0"}
    )
    _, target = hide(source, replace(PLAN, drop_members=("word/media/*.emf", "o.bin")))
    result = members_of(target)
    assert result["word/media/image2.emf"][40:44] == b" EMF"
    assert len(result["word/media/image2.emf"]) == 128
    assert result["word/embeddings/o.bin"] == b""


def test_members_of_an_unknown_kind_are_copied_where_they_are_named(tmp_path: Path) -> None:
    source = zipped(tmp_path / "in.zip", {"a.bin": bytes(range(256))})
    _, target = hide(source, replace(PLAN, copy_members=("*.bin",)))
    assert members_of(target)["a.bin"] == bytes(range(256))
    with pytest.raises(BadInput, match="with a picture in it"):
        hide(zipped(tmp_path / "in2.zip", {"a.bin": b"\0\1\2" + picture()}), replace(PLAN, copy_members=("*.bin",)))


def test_a_damaged_picture_becomes_black_where_the_plan_covers_damage(tmp_path: Path) -> None:
    source = zipped(tmp_path / "in.zip", {"a.png": picture()[:200], "b.emf": REFUSED["EMF"][1], "c.png": picture()})
    report, target = hide(source, replace(PLAN, video=Video(on_damage="cover")))
    result = members_of(target)
    assert list(result) == ["a.png", "c.png"]
    with Image.open(io.BytesIO(result["a.png"])) as image:
        assert image.size == (64, 48)
        assert image.getextrema() == ((0, 0),) * 3
    assert len(report.warnings) == 2


def test_files_of_file_managers_are_left_out(tmp_path: Path) -> None:
    members = {"__MACOSX/._a.png": b"\0\5\x16\7", ".DS_Store": b"\0", "x/Thumbs.db": b"\xd0\xcf\x11\xe0", "a.txt": b"x"}
    _, target = hide(zipped(tmp_path / "in.zip", members))
    assert list(members_of(target)) == ["a.txt"]


def _encrypt(data: bytes) -> bytes:
    return data.replace(b"PK\x03\x04\x14\0\0\0", b"PK\x03\x04\x14\0\1\0").replace(
        b"PK\x01\x02\x14\x03\x14\0\0\0", b"PK\x01\x02\x14\x03\x14\0\1\0"
    )


def _rename_in_directory(data: bytes) -> bytes:
    head, _mark, tail = data.rpartition(b"a.txt")
    return head + b"b.txt" + tail


ALTERED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "encrypted": (_encrypt, "encrypted"),
    "two names": (_rename_in_directory, "contradict"),
    "cut off": (lambda data: data[:-30], "no whole ZIP"),
    "damaged": (lambda data: data.replace(b"payload", b"pAyload", 1), "damaged"),
}


@pytest.mark.parametrize("case", ALTERED)
def test_a_zip_that_is_damaged_encrypted_or_ambiguous_is_refused(tmp_path: Path, case: str) -> None:
    alter, message = ALTERED[case]
    source = zipped(tmp_path / "in.zip", {"a.txt": b"payload"}, stored=("a.txt",))
    source.write_bytes(alter(source.read_bytes()))
    with pytest.raises(BadInput, match=message):
        hide(source)


def test_bytes_that_belong_to_no_member_are_left_out_and_named(tmp_path: Path) -> None:
    source = zipped(tmp_path / "in.zip", {"a.txt": b"x"})
    with zipfile.ZipFile(source, "a") as archive:
        archive.writestr("b.txt", b"y")
        archive.comment = b"from Jane"
    old = source.read_bytes()
    source.write_bytes(old)
    with zipfile.ZipFile(source, "a") as archive:  # an old member stays in the file when the directory forgets it
        forgotten = archive.infolist()[0]
        archive.filelist.remove(forgotten)
        del archive.NameToInfo["a.txt"]
        archive._didModify = True  # type: ignore[attr-defined]
    report, target = hide(source)
    assert list(members_of(target)) == ["b.txt"]
    assert b"a.txt" not in target.read_bytes()
    assert b"Jane" not in target.read_bytes()
    assert any("belong to no member" in warning for warning in report.warnings)


def test_links_are_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("link")
    info.create_system, info.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    with tarfile.open(tmp_path / "in.tar", "w") as tar:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    for source in (tmp_path / "in.zip", tmp_path / "in.tar"):
        with pytest.raises(BadInput, match="link to another file"):
            hide(source)


BOMBS = {
    "ratio": ({"unpacked_ratio": 50}, "unpacked_ratio"),
    "sum": ({"unpacked_bytes": 1 << 20}, "unpacked_bytes"),
    "members": ({"members": 1, "unpacked_ratio": 10_000}, "members"),
}


@pytest.mark.parametrize("case", BOMBS)
@pytest.mark.parametrize("kind", ["zip", *exhaustive(["tar.gz"])])
def test_bombs_are_refused_by_what_they_unpack_to(tmp_path: Path, case: str, kind: str) -> None:
    limits, name = BOMBS[case]
    members = {"a.txt": b" " * (17 << 20 if case == "ratio" else 2 << 20), "b.txt": b"x"}
    source = tmp_path / f"in.{kind}"
    if kind == "zip":
        zipped(source, members)
    else:
        tarred(source, members, "w:gz")
    host = RuntimeConfig(localizers={"fake": lambda: FakeLocalizer([])})
    with Engine(host=host, limits=Limits(**limits)) as engine, pytest.raises(LimitExceeded) as error:
        engine.hide(source, tmp_path / f"out.{kind}", PLAN)
    assert error.value.limit == name
    assert not (tmp_path / f"out.{kind}").exists()


def test_archives_are_not_unpacked_to_any_depth(tmp_path: Path) -> None:
    source = zipped(tmp_path / "0.zip", {"a.txt": b"x"})
    for number in range(1, 5):
        source = zipped(tmp_path / f"{number}.zip", {f"{number - 1}.zip": source.read_bytes()})
    with pytest.raises(LimitExceeded, match="nesting"):
        hide(source)


@pytest.mark.parametrize("damage", [lambda data: data[:700], lambda data: data[:512] + b"\1" * 100 + data[612:]])
def test_a_damaged_tar_is_refused_and_not_cut_short(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    source = tarred(tmp_path / "in.tar", {"empty.txt": b"", "b.txt": b"x" * 600})
    source.write_bytes(damage(source.read_bytes()))
    with pytest.raises(BadInput, match="TAR|cut off"):
        hide(source)


def test_two_members_of_one_name_are_both_hidden_in_an_archive_and_refused_in_a_document(tmp_path: Path) -> None:
    for name in ("in.zip", "in.docx"):
        zipped(tmp_path / name, docx() if name == "in.docx" else {})
        with zipfile.ZipFile(tmp_path / name, "a") as archive:
            archive.writestr("a.png", picture())
            with pytest.warns(UserWarning, match="Duplicate"):
                archive.writestr("a.png", picture(seed=1))
    _, target = hide(tmp_path / "in.zip")
    with zipfile.ZipFile(target) as archive:
        assert [is_black(archive.read(info)) for info in archive.infolist()] == [True, True]
    with pytest.raises(BadInput, match="two members named 'a.png'"):
        hide(tmp_path / "in.docx")


def test_rules_for_text_refuse_documents_which_have_text_of_their_own(tmp_path: Path) -> None:
    rule = Rule("text", PartSpec("text", {"match": "email"}), PartSpec("blacken"))
    with pytest.raises(BadPlan, match="text of its own"):
        hide(zipped(tmp_path / "in.docx", docx()), replace(PLAN, rules=(*PLAN.rules, rule)))


def test_a_signature_is_left_out_and_named(tmp_path: Path) -> None:
    source = zipped(tmp_path / "in.docx", docx() | {"_xmlsignatures/sig1.xml": b"<Signature/>"})
    report, target = hide(source)
    assert "_xmlsignatures/sig1.xml" not in members_of(target)
    assert any("signature" in warning for warning in report.warnings)


def test_a_document_is_not_written_as_another_kind_nor_over_its_source(tmp_path: Path) -> None:
    source = zipped(tmp_path / "in.docx", docx())
    with finding() as engine:
        with pytest.raises(BadPlan, match=r"allowed suffixes are \.docx"):
            engine.hide(source, tmp_path / "out.odt", PLAN)
        with pytest.raises(OutputFailed, match="source itself"):
            engine.hide(source, source, PLAN, overwrite=True)
        with pytest.raises(BadInput, match="is a DOCX"):
            engine.locate(source, PLAN)


def test_a_checked_document_is_published_only_when_nothing_is_found(tmp_path: Path) -> None:
    source = zipped(tmp_path / "in.docx", docx())
    faces = Plan((Rule("face", PartSpec("fake"), PartSpec("blacken"), grow=0),), verify=True)
    report, _ = hide(source, faces)
    assert report.check is not None
    assert report.check["passed"]
    weak = replace(faces, rules=(replace(faces.rules[0], hide=PartSpec("blacken", {"degree": 0.2})),))
    with pytest.raises(NotHidden, match=r"word/media/image1\.png"):
        hide(source.rename(tmp_path / "again.docx"), weak)
    assert not (tmp_path / "out-again.docx").exists()


def test_regions_that_are_hidden_come_with_the_number_of_their_picture(tmp_path: Path) -> None:
    heard: dict[int, tuple[Region, ...]] = {}
    hide(zipped(tmp_path / "in.zip", {"a.png": picture(), "b.png": picture()}), on_regions=heard.__setitem__)
    assert sorted(heard) == [0, 1]
