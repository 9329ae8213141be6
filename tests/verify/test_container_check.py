"""A finished archive or document is checked as a stranger would open it."""

import zipfile
from pathlib import Path

import pytest
from tests.media.archive.factories import BOX, PLAN, docx, finding, odt, picture, zipped
from tests.rows import exhaustive

from velum import Annotations, Limits, Region
from velum.errors import BadPlan
from velum.plugins import RuntimeConfig
from velum.verify.leak_check import Check
from velum.verify.result import CheckResult


def check(file: Path, against: Path | None = None, **more: object) -> CheckResult:
    with finding(Region(BOX, "face", 0.9)) as engine:
        made: CheckResult = Check(engine, RuntimeConfig(offline=True), Limits())(file, PLAN, against=against, **more)  # type: ignore[arg-type]
    return made


@pytest.fixture
def hidden(tmp_path: Path) -> tuple[Path, Path]:
    source = zipped(tmp_path / "in.docx", docx())
    with finding() as engine:
        engine.hide(source, tmp_path / "out.docx", PLAN)
    return source, tmp_path / "out.docx"


@pytest.mark.slow
def test_a_hidden_document_passes_and_its_source_does_not(hidden: tuple[Path, Path]) -> None:
    source, result = hidden
    after = check(result, source)
    assert [leak.message for leak in after.leaks if leak.kind != "seen"] == []
    assert after.frames == 1
    kinds = {leak.kind for leak in check(source).leaks}
    assert {"seen", "picture", "metadata"} <= kinds


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("docProps/thumbnail.jpeg", picture("JPEG"), "picture"),
        ("docProps/core.xml", docx()["docProps/core.xml"], "metadata"),
        ("word/media/image2.emf", b"\x01\0\0\0" + bytes(36) + b" EMF" + bytes(40), "rest"),
        ("word/media/image9.png", picture(), "frames"),
        *exhaustive([("word/vbaProject.bin", b"\1\2", "rest")]),
    ],
)
def test_what_was_put_back_into_a_document_is_found(
    hidden: tuple[Path, Path], name: str, data: bytes, kind: str
) -> None:
    source, result = hidden
    with zipfile.ZipFile(result) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    zipped(result, members | {name: data})
    leaks = [leak for leak in check(result, source).leaks if leak.message.startswith(name)]
    assert kind in {leak.kind for leak in leaks}


def test_bytes_that_no_member_owns_are_found(tmp_path: Path) -> None:
    file = zipped(tmp_path / "in.odt", {name: data for name, data in odt().items() if name == "mimetype"})
    with zipfile.ZipFile(file, "a") as archive:
        archive.comment = b"from Jane"
    assert [leak.kind for leak in check(file).leaks] == ["rest"]


def test_regions_of_one_picture_are_not_those_of_a_document(tmp_path: Path) -> None:
    file = zipped(tmp_path / "in.zip", {"a.txt": b"x"})
    with pytest.raises(BadPlan, match="of many pictures"):
        check(file, regions=Annotations(1, 1, {}))
