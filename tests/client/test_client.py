"""The service from Python, over a real wire that breaks: both clients do the same."""

import asyncio
import gc
import hashlib
import inspect
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.client.fake_service import answering, cut, working
from tests.engine.scripted_people import shown
from tests.service.factories import FACE, on_the_wire, picture, pixels, settings
from tests.service.v1.test_photos import BOTH, MIDDLE, first_frame, image
from tests.service.v1.test_photos import service as people_service
from tests.waiting import until

from velum.annotations import Annotations
from velum.client import (
    AsyncClient,
    Busy,
    Client,
    Conflict,
    Denied,
    Job,
    NotFound,
    Oversized,
    jobs,
)
from velum.errors import BadInput, BadPlan, OutputFailed, Unavailable
from velum.people import People
from velum.plan import Plan
from velum.region import Box, Region
from velum.service.auth.api_keys import ApiKeys
from velum.service.auth.middleware import keys_file
from velum.settings import Settings
from velum.spec import PartSpec

pytestmark = pytest.mark.slow

PLAN = Plan.of("face: centerface -> blacken")


@pytest.fixture
def chosen(tmp_path: Path) -> Settings:
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / "street.toml").write_text('rules = ["face: centerface -> blacken"]\nmetadata = ["gps"]\n')
    return settings(tmp_path, plans=tmp_path / "plans")


@pytest.fixture
def url(chosen: Settings) -> Iterator[str]:
    with on_the_wire(chosen) as url, working(chosen):
        yield url
    gc.collect()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    file = tmp_path / "photo.png"
    file.write_bytes(picture())
    return file


def test_hides_an_image_at_once(url: str, photo: Path, tmp_path: Path) -> None:
    target = tmp_path / "safe.png"
    with Client(url) as it:
        made = it.hide(photo, target, PLAN)
        assert (made.target, made.hidden, made.labels, made.format) == (target, 1, {"face": 1}, "PNG")
        assert made.plan == PLAN.digest
        assert made.output_sha256 == hashlib.sha256(target.read_bytes()).hexdigest()
        assert not pixels(target.read_bytes())[10:28, 12:30].any()
        found = it.locate(photo, "street")
        assert found.frames[0][0].box == FACE.box
        with pytest.raises(OutputFailed, match="exists"):
            it.hide(photo, target)
        with pytest.raises(OutputFailed, match="source itself"):
            it.hide(photo, photo, overwrite=True)
        assert it.hide(photo, target, overwrite=True).hidden == 1
    assert sorted(one.name for one in tmp_path.iterdir() if one.name.startswith(".")) == []


def test_submits_watches_downloads_and_deletes_a_job(url: str, photo: Path, tmp_path: Path) -> None:
    sent: list[tuple[int, int]] = []
    size = photo.stat().st_size
    with Client(url) as it:
        job = it.submit(photo, "street", progress=lambda done, total: sent.append((done, total)))
        assert (job.name, sent[-1]) == ("photo.png", (size, size))
        states = [one.state for one in it.events(job)]
        assert (states[-1], states.count("done")) == ("done", 1)
        ended = it.wait(job.id)
        assert (ended.state, ended.finished, ended.result_name) == ("done", True, "photo.hidden.png")
        target = it.result(job, tmp_path / "result.png")
        assert target.read_bytes() == photo.read_bytes()
        assert it.report(job)["warnings"] == ["look twice"]
        assert it.regions(job).frames == {0: ()}
        corrected = Annotations(64, 48, {0: (Region(Box(1, 2, 3, 4), "face"),)})
        assert it.wait(it.render(job, corrected)).state == "done"
        assert it.regions(job).to_json() == corrected.to_json()
        with pytest.raises(BadInput, match="63 x 48"):
            it.render(job, Annotations(63, 48, {}))
        other = it.submit(it.upload(photo), PLAN, name="bad.png", priority=-1)
        failed = it.wait(other)
        assert (failed.state, failed.priority, failed.plan) == ("failed", -1, PLAN.digest)
        assert failed.error is not None
        assert isinstance(failed.error.error, BadInput)
        with pytest.raises(Conflict, match="failed"):
            it.result(failed, tmp_path / "none.png")
        assert [one.id for one in it.jobs()] == [other.id, job.id]
        assert [one.id for one in it.jobs(state="failed")] == [other.id]
        assert it.wait(it.retry(failed)).attempts == 2
        it.delete(job)
        with pytest.raises(NotFound, match=job.id):
            it.job(job)


def test_cancels_a_watched_job(url: str, photo: Path) -> None:
    with Client(url) as it:
        job = it.submit(photo, name="slow.png")
        seen: list[Job] = []
        for now in it.events(job):
            seen.append(now)
            if now.state == "running":
                it.cancel(job)
        assert seen[-1].state == "cancelled"
        other = it.submit(photo, name="slow.png")
        with pytest.raises(NotFound, match="deleted"):
            for now in it.events(other):
                if now.frames_done == 5:
                    it.delete(other)


def test_lists_techniques_models_labels_and_plans(url: str) -> None:
    with Client(url) as it:
        assert "blur" in {one.name for one in it.techniques()}
        assert [one.name for one in it.models() if one.default] == ["centerface"]
        assert next(one.chosen for one in it.labels() if one.label == "face") == ("centerface",)
        (plan,) = it.plans()
        assert (plan.name, plan.rules[0].locate, plan.metadata) == ("street", "centerface", ("gps",))


def test_lists_the_jobs_of_all_pages(url: str, photo: Path) -> None:
    with Client(url) as it:
        ids = [it.submit(it.upload(photo), name="bad").id for _ in range(3)]
        steps = it._each(jobs.list_jobs, None, None, 2)
        assert [job.id for job in steps] == ids[::-1]


def test_continues_an_interrupted_upload(url: str, tmp_path: Path) -> None:
    file = tmp_path / "large.bin"
    file.write_bytes(os.urandom(3 << 20))
    with cut(url, up=[1_500_000, 1_000_000]) as wire, Client(wire.url) as it:
        sent: list[int] = []
        upload = it.upload(file, progress=lambda done, _: sent.append(done))
        assert (upload.offset, wire.connections) == (3 << 20, 3)
        job = it.wait(it.submit(upload))
        it.result(job, tmp_path / "back.bin")
    assert (tmp_path / "back.bin").read_bytes() == file.read_bytes()


def test_continues_an_interrupted_download(url: str, tmp_path: Path) -> None:
    file = tmp_path / "large.bin"
    file.write_bytes(os.urandom(3 << 20))
    with Client(url) as it:
        job = it.wait(it.submit(file))
    with cut(url, down=[1_000_000, 300]) as wire, Client(wire.url) as it:
        got: list[tuple[int, int]] = []
        it.result(job, tmp_path / "back.bin", progress=lambda *at: got.append(at))
        assert wire.connections == 3
    assert got == sorted(got), "nothing was fetched twice"
    assert (tmp_path / "back.bin").read_bytes() == file.read_bytes()


def test_a_failed_transfer_leaves_no_file(url: str, tmp_path: Path) -> None:
    file = tmp_path / "large.bin"
    file.write_bytes(os.urandom(1 << 20))
    with Client(url) as it:
        job = it.wait(it.submit(file))
    with (
        cut(url, down=[300_000] + [0] * 50) as wire,
        Client(wire.url, patience_seconds=0.2) as it,
        pytest.raises(Unavailable, match="closed the connection early"),
    ):
        it.result(job, tmp_path / "back.bin")
    assert sorted(one.name for one in tmp_path.glob("*bin*")) == ["large.bin"]
    assert not [*tmp_path.glob(".velum-*")]


def test_continues_watching_after_a_broken_connection(url: str, photo: Path) -> None:
    with Client(url) as it:
        job = it.submit(photo, name="slow.png")
        with cut(url, down=[600, 600]) as wire, Client(wire.url) as watching:
            ending = threading.Thread(target=lambda: until(lambda: wire.connections == 3) and it.cancel(job))
            ending.start()
            states = [now.state for now in watching.events(job)]
            ending.join()
            assert (states[-1], wire.connections) == ("cancelled", 3)


def test_refuses_a_file_that_shrinks_during_the_upload(url: str, tmp_path: Path) -> None:
    file = tmp_path / "shrinking.bin"
    file.write_bytes(bytes(3 << 20))
    with Client(url) as it, pytest.raises(BadInput, match="shorter"):
        it.upload(file, progress=lambda *_: os.truncate(file, 100))


def test_reports_a_wrong_plan_before_sending_a_large_file(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("velum.client.jobs.CHECK_FIRST_BYTES", 1000)
    file = tmp_path / "large.bin"
    file.write_bytes(bytes(1 << 20))
    sent: list[Any] = []
    with Client(url) as it:
        for plan, why in ((Plan.of("face: nonsense -> blur"), "nonsense"), ("unknown", "unknown")):
            with pytest.raises(BadPlan, match=why):
                it.submit(file, plan, progress=lambda *at: sent.append(at))
        assert sent == []
        assert it.wait(it.submit(file)).state == "done"
    assert not [*(tmp_path / "jobs" / "store" / "uploads").iterdir()], "what was begun for refused jobs is deleted"


def test_a_missing_key_is_an_error(chosen: Settings, photo: Path, tmp_path: Path) -> None:
    _, secret = ApiKeys(keys_file(chosen)).add("anna", ["anonymize"])
    with on_the_wire(chosen) as url:
        for token, why in ((None, "credentials are missing"), ("velum_wrong", "key")):
            with Client(url, token) as it:
                with pytest.raises(Denied, match=why):
                    it.upload(photo)
                with pytest.raises(Denied):
                    next(it.jobs())
        with Client(url, secret) as it:
            assert it.hide(photo, tmp_path / "safe.png").hidden == 1
            with pytest.raises(Denied, match="operate"):
                it.submit(photo, priority=1)


ANSWERS = [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Type: text/html\r\n\r\n<ht>", Unavailable, "'text/html'"),
    (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", Unavailable, "404, and not as velum"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n[]", Unavailable, "object"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}", Unavailable, "id is"),
    (
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nContent-Type: application/json\r\n\r\n{",
        Unavailable,
        "closed the connection early",
    ),
    (b"HTTP/1.1 307 Elsewhere\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", Unavailable, "307"),
    (b"SSH-2.0-OpenSSH_9.2\r\n", Unavailable, "does not speak HTTP"),
    (b"", Unavailable, "closed the connection"),
    (b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n", Oversized, "413"),
    (b"HTTP/1.1 429 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", Busy, "429"),
    (b"HTTP/1.1 401 Who\r\nContent-Length: 0\r\n\r\n", Denied, "401"),
]


@pytest.mark.parametrize(("answer", "kind", "why"), ANSWERS, ids=[why for _, _, why in ANSWERS])
def test_reports_a_server_that_is_not_velum(answer: bytes, kind: type[Exception], why: str) -> None:
    with answering(lambda _: answer) as url, Client(url) as it, pytest.raises(kind, match=why) as told:
        it.job("abc")
    if isinstance(told.value, Busy):
        assert told.value.seconds == 7


def test_refuses_an_image_from_a_server_that_is_not_velum(photo: Path, tmp_path: Path) -> None:
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Type: image/png\r\n\r\nabcd"
    with answering(lambda _: said) as url, Client(url) as it, pytest.raises(Unavailable, match="not as velum"):
        it.hide(photo, tmp_path / "safe.png")
    report = {"plan": "", "hidden": 0, "labels": {}, "format": "PNG", "encoding": "", "warnings": [], "version": ""}
    told = json.dumps(report | {"output_sha256": "0" * 64}).encode()
    said = said.replace(b"\r\n\r\n", b"\r\nX-Velum-Report: " + told + b"\r\n\r\n")
    with answering(lambda _: said) as url, Client(url) as it, pytest.raises(OutputFailed, match="SHA-256"):
        it.hide(photo, tmp_path / "safe.png")
    assert [one.name for one in tmp_path.iterdir() if "safe" in one.name or ".velum" in one.name] == []


def test_reports_a_service_that_is_not_running(photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("velum.client.transport.time.sleep", pauses.append)
    with Client("http://127.0.0.1:9") as it:
        for call in (
            lambda: it.hide(photo, tmp_path / "safe.png"), lambda: it.upload(photo), lambda: it.wait("abc"),
            lambda: next(it.events("abc")), lambda: it.result("abc", tmp_path / "x"), it.models,
        ):  # fmt: skip
            with pytest.raises(Unavailable, match="accepted no connection"):
                call()
    assert not pauses, "what has not begun is not tried again"


ADDRESSES = ["velum", "ftp://host", "http://", "http://user:word@host", "http://host/?a=1", "http://host:99999"]


@pytest.mark.parametrize("address", ADDRESSES)
def test_refuses_invalid_addresses(address: str) -> None:
    with pytest.raises(BadPlan) as told:
        Client(address)
    assert "word" not in str(told.value)


@pytest.mark.parametrize("token", ["", "a\nb", "ä", " a"])
def test_refuses_invalid_tokens(token: str) -> None:
    with pytest.raises(BadPlan, match="token"):
        Client("http://host", token)
    assert "secret" not in repr(vars(Client("http://host", "secret")))


@pytest.mark.parametrize("source", ["missing.png", "."])
def test_refuses_invalid_sources(url: str, tmp_path: Path, source: str) -> None:
    with Client(url) as it:
        for call in (it.upload, it.locate, it.submit):
            with pytest.raises(BadInput, match="cannot read"):
                call(tmp_path / source)


def test_the_async_client_does_the_same(url: str, photo: Path, tmp_path: Path) -> None:
    file = tmp_path / "large.bin"
    file.write_bytes(os.urandom(2 << 20))

    async def all_of_it() -> None:
        with cut(url, up=[1_500_000], down=[None, 500_000]) as wire:
            async with AsyncClient(wire.url) as it:
                assert (await it.hide(photo, tmp_path / "safe.png", PLAN)).hidden == 1
                first, second = await asyncio.gather(it.submit(file), it.submit(photo, name="bad.png"))
                states = [job.state async for job in it.events(first)]
                assert states[-1] == "done"
                assert (await it.wait(second)).state == "failed"
                await it.result(first, tmp_path / "back.bin")
                assert [job.id async for job in it.jobs(state="done")] == [first.id]
                async for job in it.jobs():
                    assert job.id in {first.id, second.id}
                    break
                with pytest.raises(NotFound):
                    await it.job("0" * 32)
                assert (await it.locate(photo)).width == 64
                await it.delete(first)

    asyncio.run(all_of_it())
    assert (tmp_path / "back.bin").read_bytes() == file.read_bytes()


def test_photos_of_people_go_with_a_request_and_are_deleted_after_it(tmp_path: Path) -> None:
    source, anna = tmp_path / "party.png", tmp_path / "anna.png"
    source.write_bytes(image(BOTH))
    anna.write_bytes(image({"anna": MIDDLE}))
    people = People.parse("keep", [f"Anna={anna}"])
    plan = Plan.of("face: centerface -> blacken with grow=0")

    def copies() -> int:
        return sum(path.read_bytes() == anna.read_bytes() for path in (tmp_path / "jobs").rglob("*") if path.is_file())

    with people_service(tmp_path) as (api, _), Client(str(api.base_url)) as it:
        it.hide(source, tmp_path / "safe.png", plan, people=people)
        assert shown(first_frame((tmp_path / "safe.png").read_bytes()), BOTH) == {"anna": True, "ben": False}
        located = it.locate(source, replace(plan, people=people))
        assert [region.ignored for region in located.frames[0]] == [True, False]
        assert copies() == 0
        it.submit(source, plan, people=people)
        assert copies() == 1, "the job has its own copy"
        anna.write_bytes(image({}))
        with pytest.raises(BadInput, match="no face is found in photo 1 of 'Anna'"):
            it.hide(source, tmp_path / "other.png", plan, people=people)
        assert (copies(), (tmp_path / "other.png").exists()) == (0, False)


def test_people_that_a_service_cannot_compare_are_refused_before_anything_is_sent(photo: Path) -> None:
    people = People.parse("only", [f"Anna={photo}"])
    with Client("http://127.0.0.1:9") as it:
        with pytest.raises(BadPlan, match="the plan has people already"):
            it.locate(photo, replace(PLAN, people=people), people=people)
        with pytest.raises(BadPlan, match="compares faces with dlib-resnet, not with sface"):
            it.locate(photo, PLAN, people=replace(people, embedding=PartSpec("sface")))
        with pytest.raises(BadPlan, match="regions say already who is hidden"):
            it.submit(photo, PLAN, people=people, regions=Annotations(64, 48, {}))


def test_both_clients_have_the_same_methods() -> None:
    def methods(kind: type) -> dict[str, list[str]]:
        named = {name: one for name, one in vars(kind).items() if inspect.isfunction(one) and name[0] != "_"}
        return {name: list(inspect.signature(one).parameters) for name, one in named.items()}

    assert methods(Client) == methods(AsyncClient)


def test_polls_when_the_service_has_no_event_stream_left(
    chosen: Settings, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("velum.client.jobs.POLL_SECONDS", 0.05)
    few = replace(chosen, service=replace(chosen.service, requests=4, caller_requests=4))  # half of them may watch
    with on_the_wire(few) as url, working(few), Client(url) as it:
        job = it.submit(photo, name="slow.png")
        others = [it.events(job) for _ in range(2)]
        assert [next(one).id for one in others] == [job.id, job.id]
        states = []
        for now in it.events(job):
            states.append(now.state)
            if now.state == "running":
                it.cancel(job)
        assert states[-1] == "cancelled"
        for one in others:
            one.close()  # type: ignore[attr-defined]


def test_submits_a_job_once_when_the_response_is_lost(url: str, photo: Path) -> None:
    with Client(url) as it:
        upload = it.upload(photo)
        # The job is made, and its answer breaks off.
        with cut(url, down=[20]) as wire, Client(wire.url) as torn:
            job = torn.submit(upload, PLAN)
            assert wire.connections == 2
        assert [one.id for one in it.jobs()] == [job.id]
