"""A whole batch against a server of S3 that others wrote."""

import io
import json
import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.conftest import Command, site, velum_command  # noqa: F401 - fixtures
from tests.storage.fake_s3 import S3, s3

from velum.errors import BadPlan, Unavailable
from velum.storage.notifications import NotificationQueue

pytest.importorskip("pyarrow", reason="the extra batch is not installed")
pytest.importorskip("obstore", reason="the extra cloud is not installed")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("moto"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

RULE = ("--rule", "face: crashing -> blacken")


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """A client of S3; the environment leads to its server."""
    # Here, as every process of a parallel run reads this file, and one runs its tests.
    server = pytest.importorskip("moto.server", reason="moto is not installed")
    boto3 = pytest.importorskip("boto3", reason="boto3 is not installed")
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


def test_a_batch_reads_from_and_writes_to_a_bucket(client: object, velum_command: Command, tmp_path: Path) -> None:  # noqa: F811
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


ODD_KEYS = [
    "a//b.png", "../up.png", "./dot.png", "x/../y.png", "tab\t.png", "bell\x07.png", "folder.png/", "/a.png",
]  # fmt: skip

PLAIN_KEYS = ["a.png", "quote\"'.png", "a%2Fb + &=;.png", "b/caf\N{COMBINING ACUTE ACCENT}.png", "no suffix"]


def test_keys_with_any_characters_are_hidden_or_refused_one_by_one(
    client: object,
    velum_command: Command,  # noqa: F811
    tmp_path: Path,
) -> None:
    for bucket in ("odd", "odd-safe"):  # the server keeps those of other tests
        client.create_bucket(Bucket=bucket)  # type: ignore[attr-defined]
    chance = np.random.default_rng(0)
    for key in [*ODD_KEYS, *PLAIN_KEYS]:
        Image.fromarray(chance.integers(0, 255, (16, 16, 3), np.uint8)).save(tmp_path / "image.png")
        client.put_object(Bucket="odd", Key=key, Body=(tmp_path / "image.png").read_bytes())  # type: ignore[attr-defined]
    for key, body in {"folder/": b"", "x//": b"", "empty//e.png": b"", "notes//n.txt": b"x"}.items():
        client.put_object(Bucket="odd", Key=key, Body=body)  # type: ignore[attr-defined]
    call = ("batch", "s3://odd", "-o", "s3://odd-safe", *RULE, "--json")
    done = velum_command(*call, code=1)
    assert "1 object is no image, video or document by name and left out: 1 .txt" in done.stderr
    assert "empty//e.png: the object is empty" in done.stderr
    count = len(ODD_KEYS) + len(PLAIN_KEYS)
    assert json.loads(done.stdout)["statuses"] == {"hidden": count, "nothing found": 0, "refused": 1, "failed": 0}
    pictures = set()
    for key in [*ODD_KEYS, *PLAIN_KEYS]:
        result = client.get_object(Bucket="odd-safe", Key=key)  # type: ignore[attr-defined]
        original = client.head_object(Bucket="odd", Key=key)  # type: ignore[attr-defined]
        assert json.loads(result["Metadata"]["velumetag"]) == original["ETag"]
        pictures.add(result["Body"].read())
    assert len(pictures) == count  # none was taken for another
    assert json.loads(velum_command(*call, code=1).stdout)["before"] == count + 1

    done = velum_command("batch", "s3://odd", "-o", "safe", *RULE, "--json", code=1)
    refused = {"bell\x07.png", "tab\t.png"} ^ set(ODD_KEYS)  # a folder takes control characters
    assert json.loads(done.stdout)["statuses"]["refused"] == len(refused) + 1
    assert "'../up.png' cannot be a file in" in done.stderr
    assert not (tmp_path / "up.png").exists()


@pytest.mark.exhaustive
def test_missing_credentials_are_reported(
    client: object,
    velum_command: Command,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1/169.254.169.254")
    done = velum_command("batch", "s3://raw", "-o", "safe", *RULE, code=6)
    assert "no credentials were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in done.stderr
    Image.new("RGB", (9, 9)).save(velum_command.folder / "a.png")
    done = velum_command("batch", ".", "-o", "s3://safe", *RULE, code=8)
    assert "no credentials were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in done.stderr


def test_missing_buckets_are_reported(client: object, velum_command: Command) -> None:  # noqa: F811
    client.put_object(Bucket="raw", Key="a.jpg", Body=b"1")  # type: ignore[attr-defined]
    assert "NoSuchBucket" in velum_command("batch", "s3://none", "-o", "s3://safe/out", *RULE, code=6).stderr
    done = velum_command("batch", "s3://raw", "-o", "s3://none", *RULE, code=8)
    assert "check that the bucket exists, and give the credentials the right to write" in done.stderr


@pytest.mark.parametrize(
    ("denied", "target", "code", "message"),
    [
        ("list", "safe", 6, "cannot list s3://faces/in: .*; give the credentials the right to list"),
        ("GET", "safe", 6, "2 files of shard 0 are left for the next run: cannot read .* the right to read"),
        ("PUT", "s3://faces/out", 8, "cannot write .* in s3://faces/out: .* the right to write"),
    ],
)
def test_a_right_that_is_missing_is_named_and_leaves_no_result(
    velum_command: Command,  # noqa: F811 - a fixture of another file
    monkeypatch: pytest.MonkeyPatch,
    denied: str,
    target: str,
    code: int,
    message: str,
) -> None:
    call = ("batch", "s3://faces/in", "-o", target, *RULE, "--workers", "1")
    with s3() as bucket:
        photographs_in(bucket, monkeypatch)
        bucket.denied = frozenset({denied})
        done = velum_command(*call, code=code)
        assert re.search(message, done.stderr)
        assert not [key for key in bucket.objects if re.search(r"out/.*\.(png|parquet)$", key)]
        assert not list(velum_command.folder.glob("safe/**/*.png"))
        bucket.denied = frozenset()
        assert "2 hidden" in velum_command(*call).stdout


def test_a_batch_needs_no_right_to_delete(
    velum_command: Command,  # noqa: F811 - a fixture of another file
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with s3() as bucket:
        photographs_in(bucket, monkeypatch)
        bucket.denied = frozenset({"DELETE"})
        done = velum_command("batch", "s3://faces/in", "-o", "s3://faces/out", *RULE, "--workers", "1")
        assert "2 hidden" in done.stdout
        assert {"out/a.png", "out/b.png"} <= bucket.objects.keys()


def photographs_in(bucket: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put two photographs into a bucket, and lead the environment to it."""
    for name, value in bucket.variables.items():
        monkeypatch.setenv(name, value)
    for number, key in enumerate(("in/a.png", "in/b.png")):
        data = io.BytesIO()
        Image.new("RGB", (16, 16), (number, 9, 99)).save(data, "PNG")
        bucket.objects[key] = data.getvalue()


def save(client: object, key: str, seed: int = 0) -> None:
    data = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (16, 16, 3), np.uint8)
    Image.fromarray(pixels).save(data, "PNG")
    client.put_object(Bucket="raw", Key=key, Body=data.getvalue())  # type: ignore[attr-defined]


def keys(client: object, bucket: str, prefix: str) -> list[str]:
    found = client.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", ())  # type: ignore[attr-defined]
    return [entry["Key"].removeprefix(prefix) for entry in found if "/_velum/" not in entry["Key"]]


def test_a_bucket_is_watched(client: object, velum_command: Command) -> None:  # noqa: F811
    call = ("watch", "s3://raw/cam", "-o", "s3://safe/cam", *RULE, "--workers", "1", "--once")
    for key in ("cam/a.png", "cam/b//c.png"):
        save(client, key)
    assert "a.png: 1 face hidden" in velum_command(*call).stdout
    save(client, "cam/a.png", 1)
    move = ("--originals", "move", "--move-to", "s3://safe/old", "--after", "0s")
    done = velum_command(*call, *move).stdout
    assert "a.png: 1 face hidden" in done
    assert "b//c.png: the original was moved to s3://safe/old" in done
    assert "b//c.png: 1 face hidden" not in done
    assert keys(client, "raw", "cam/") == []
    assert keys(client, "safe", "old/") == keys(client, "safe", "cam/") == ["a.png", "b//c.png"]


@pytest.fixture
def queue(client: object) -> str:
    """The address of a queue to which the bucket sends notifications."""
    sqs = sqs_client(client)
    url = str(sqs.create_queue(QueueName=secrets.token_hex(4))["QueueUrl"])  # type: ignore[attr-defined]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]  # type: ignore[attr-defined]
    to = {"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]}]}
    client.put_bucket_notification_configuration(Bucket="raw", NotificationConfiguration=to)  # type: ignore[attr-defined]
    return url


def sqs_client(s3: object) -> object:
    import boto3  # noqa: PLC0415 - of an extra

    return boto3.client("sqs", endpoint_url=s3.meta.endpoint_url, region_name="us-east-1")  # type: ignore[attr-defined]


def test_notifications_name_new_objects_until_they_are_confirmed(client: object, queue: str) -> None:
    notifications = NotificationQueue(queue, "s3://raw/in")
    assert notifications.receive(0) == []  # the message with which S3 tries the queue
    notifications.confirm()
    names = ["a.png", "\u00fc b+c %2F.png", "x//y.png"]
    for name in names:
        client.put_object(Bucket="raw", Key=f"in/{name}", Body=b"1")  # type: ignore[attr-defined]
    client.put_object(Bucket="raw", Key="other/z.png", Body=b"1")  # type: ignore[attr-defined]
    client.delete_object(Bucket="raw", Key="in/a.png")  # type: ignore[attr-defined]
    bridge = {"detail-type": "Object Created", "detail": {"bucket": {"name": "raw"}, "object": {"key": "in/e+f.png"}}}
    for body in (json.dumps({"Type": "Notification", "Message": json.dumps(bridge)}), "no event", "[1]"):
        sqs_client(client).send_message(QueueUrl=queue, MessageBody=body)  # type: ignore[attr-defined]
    assert notifications.receive(0) == sorted([*names, "e+f.png"])
    assert notifications.receive(0) == sorted([*names, "e+f.png"])
    assert notifications.foreign == 3
    notifications.confirm()
    assert notifications.receive(0) == []
    left = sqs_client(client).get_queue_attributes(  # type: ignore[attr-defined]
        QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessagesNotVisible"]
    )
    assert left["Attributes"] == {"ApproximateNumberOfMessagesNotVisible": "3"}
    with pytest.raises(Unavailable, match="check its address, and that the credentials may receive"):
        NotificationQueue(f"{queue}-none", "s3://raw/in").receive(0)
    with pytest.raises(BadPlan, match="write https://sqs"):
        NotificationQueue("queue", "s3://raw/in")
    with pytest.raises(BadPlan, match="only buckets of S3"):
        NotificationQueue(queue, "folder")


@pytest.mark.exhaustive
def test_a_watch_follows_a_queue(client: object, queue: str, velum_command: Command, site: Path) -> None:  # noqa: F811
    save(client, "cam/first.png")
    call = [sys.executable, "-c", "from velum.cli.main import run; run()", "watch", "s3://raw/cam", "-o", "s3://safe/q"]
    with subprocess.Popen(
        [*call, *RULE, "--workers", "1", "--queue", queue], env={**os.environ, "PYTHONPATH": str(site)},
        stdout=subprocess.PIPE, text=True,
    ) as command:  # fmt: skip
        assert command.stdout is not None
        try:
            assert command.stdout.readline() == "first.png: 1 face hidden\n"
            save(client, "cam/new.png", 1)  # the next listing is an hour away
            assert command.stdout.readline() == "new.png: 1 face hidden\n"
            save(client, "cam/first.png", 2)
            client.put_object(Bucket="raw", Key="cam/notes.txt", Body=b"1")  # type: ignore[attr-defined]
            assert command.stdout.readline() == "first.png: 1 face hidden\n"
            command.send_signal(signal.SIGTERM)
            assert command.wait(60) == 0
        finally:
            command.kill()
    assert keys(client, "safe", "q/") == ["first.png", "new.png"]
