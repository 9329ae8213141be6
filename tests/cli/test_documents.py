"""Documents and archives on the command line: alone, in folders, checked."""

import json
import os
import shlex
from pathlib import Path

import pytest
from tests.cli.conftest import Command
from tests.media.archive.factories import docx, members_of, picture, tarred, zipped

RULE = ("--rule", "face: fake -> blacken with grow=0")


def test_hides_in_a_document_and_reports_its_members(velum_command: Command) -> None:
    folder = velum_command.folder
    zipped(folder / "report.docx", docx())
    done = velum_command("hide", "report.docx", "--json", *RULE)
    report = json.loads(done.stdout)
    assert (report["target"], report["format"], report["frames"]) == ("report.hidden.docx", "DOCX", 1)
    assert {"word/media/image1.png", "docProps/thumbnail.jpeg"} <= {member["name"] for member in report["members"]}
    assert members_of(folder / "report.hidden.docx")["word/media/image1.png"] != docx()["word/media/image1.png"]


def test_a_member_that_cannot_be_hidden_is_named_with_what_to_do(velum_command: Command) -> None:
    folder = velum_command.folder
    zipped(folder / "photos.zip", {"a.png": picture(), "x/b.emf": b"\x01\0\0\0" + bytes(36) + b" EMF" + bytes(40)})
    failed = velum_command("hide", "photos.zip", *RULE, code=3)
    assert "x/b.emf: an EMF drawing" in failed.stderr
    assert not (folder / "photos.hidden.zip").exists()
    velum_command("hide", "photos.zip", "--drop-member", "*.emf", *RULE)
    assert list(members_of(folder / "photos.hidden.zip")) == ["a.png"]


def test_folders_are_hidden_with_the_archives_in_them(velum_command: Command) -> None:
    folder = velum_command.folder
    (folder / "in").mkdir()
    zipped(folder / "in" / "a.zip", {"a.png": picture()})
    tarred(folder / "in" / "b.tar.gz", {"b.png": picture()}, "w:gz")
    velum_command("hide", "in", "-o", "out", "--workers", "1", *RULE)
    assert sorted(path.name for path in (folder / "out").iterdir()) == [".velum-manifest.jsonl", "a.zip", "b.tar.gz"]
    velum_command("hide", "in/b.tar.gz", *RULE)
    assert (folder / "in" / "b.hidden.tar.gz").exists()


def test_the_number_of_hidden_regions_in_an_archive_is_said(velum_command: Command) -> None:
    zipped(velum_command.folder / "a.zip", {"a.png": picture(), "b.png": picture(seed=1)})
    assert "a.hidden.zip: 2 faces hidden in 2 frames" in velum_command("hide", "a.zip", *RULE).stdout


def test_no_annotation_file_and_no_contact_sheet_belong_to_an_archive(velum_command: Command) -> None:
    zipped(velum_command.folder / "a.zip", {"a.png": picture()})
    assert "is a ZIP" in velum_command("locate", "a.zip", *RULE, code=3).stderr
    assert "--sheet" in velum_command("check", "a.zip", "--sheet", "s.png", *RULE, code=2).stderr


def test_a_name_that_is_not_utf8_is_hidden_and_resumed_as_others(velum_command: Command) -> None:
    folder = velum_command.folder
    (folder / "in").mkdir()
    name = os.fsdecode(b"caf\xe9.png")
    (folder / "in" / name).write_bytes(picture())
    (folder / "in" / "z.png").write_bytes(picture())
    velum_command("hide", "in", "-o", "out", "--workers", "1", *RULE)
    assert sorted(path.name for path in (folder / "out").iterdir()) == [".velum-manifest.jsonl", name, "z.png"]
    done = velum_command("hide", "in", "-o", "out", "--workers", "1", "--resume", *RULE)
    assert "2" in done.stdout + done.stderr


def write_letter(path: Path) -> None:
    """Write a PDF with an e-mail address in its own text."""
    pikepdf = pytest.importorskip("pikepdf", reason="the extra documents is not installed")
    with pikepdf.new() as pdf:
        page = pdf.add_blank_page(page_size=(300, 300)).obj
        font = pikepdf.Dictionary(Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica)
        page.Resources = pikepdf.Dictionary(Font=pikepdf.Dictionary(F1=font))
        page.Contents = pikepdf.Stream(pdf, b"BT /F1 12 Tf 20 200 Td (to ada@example.org now) Tj ET")
        pdf.save(path)


def test_the_text_of_a_pdf_is_inspected_and_the_command_removes_it(velum_command: Command) -> None:
    write_letter(velum_command.folder / "a.pdf")
    *_, found, command = velum_command("inspect", "a.pdf", "--html", "a.html").stdout.splitlines()
    assert " ".join(found.split()) == "personal text a.pdf: page 1: the plan hides 1 passage of its text"
    assert "the plan hides 1 passage of its text" in (velum_command.folder / "a.html").read_text()
    assert "1 passage of text hidden" in velum_command(*shlex.split(command)[3:]).stdout
    assert velum_command("inspect", "a.hidden.pdf").stdout.startswith("a.hidden.pdf: nothing found")


def test_passages_of_text_that_a_pdf_loses_are_counted(velum_command: Command) -> None:
    write_letter(velum_command.folder / "a.pdf")
    for kind, said in (("email", "1 passage of text hidden"), ("iban", "nothing hidden")):
        rule = ("--rule", f"text: text(match={kind}) -> blacken")
        assert f"{kind}.pdf: {said}," in velum_command("hide", "a.pdf", "-o", f"{kind}.pdf", *rule).stdout
