"""The audit log: one line for each action and its principal, no content, and no line that can vanish unnoticed."""

import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.service.factories import client, configuration, entry, picture, post, settings

from velum.errors import BadInput, OutputFailed
from velum.jobs.processor import Task
from velum.jobs.values import Submission
from velum.limits import Limits
from velum.plan import Plan
from velum.plugins import RuntimeConfig
from velum.service.audit import FIRST, Audit, verify
from velum.service.auth.api_keys import ApiKeys
from velum.service.metrics import Metrics
from velum.service.observed_processor import ObservedProcessor
from velum.settings import Settings
from velum.settings.schema import AccessSettings, ObservabilitySettings


def audited(folder: Path, **more: Any) -> Settings:
    return replace(settings(folder), observability=ObservabilitySettings(audit=folder / "log" / "audit.jsonl"), **more)


KEY = bytes(range(32))


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log" / "audit.jsonl").read_text().splitlines()]


def test_the_line_of_an_image_has_hashes_and_counts(tmp_path: Path) -> None:
    _, secret = ApiKeys(tmp_path / "keys.json").add("ada", ["anonymize"])
    image = picture()
    with client(audited(tmp_path, access=AccessSettings(keys=tmp_path / "keys.json"))) as api:
        answer = post(api, image, configuration(), headers={"x-api-key": secret, "x-request-id": "id-1"})
    (line,) = lines(tmp_path)
    assert len(line.pop("code")) == 64
    assert len(line.pop("plan")) == 64
    assert line.pop("time").endswith("Z")
    assert line == {
        "id": "id-1", "caller": "ada", "method": "POST", "route": "/anonymize/", "status": 200, "result": "done",
        "input_sha256": hashlib.sha256(image).hexdigest(), "output_sha256": hashlib.sha256(answer.content).hexdigest(),
        "frames": 1, "hidden": {"face": 1}, "before": FIRST,
    }  # fmt: skip
    assert (tmp_path / "log" / "audit.jsonl").stat().st_mode & 0o777 == 0o600


def test_file_names_and_keys_are_not_in_the_log(tmp_path: Path) -> None:
    _, secret = ApiKeys(tmp_path / "keys.json").add("ada", ["anonymize"])
    with client(audited(tmp_path, access=AccessSettings(keys=tmp_path / "keys.json"))) as api:
        post(api, picture(), configuration(), headers={"x-api-key": secret})
        api.get("/no/photo.png", headers={"x-api-key": secret[:-1]})
    text = (tmp_path / "log" / "audit.jsonl").read_text()
    assert "photo" not in text
    assert secret.split("_", 2)[2][:-1] not in text


def test_refused_and_failed_requests_are_logged_and_read_requests_are_not(tmp_path: Path) -> None:
    _, secret = ApiKeys(tmp_path / "keys.json").add("ada", ["anonymize"])
    key = {"x-api-key": secret}
    with client(audited(tmp_path, access=AccessSettings(keys=tmp_path / "keys.json"))) as api:
        api.get("/health/live")
        api.get("/list_urls", headers=key)
        api.get("/list_urls")
        api.post("/remove_all_urls", headers=key)
        post(api, b"no picture", configuration(), headers=key)
        post(api, picture(), configuration(entry(model_name="nope")), headers=key)
    assert [(line["caller"], line["route"], line["status"], line["result"]) for line in lines(tmp_path)] == [
        ("", "other", 401, "denied"),
        ("ada", "/remove_all_urls", 403, "denied"),
        ("ada", "/anonymize/", 200, "failed"),
        ("ada", "/anonymize/", 200, "failed"),
    ]
    assert verify(tmp_path / "log" / "audit.jsonl").lines == 4


CHANGES: list[tuple[str, Callable[[list[str]], list[str]], str]] = [
    ("a number was changed", lambda all_: [*all_[:2], all_[2].replace('"n": 2', '"n": 9'), *all_[3:]], "line 4 of"),
    ("a line was taken out", lambda all_: all_[:2] + all_[3:], "line 3 of"),
    ("two lines were swapped", lambda all_: [all_[1], all_[0], *all_[2:]], "line 2 of"),
    ("a line was put in", lambda all_: [*all_[:2], all_[1], *all_[2:]], "line 3 of"),
    ("a line was torn", lambda all_: [*all_[:4], all_[4][:-5]], "line 5 of .* is incomplete"),
]


@pytest.mark.parametrize(("change", "where"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_a_changed_line_is_detected(tmp_path: Path, change: Callable[[list[str]], list[str]], where: str) -> None:
    file = tmp_path / "audit.jsonl"
    log = Audit(file)
    for n in range(5):
        log.write({"n": n})
    found = verify(file)
    all_ = file.read_text().splitlines()
    assert (found.lines, found.before) == (5, FIRST)
    assert found.last == hashlib.sha256(all_[-1].encode()).hexdigest()
    file.write_text("\n".join(change(all_)) + "\n")
    with pytest.raises(BadInput, match=where):
        verify(file)


@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize("left", [b'{"time": "2026-01-01", "n": 1, "bef', b"{", b"\x00\xff", b'{"n": 1}'])
def test_lines_after_an_incomplete_one_can_still_be_verified(tmp_path: Path, left: bytes, key: bytes | None) -> None:
    file = tmp_path / "audit.jsonl"
    Audit(file, key).write({"n": 0})
    with file.open("ab") as log:
        log.write(left)  # and then the machine crashed
    with pytest.raises(BadInput, match="line 2 of .* is incomplete, and no line follows"):
        verify(file, key=key)
    Audit(file, key).write({"n": 2})
    Audit(file, key).write({"n": 3})
    found = verify(file, key=key)
    assert (found.lines, found.torn, found.sealed) == (4, 1, 3 if key else 0)
    assert [json.loads(line)["n"] for line in file.read_bytes().split(b"\n")[2:4]] == [2, 3]
    # What is torn belongs to the chain, too.
    file.write_bytes(file.read_bytes().replace(left + b"\n", b"{..\n", 1))
    with pytest.raises(BadInput, match="line 3 of"):
        verify(file, key=key)


def test_a_chain_rewritten_without_the_key_is_detected(tmp_path: Path) -> None:
    file, forged = tmp_path / "audit.jsonl", tmp_path / "forged.jsonl"
    for n in range(4):
        Audit(file, KEY).write({"n": n})
    assert verify(file, key=KEY).sealed == 4
    with pytest.raises(BadInput, match="line 1 of .* has no code by the key"):
        verify(file, key=bytes(32))
    Audit(forged).write({"n": 9})
    with pytest.raises(BadInput, match="no line of .* has a code"):
        verify(forged, key=KEY)
    Audit(file).write({"n": 4})  # a true hash, but no code
    with pytest.raises(BadInput, match="line 5 of .* has no code"):
        verify(file, key=KEY)
    # Lines from before there were codes are held by the chain.
    Audit(forged, KEY).write({"n": 10})
    assert verify(forged, key=KEY).sealed == 1
    forged.write_bytes(forged.read_bytes().replace(b'"n": 9', b'"n": 8'))
    with pytest.raises(BadInput, match="line 2 of"):
        verify(forged, key=KEY)


def test_missing_lines_at_the_end_are_detected_with_a_noted_hash(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    log = Audit(file, KEY)
    for n in range(4):
        log.write({"n": n})
    noted = verify(file).last
    log.write({"n": 4})
    assert verify(file, key=KEY, noted=noted.upper()).lines == 5, "it has grown since"
    kept = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(kept[:3]))
    assert verify(file, key=KEY).lines == 3
    with pytest.raises(BadInput, match="its end was cut off"):
        verify(file, key=KEY, noted=noted)
    file.write_bytes(b"")
    with pytest.raises(BadInput, match="its end was cut off"):
        verify(file, noted=noted)


def test_several_processes_append_to_one_chain(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    logs = [Audit(file), Audit(file), Audit(file)]
    threads = [
        threading.Thread(target=lambda log=log: [log.write({"n": n, "pad": "x" * 3000}) for n in range(40)])
        for log in logs
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verify(file).lines == 120


def test_after_rotation_the_new_file_continues_the_chain(tmp_path: Path) -> None:
    file, old = tmp_path / "audit.jsonl", tmp_path / "audit.jsonl.1"
    log = Audit(file)
    log.write({"n": 1})
    file.rename(old)
    log.write({"n": 2})
    assert verify(file).before == verify(old).last


def test_the_service_does_not_start_without_a_writable_audit_log(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("")
    with pytest.raises(OutputFailed, match="cannot append to"), client(audited(tmp_path)):
        pass


def test_a_log_that_becomes_unwritable_is_reported_in_health_and_metrics(tmp_path: Path) -> None:
    with client(audited(tmp_path)) as api:
        (tmp_path / "log").rename(tmp_path / "elsewhere")
        assert post(api, picture(), configuration()).headers["x-velum-hidden"] == "1"
        assert "velum_audit_failures_total 1.0" in api.get("/metrics").text


def test_the_audit_log_can_be_written_to_standard_output(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    log = Audit(Path("-"))
    log.write({"n": 1})
    log.write({"n": 2})
    (tmp_path / "out").write_bytes(capsysbinary.readouterr().out)
    assert verify(tmp_path / "out").lines == 2


def test_a_finished_job_is_logged(tmp_path: Path) -> None:
    source, metrics = tmp_path / "upload", Metrics()
    source.write_bytes(picture())
    plan = Plan.of("zone: fixed(box=[1, 1, 9, 9]) -> blacken")
    task = Task("job-1", Submission("key", "photo.png", plan, "ada"), source, None, tmp_path)
    processor = ObservedProcessor(metrics, Audit(tmp_path / "audit.jsonl"), RuntimeConfig, Limits())
    try:
        (piece,) = processor.cut(task)
        result = processor.join(task, [processor.make(task, piece)])
        source.write_bytes(b"no picture")
        with pytest.raises(BadInput):
            processor.make(task, piece)
    finally:
        processor.close()
    line = json.loads((tmp_path / "audit.jsonl").read_text())
    assert line.pop("time")
    assert line.pop("before") == FIRST
    assert line == {
        "job": "job-1", "caller": "ada", "result": "done", "plan": plan.digest,
        "input_sha256": hashlib.sha256(picture()).hexdigest(),
        "output_sha256": hashlib.sha256(result.file.read_bytes()).hexdigest(), "frames": 1, "hidden": {"zone": 1},
    }  # fmt: skip
    text = metrics.text().decode()
    assert 'velum_hidden_total{label="zone",model="fixed"} 1.0' in text
    assert 'velum_failures_total{error="BadInput"} 1.0' in text
