"""A whole batch against a server of Azure Blob Storage that others wrote: npm install -g azurite."""

import base64
import hashlib
import hmac
import io
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import Command, site, velum_command  # noqa: F401 - fixtures
from tests.waiting import until

from velum.errors import BadInput
from velum.storage.objects import ObjectChanged, ObjectGone, open_tree

pytest.importorskip("pyarrow", reason="the extra batch is not installed")
pytest.importorskip("obstore", reason="the extra cloud is not installed")
AZURITE = shutil.which("azurite-blob")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(AZURITE is None, reason="no azurite-blob on PATH; npm install -g azurite"),
]

RULE = ("--rule", "face: crashing -> blacken")
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Account and key of every Azurite, as its manual prints them."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        str(AZURITE), "--blobPort", str(port), "--inMemoryPersistence", "--silent", "--disableTelemetry",
        "--skipApiVersionCheck",
    ]  # fmt: skip
    with subprocess.Popen(command, cwd=tmp_path_factory.mktemp("azurite"), stdout=subprocess.DEVNULL) as running:

        def answers() -> bool:
            with socket.socket() as trial:
                return trial.connect_ex(("127.0.0.1", port)) == 0

        try:
            until(answers)
            yield f"http://127.0.0.1:{port}/{ACCOUNT}"
        finally:
            running.kill()


@pytest.fixture
def container(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a new container, to which the environment leads."""
    for name, value in {
        "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY": KEY, "AZURE_STORAGE_ENDPOINT": server,
        "AZURE_ALLOW_HTTP": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    name = secrets.token_hex(4)
    send(f"{server}/{name}?restype=container", "restype:container")
    return name


def send(url: str, resource: str = "", body: bytes = b"", **headers: str) -> None:
    """Send a signed PUT. Unlike velum's library it makes containers, and names any key."""
    fields = {
        "x-ms-date": datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT"), "x-ms-version": "2021-08-06", **headers,
    }  # fmt: skip
    path = url.partition("?")[0].split("/", 3)[3]
    signed = [
        "PUT", "", "", str(len(body) or ""), *[""] * 8, *(f"{name}:{fields[name]}" for name in sorted(fields)),
        f"/{ACCOUNT}/{path}", *([resource] if resource else []),
    ]  # fmt: skip
    digest = hmac.digest(base64.b64decode(KEY), "\n".join(signed).encode(), hashlib.sha256)
    fields["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"
    request = urllib.request.Request(url, data=body, method="PUT", headers={**fields, "Content-Type": ""})
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 201


def picture(seed: int) -> bytes:
    data = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (16, 16, 3), np.uint8)).save(data, "PNG")
    return data.getvalue()


KEYS = [
    "a.png", "quote\"'.png", "a%2Fb + &=;.png", "b/caf\N{COMBINING ACUTE ACCENT}.png", "no suffix",
    "ü #1?/[a] %.png", "~{}|^`.png",
]  # fmt: skip


def test_a_batch_reads_from_and_writes_to_a_container(container: str, velum_command: Command, tmp_path: Path) -> None:  # noqa: F811
    place = f"az://{container}"
    source = open_tree(f"{place}/in")
    for number, key in enumerate(KEYS):
        source.put_new(key, picture(number))
    for key, body in {"empty.jpg": b"", "text.jpg": b"no picture", "notes.txt": b"x"}.items():
        source.put_new(key, body)
    call = ("batch", f"{place}/in", "-o", f"{place}/out", *RULE, "--json")
    done = velum_command(*call, code=1)
    assert json.loads(done.stdout)["statuses"] == {"hidden": len(KEYS), "nothing found": 0, "refused": 2, "failed": 0}
    assert "empty.jpg: the object is empty" in done.stderr
    results = open_tree(f"{place}/out")
    for number, key in enumerate(KEYS):
        assert json.loads(results.metadata(key)["velumetag"]) == source.head(key).etag
        (tmp_path / "original.png").write_bytes(picture(number))
        velum_command("hide", "original.png", "-o", "same.png", "--overwrite", *RULE)
        assert results.read(key) == (tmp_path / "same.png").read_bytes()
    assert json.loads(velum_command(*call, code=1).stdout)["before"] == len(KEYS) + 2
    (tmp_path / "new").write_bytes(picture(99))
    source.put_file("a.png", tmp_path / "new", {})
    assert json.loads(velum_command(*call, code=1).stdout)["files"] == 1
    assert "2 refused" in velum_command("batch", "status", f"{place}/out").stdout


@pytest.mark.parametrize("key", ["a//b.png", "x/./y.png", "tab\t.png"])
def test_a_key_that_cannot_be_named_stops_the_listing(container: str, server: str, key: str) -> None:
    send(f"{server}/{container}/in/{quote(key)}", body=b"x", **{"x-ms-blob-type": "BlockBlob"})
    with pytest.raises(BadInput, match="rename the object"):
        list(open_tree(f"az://{container}/in").list())


def test_an_object_that_changes_is_not_read(container: str, tmp_path: Path) -> None:
    tree = open_tree(f"az://{container}/in")
    assert tree.put_new("a.bin", b"x" * 9_000_000)
    assert not tree.put_new("a.bin", b"second")
    (listed,) = tree.list()
    assert listed == tree.head("a.bin")
    tree.fetch(listed, tmp_path / "same")
    assert (tmp_path / "same").read_bytes() == b"x" * 9_000_000
    (tmp_path / "large").write_bytes(bytes(range(256)) * 80_000)  # in parts
    tree.put_file("a.bin", tmp_path / "large", {"velumplan": "x"})
    assert (tree.read("a.bin"), tree.metadata("a.bin")["velumplan"]) == ((tmp_path / "large").read_bytes(), "x")
    with pytest.raises(ObjectChanged):
        tree.fetch(listed, tmp_path / "changed")
    tree.delete("a.bin")
    tree.delete("a.bin")
    with pytest.raises(ObjectChanged):  # this server compares the ETag first; the next request finds nothing
        tree.fetch(listed, tmp_path / "gone")
    with pytest.raises(ObjectGone):
        tree.head("a.bin")


def test_a_container_is_watched(container: str, velum_command: Command) -> None:  # noqa: F811
    place = f"az://{container}"
    call = ("watch", f"{place}/cam", "-o", f"{place}/safe", *RULE, "--workers", "1", "--once")
    source = open_tree(f"{place}/cam")
    for number, key in enumerate(("a.png", "b/c.png")):
        source.put_new(key, picture(number))
    assert "a.png: 1 face hidden" in velum_command(*call).stdout
    done = velum_command(*call, "--originals", "move", "--move-to", f"{place}/old", "--after", "0s").stdout
    assert "b/c.png: the original was moved to" in done
    assert "face hidden" not in done
    assert list(source.list()) == []
    assert [found.key for found in open_tree(f"{place}/old").list()] == ["a.png", "b/c.png"]


@pytest.mark.exhaustive
def test_a_batch_that_was_killed_continues(container: str, velum_command: Command, site: Path) -> None:  # noqa: F811
    place = f"az://{container}"
    source, results = open_tree(f"{place}/in"), open_tree(f"{place}/out")
    for number in range(60):
        source.put_new(f"{number:02}.png", picture(number))
    call = ["batch", f"{place}/in", "-o", f"{place}/out", *RULE, "--workers", "1", "--json"]

    def finished() -> dict[str, str]:
        return {found.key: found.etag for found in results.list() if not found.key.startswith("_velum/")}

    with subprocess.Popen(
        [sys.executable, "-c", "from velum.cli.main import run; run()", *call], stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(site)},
    ) as command:  # fmt: skip
        until(lambda: len(finished()) >= 30)
        command.send_signal(signal.SIGKILL)
    before = finished()
    assert 30 <= len(before) < 60
    assert json.loads(velum_command(*call).stdout)["statuses"]["hidden"] >= 60 - len(before)
    after = finished()
    assert len(after) == 60
    assert sum(after[key] == tag for key, tag in before.items()) >= len(before) - 2  # whose outcome was not yet there


def test_what_is_missing_is_said(
    container: str,
    velum_command: Command,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = f"az://{container}"
    open_tree(f"{place}/in").put_new("a.png", picture(0))
    done = velum_command("batch", "az://nowhere", "-o", f"{place}/out", *RULE, code=6)
    assert "there is no such container; check its name" in " ".join(done.stderr.split())
    done = velum_command("batch", f"{place}/in", "-o", "az://nowhere", *RULE, code=8)
    assert "check that the bucket exists" in done.stderr
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", base64.b64encode(b"another").decode())
    done = velum_command("batch", f"{place}/in", "-o", "safe", *RULE, code=6)
    assert "give the credentials the right to list" in done.stderr
