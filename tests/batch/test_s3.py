"""A whole batch against a server of S3 that others wrote."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import Command, site, velum_command  # noqa: F401 - fixtures

pytest.importorskip("pyarrow", reason="the extra batch is not installed")
pytest.importorskip("obstore", reason="the extra cloud is not installed")
server = pytest.importorskip("moto.server", reason="moto is not installed")
boto3 = pytest.importorskip("boto3", reason="boto3 is not installed")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

RULE = ("--rule", "face: crashing -> blacken")


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """A client of S3; the environment leads to its server."""
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT": f"http://{host}:{port}", "AWS_ALLOW_HTTP": "true", "AWS_ACCESS_KEY_ID": "velum",
        "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    s3 = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1")
    s3.create_bucket(Bucket="raw")
    s3.create_bucket(Bucket="safe")
    yield s3
    running.stop()


def test_a_bucket(client: object, velum_command: Command, tmp_path: Path) -> None:  # noqa: F811
    chance = np.random.default_rng(0)
    names = [f"in/ü #{number:02}?/[a] %.png" for number in range(20)]
    for name in names:
        Image.fromarray(chance.integers(0, 255, (16, 16, 3), np.uint8)).save(tmp_path / "image.png")
        client.put_object(Bucket="raw", Key=name, Body=(tmp_path / "image.png").read_bytes())  # type: ignore[attr-defined]
    for name, body in {"in/folder/": b"", "in/empty.jpg": b"", "in/notes.txt": b"x"}.items():
        client.put_object(Bucket="raw", Key=name, Body=body)  # type: ignore[attr-defined]
    call = ("batch", "s3://raw/in", "-o", "s3://safe/out", *RULE, "--json")
    done = velum_command(*call, code=1)
    assert json.loads(done.stdout)["statuses"] == {"hidden": 20, "nothing found": 0, "refused": 1, "failed": 0}
    for name in names:
        result = client.get_object(Bucket="safe", Key=f"out/{name[3:]}")  # type: ignore[attr-defined]
        original = client.head_object(Bucket="raw", Key=name)  # type: ignore[attr-defined]
        assert json.loads(result["Metadata"]["velumetag"]) == original["ETag"]
        assert result["ContentType"] == "image/png"
        (tmp_path / "result.png").write_bytes(result["Body"].read())
        assert (velum_command.pixels("result.png")[0:5, 0:5] == 0).all()
    assert json.loads(velum_command(*call, code=1).stdout)["before"] == 21
    client.put_object(Bucket="raw", Key=names[3], Body=(tmp_path / "image.png").read_bytes())  # type: ignore[attr-defined]
    assert json.loads(velum_command(*call, code=1).stdout)["files"] == 1
    assert "20 hidden, 0 nothing found, 1 refused" in velum_command("batch", "status", "s3://safe/out").stdout


@pytest.mark.parametrize("key", ["in/a//b.jpg", "in/../b.jpg"])
def test_a_key_that_cannot_be_named_stops_the_listing(client: object, velum_command: Command, key: str) -> None:  # noqa: F811
    client.put_object(Bucket="raw", Key="in/a.jpg", Body=b"1")  # type: ignore[attr-defined]
    client.put_object(Bucket="raw", Key=key, Body=b"1")  # type: ignore[attr-defined]
    done = velum_command("batch", "s3://raw/in", "-o", "s3://safe/out", *RULE, code=3)
    assert "holds a key that velum cannot name" in done.stderr


def test_buckets_that_are_missing(client: object, velum_command: Command) -> None:  # noqa: F811
    client.put_object(Bucket="raw", Key="a.jpg", Body=b"1")  # type: ignore[attr-defined]
    assert "NoSuchBucket" in velum_command("batch", "s3://none", "-o", "s3://safe/out", *RULE, code=6).stderr
    done = velum_command("batch", "s3://raw", "-o", "s3://none", *RULE, code=8)
    assert "check that the bucket exists and that the credentials allow writing" in done.stderr
