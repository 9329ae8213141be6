"""The files of the page: their addresses, their caching, and their permissions."""

import gzip
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from tests.service.factories import client, settings

import velum.service
from velum.service.ui_files import UiFiles

UI = Path(velum.service.__file__).parent / "ui"


def test_the_page_is_served_and_may_load_from_its_own_host_only(tmp_path: Path) -> None:
    with client(settings(tmp_path)) as api:
        start = api.get("/")
        links = re.findall(r'(?:src|href)="([^"]+)"', start.text)
        got = {link: api.get("/" + link) for link in links}
    assert start.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'self'" in start.headers["content-security-policy"]
    assert "unsafe" not in start.headers["content-security-policy"]
    assert not re.search(r"\sstyle=|<style|<script(?![^>]* src=)", start.text)
    assert got
    assert all(answer.status_code == 200 for answer in got.values()), got
    assert not any(link.startswith(("/", "http")) for link in links), "works under a path of a reverse proxy"


def test_files_with_a_version_are_cached_for_ever_and_others_are_revalidated(tmp_path: Path) -> None:
    version = UiFiles().version
    with client(settings(tmp_path)) as api:
        now, before = api.get(f"/ui/{version}/app.mjs"), api.get("/ui/older/app.mjs")
        again = api.get("/", headers={"if-none-match": api.get("/").headers["etag"]})
        head = api.head(f"/ui/{version}/styles/base.css")
    assert now.headers["content-type"] == "text/javascript; charset=utf-8"
    assert "immutable" in now.headers["cache-control"]
    assert before.headers["cache-control"] == "no-cache"
    assert again.status_code == 304
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == "text/css; charset=utf-8"


@pytest.mark.parametrize(
    "path", ["..%2fpage.py", "%2e%2e/page.py", "/etc/passwd", "%2fetc%2fpasswd", "app", "", "start"]
)
def test_only_files_of_the_page_are_served(usual_service: TestClient, path: str) -> None:
    assert usual_service.get(f"/ui/{UiFiles().version}/{path}").status_code == 404


def loaded_with(*modules: str) -> set[str]:
    """Return the modules, and all that they import."""
    found, waiting = set[str](), list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            source = (UI / name).read_text(encoding="utf-8")
            targets = re.findall(r"^(?:import|export)[^;]*? from '([^']+)';", source, re.MULTILINE)
            folder = (UI / name).parent
            waiting += [folder.joinpath(path).resolve().relative_to(UI.resolve()).as_posix() for path in targets]
    return found


def test_minified_files_are_small_and_behave_like_their_sources(tmp_path: Path) -> None:
    names = [path.relative_to(UI).as_posix() for path in UI.rglob("*.mjs")]
    with client(settings(tmp_path)) as api:
        sent = {name: api.get(f"/ui/{UiFiles().version}/{name}") for name in names}
    assert all(answer.status_code == 200 for answer in sent.values())
    sizes = {name: len(gzip.compress(answer.content)) for name, answer in sent.items()}
    assert sum(sizes.values()) < 200_000
    assert sum(sizes[name] for name in loaded_with("app.mjs", "start/page.mjs")) < 60_000, "the first page"
    for name, answer in sent.items():
        assert "@param" not in answer.text
        written = (UI / name).read_text(encoding="utf-8")
        assert re.findall(r"`[^`]*`", answer.text) == re.findall(
            r"`[^`]*`", re.sub(r"/\*\*.*?\*/", "", written, flags=re.DOTALL)
        )
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not here to read it: apt-get install nodejs")
    files = []
    for name, answer in sent.items():
        (file := tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(answer.content)
        files.append(str(file))
    read = (
        "for (const f of process.argv.slice(1)) new vm.SourceTextModule(fs.readFileSync(f, 'utf8'), { identifier: f });"
    )
    subprocess.run([node, "--no-warnings", "--experimental-vm-modules", "-e", read, *files], check=True, timeout=60)


def test_the_page_can_be_turned_off(tmp_path: Path) -> None:
    with client(settings(tmp_path, page=False)) as api:
        assert api.get("/", follow_redirects=False).headers["location"] == "/docs"
        assert api.get("/ui/x/app.mjs").status_code == 404
