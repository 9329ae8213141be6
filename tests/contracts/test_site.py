"""The documentation site: every public name has its place, links have targets, nothing loads from other hosts."""

import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docs.site.__main__ import finish, write
from docs.site.http_api import openapi
from docs.site.markdown import escape, table
from typer.main import get_command

import velum
from velum.cli.main import app
from velum.settings import variables

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]+)[^)]*\)")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources of the site, as the builder gets them."""
    folder = tmp_path_factory.mktemp("docs")
    write(folder)
    return folder


def pages_of(entry: Any) -> Iterator[str]:
    """Yield the pages that a part of the navigation names."""
    if isinstance(entry, str):
        yield entry
    else:
        for inner in entry.values() if isinstance(entry, dict) else entry:
            yield from pages_of(inner)


def test_every_page_is_in_one_of_four_sections_once(site: Path) -> None:
    nav = tomllib.loads((site / "zensical.toml").read_text())["project"]["nav"]
    assert [name for room in nav for name in room] == ["Get started", "How to", "Reference", "Why"]
    pages = {str(path.relative_to(site / "pages")) for path in (site / "pages").rglob("*.md")}
    assert sorted(pages_of(nav)) == sorted(pages), "name each page of docs/ once in docs/site/zensical.toml"


def test_links_of_the_site_lead_to_its_pages(site: Path) -> None:
    pages = site / "pages"
    dead = [
        f"{page.relative_to(pages)} links to {target}"
        for page in sorted(pages.rglob("*.md"))
        for target in LINK.findall(page.read_text())
        if not (page.parent / target).is_file()
    ]
    assert not dead, "\n".join(dead)


def test_pages_that_files_of_the_repository_name_exist() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False, text=True)
    if listed.returncode != 0:
        pytest.skip("this is no clone of the repository")
    dead = []
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".yaml", ".mjs", ".html", ".sh", ""} and path.is_file():
            named = re.findall(r"(?<![\w/.-])docs/[\w./-]+\.md\b", path.read_text(encoding="utf-8", errors="replace"))
            dead += [f"{name} names {page}" for page in named if not (ROOT / page).is_file()]
    assert not dead, "\n".join(dead)


def test_every_command_and_option_has_its_place(site: Path) -> None:
    commands: Any = get_command(app)
    for name, command in commands.commands.items():
        text = (site / f"pages/commands/{name}.md").read_text()
        for inner in getattr(command, "commands", {"": command}).values():
            named = [option.opts[0] for option in inner.params if option.param_type_name == "option"]
            missing = [option for option in named if f"`{option}`" not in text]
            assert not missing, (name, inner.name, missing)


def test_every_setting_has_its_place_and_no_local_path_is_shown(site: Path) -> None:
    text = (site / "pages/settings.md").read_text()
    missing = [variable for variable in variables() if f"`{variable}`" not in text]
    assert not missing
    assert str(Path.home()) not in text
    assert "/nowhere" not in text


def test_every_operation_and_object_of_the_service_has_its_place(site: Path) -> None:
    text, document = (site / "pages/http.md").read_text(), openapi()
    for path, operations in document["paths"].items():
        assert all(f"### {method.upper()} `{path}` {{" in text for method in operations), path
    anchors = re.findall(r"\{ #([\w-]+) \}", text)
    assert len(anchors) == len(set(anchors))
    assert set(re.findall(r"\]\(#([\w-]+)\)", text)) <= set(anchors)


def test_every_public_name_of_python_has_its_place(site: Path) -> None:
    text = (site / "pages/python/index.md").read_text()
    assert sorted(re.findall(r"^::: velum\.(\w+)$", text, re.MULTILINE)) == velum.__all__
    parts = (site / "pages/python/parts.md").read_text()
    assert {"::: velum.plugins.Localizer", "::: velum.plugins.Technique", "::: velum.plugins.Patch"} <= set(
        parts.splitlines()
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("only files like '2024/*.jpg' or '*.mp4'", r"only files like '2024/\*.jpg' or '\*.mp4'"),
        ("a `*` stays,\n   a <b> shows", r"a `*` stays, a \<b\> shows"),
        ("fixed(box=[0,0,9,9])", r"fixed(box=\[0,0,9,9\])"),
    ],
)
def test_plain_text_is_escaped_in_markdown(text: str, shown: str) -> None:
    assert escape(text) == shown


def test_a_table_escapes_bars_and_is_left_out_without_rows() -> None:
    assert table(["a"], [["`x | y`"]]) == "| a |\n| --- |\n| `x \\| y` |\n\n"
    assert table(["a"], []) == ""


@pytest.mark.parametrize(
    "loading",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="//fonts.example/x.css">',
        '<img alt="" src=https://images.example/x.png>',
    ],
)
def test_a_page_that_would_load_from_another_host_is_refused(tmp_path: Path, loading: str) -> None:
    (tmp_path / "html/deep").mkdir(parents=True)
    (tmp_path / "html/deep/page.html").write_text(f"<html>{loading}</html>")
    with pytest.raises(SystemExit, match=r"deep/page\.html loads (https:)?//"):
        finish(tmp_path)


def test_the_script_that_the_builder_would_fetch_is_replaced_by_a_local_one(tmp_path: Path) -> None:
    (tmp_path / "html/deep").mkdir(parents=True)
    page = tmp_path / "html/deep/page.html"
    page.write_text(
        '<script src="https://unpkg.com/iframe-worker/shim" type="text/javascript"></script><a href="https://x.example">x</a>'
    )
    finish(tmp_path)
    assert page.read_text() == '<script src="../frame_worker.js"></script><a href="https://x.example">x</a>'
