"""Evidence on the command line, from creating the key to verifying the signature."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from velum import Engine, Plan, VelumError
from velum.cli.main import app
from velum.file_hash import sha256_of

ZONE = "zone: fixed(box=[10, 5, 30, 25]) -> blacken with grow=0"


def velum(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, [str(one) for one in arguments])
    if isinstance(done.exception, VelumError):
        assert done.exception.exit_code == code
        return str(done.exception)
    assert done.exit_code == code, (done.output, done.exception)
    return done.output


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an image, its result and report, and a key."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VELUM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    for name in ("photo.png", "photos/a.png", "photos/sub/b.png"):
        Image.fromarray(np.full((40, 60, 3), 200, np.uint8)).save(tmp_path / name)
    with Engine() as engine:
        report = engine.hide("photo.png", "out.png", Plan.of(ZONE))
    (tmp_path / "report.json").write_text(json.dumps(report.to_json()))
    velum("evidence", "keygen", "key")
    return tmp_path


def test_creates_and_verifies_evidence_from_a_report(desk: Path) -> None:
    (desk / "check.json").write_text(json.dumps({"passed": True, "sha256": sha256_of(desk / "out.png")}))
    velum(
        "evidence", "create", "out.png", "--report", "report.json", "--original", "photo.png", "--check", "check.json",
        "--reviewer", "A. Reader", "--key", "key",
    )  # fmt: skip
    evidence = json.loads((desk / "out.png.evidence.json").read_text())
    assert evidence["reviewers"] == ["A. Reader"]
    assert evidence["files"][0]["check"]["passed"] is True
    assert evidence["files"][0]["hidden"] == [{"label": "zone", "size": "16 to 31 px", "count": 1}]
    said = velum("evidence", "verify", "out.png.evidence.json", "--file", "out.png", "--public-key", "key.pub")
    assert said.count("good") == 2
    assert "key that you trust" in velum("evidence", "verify", "out.png.evidence.json")
    (desk / "out.png").write_bytes(b"other")
    assert "BAD   out.png was changed" in velum(
        "evidence", "verify", "out.png.evidence.json", "--file", "out.png", code=1
    )


def test_refuses_a_check_of_another_file(desk: Path) -> None:
    told = {"format": "velum-check/1", "passed": True}
    create = ("evidence", "create", "out.png", "--report", "report.json", "--check", "check.json")
    for other in ({"sha256": sha256_of(desk / "photo.png")}, {}):
        (desk / "check.json").write_text(json.dumps(told | other))
        assert "give the result of velum check for out.png" in velum(*create, code=3)
    assert not (desk / "out.png.evidence.json").exists()
    (desk / "check.json").write_text(json.dumps(told | {"sha256": sha256_of(desk / "out.png")}))
    velum(*create)


def test_refuses_an_evaluation_of_another_plan(desk: Path) -> None:
    report = json.loads((desk / "report.json").read_text())
    told = {"format": "velum-evaluation/1", "passed": True}
    create = ("evidence", "create", "out.png", "--report", "report.json", "--evaluation", "evaluation.json")
    (desk / "evaluation.json").write_text(json.dumps(told | {"plan": {"digest": "ab" * 32}}))
    assert "give the result of velum evaluate for that plan" in velum(*create, code=3)
    assert not (desk / "out.png.evidence.json").exists()
    (desk / "evaluation.json").write_text(json.dumps(told | {"plan": {"digest": report["plan"]}}))
    velum(*create)


def test_unsigned_evidence_does_not_verify(desk: Path) -> None:
    velum("evidence", "create", "out.png", "--report", "report.json", "-o", "evidence.json")
    assert "not signed" in velum("evidence", "verify", "evidence.json", code=1)


@pytest.mark.parametrize(
    ("more", "code", "reason"),
    [
        (("--original", "out.png"), 3, "is not the source"),
        (("--original", "photo.png", "--originals-destroyed"), 4, "contradicts"),
        (("--key", "key.pub"), 4, "not a private key"),
        (("--passphrase-file", "key"), 4, "is the passphrase of --key"),
        (("--check", "photo.png"), 3, "cannot read"),
        (("-o", "photo.png"), 8, "exists"),
    ],
)
def test_refuses_contradicting_options(desk: Path, more: tuple[str, ...], code: int, reason: str) -> None:
    assert reason in velum("evidence", "create", "out.png", "--report", "report.json", *more, code=code)
    assert not (desk / "out.png.evidence.json").exists()


def test_refuses_the_report_of_another_file(desk: Path) -> None:
    assert "is not the result" in velum("evidence", "create", "photo.png", "--report", "report.json", code=3)


def test_hide_writes_evidence_of_one_file(desk: Path) -> None:
    velum("hide", "photo.png", "-o", "safe.png", "--rule", ZONE, "--evidence", "safe.json", "--key", "key")
    velum("evidence", "verify", "safe.json", "--file", "safe.png", "--public-key", "key.pub")
    assert json.loads((desk / "safe.json").read_text())["kind"] == "file"


@pytest.mark.parametrize(("more", "code"), [(("--key", "report.json"), 4), (("--key", "none"), 4)])
def test_reports_a_wrong_key_before_any_work(desk: Path, more: tuple[str, ...], code: int) -> None:
    velum("hide", "photo.png", "-o", "safe.png", "--rule", ZONE, "--evidence", "safe.json", *more, code=code)
    assert not (desk / "safe.png").exists()
    velum("hide", "photo.png", "-o", "safe.png", "--rule", ZONE, "--evidence", "report.json", code=8)
    assert not (desk / "safe.png").exists()


def test_writes_one_evidence_file_for_a_folder(desk: Path) -> None:
    (desk / "photos" / "bad.jpg").write_bytes(b"")
    hide = ("hide", "photos", "-o", "safe", "--rule", ZONE, "--evidence", "safe/evidence.json", "--key", "key")
    velum(*hide, code=1)
    first = json.loads((desk / "safe" / "evidence.json").read_text())
    assert (first["kind"], first["failed"]) == ("batch", 1)
    assert [one["file"] for one in first["files"]] == ["a.png", "sub/b.png"]
    verify = ("evidence", "verify", "safe/evidence.json", "--file", "safe", "--public-key", "key.pub")
    assert velum(*verify).count("good") == 3
    (desk / "safe" / "a.png").unlink()
    assert "is missing" in velum(*verify, code=1)
    velum(*hide, "--resume", code=1)
    again = json.loads((desk / "safe" / "evidence.json").read_text())
    assert [one.get("earlier", False) for one in again["files"]] == [False, True]
    velum(*verify)


def test_evidence_of_a_folder_has_reviewers_evaluation_and_checks(desk: Path) -> None:
    told = {
        "format": "velum-evaluation/1",
        "passed": True,
        "plan": {"digest": replace(Plan.of(ZONE), verify=True).digest},
    }
    (desk / "evaluation.json").write_text(json.dumps(told))
    hide = ("hide", "photos", "-o", "safe", "--rule", ZONE, "--verify", "--reviewer", "A. Reader")
    velum(*hide, "--evidence", "evidence.json", "--evaluation", "evaluation.json")
    made = json.loads((desk / "evidence.json").read_text())
    assert made["reviewers"] == ["A. Reader"]
    for one in made["files"]:
        assert (one["check"]["passed"], one["standard"]["passed"]) == (True, True)
        assert one["check"]["result"]["sha256"] == one["output_sha256"]
    assert "add --evidence FILE" in velum(*hide, code=2)


def test_writes_an_html_page_of_the_evidence(desk: Path) -> None:
    velum("hide", "photos", "-o", "safe", "--rule", ZONE, "--evidence", "evidence.json", "--key", "key")
    assert velum("evidence", "page", "evidence.json", "--public-key", "key.pub").strip() == "evidence.html"
    html = (desk / "evidence.html").read_text()
    for word in ("Evidence of 2 files", "pseudonymised", "sub/b.png", "16 to 31 px", "the key given"):
        assert word in html


@pytest.mark.parametrize("name", ["photo.png", "safe.png", "key"])
def test_evidence_never_replaces_a_given_file(desk: Path, name: str) -> None:
    before = (desk / "photo.png").read_bytes(), (desk / "key").read_bytes()
    hide = ("hide", "photo.png", "-o", "safe.png", "--rule", ZONE, "--key", "key", "--overwrite")
    assert "choose another name" in velum(*hide, "--evidence", name, code=4)
    create = ("evidence", "create", "out.png", "--report", "report.json", "--original", "photo.png", "--overwrite")
    assert "choose another name" in velum(
        *create, "--key", "key", "-o", "out.png" if name == "safe.png" else name, code=4
    )
    assert before == ((desk / "photo.png").read_bytes(), (desk / "key").read_bytes())
    assert not (desk / "safe.png").exists()
