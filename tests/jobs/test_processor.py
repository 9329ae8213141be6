"""Images and clips as jobs, decoded in a process whose crash ends nothing else."""

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from tests.media.sound.factories import decode_sound, noise, write_sound

from velum import Engine, Limits, Plan, RuntimeConfig
from velum.errors import BadInput, BadPlan, LimitExceeded, OutputFailed, Unavailable, VelumError
from velum.jobs import Cancelled, EngineProcessor, Piece, Submission, Task
from velum.net import NetworkPolicy
from velum.net.client import HttpClient
from velum.plan import Video
from velum.service.job_backend import worker
from velum.settings import Settings
from velum.settings.schema import JobsSettings

from .conftest import Office

pytestmark = pytest.mark.slow

ZONE = Plan.of("zone: fixed(box=[4, 4, 20, 20]) -> blacken with grow=0")
PIXELS = np.random.default_rng(0).integers(20, 230, (48, 64, 3), dtype=np.uint8)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    Image.fromarray(PIXELS).save(path)
    return path


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", 25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(25):
            frame = av.VideoFrame.from_ndarray(PIXELS, "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture
def make_processor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., EngineProcessor]]:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import bad_parts  # type: ignore[import-not-found]  # noqa: PLC0415 - as the other process finds it

    processors: list[EngineProcessor] = []

    def make(
        host: Callable[[], RuntimeConfig] = bad_parts.host, limits: Limits | None = None, **more: Any
    ) -> EngineProcessor:
        processors.append(EngineProcessor(host, limits or Limits(), **more))
        return processors[-1]

    yield make
    for processor in processors:
        processor.close()


def task(source: Path, folder: Path, plan: Plan, name: str = "picture.png", **more: Any) -> Task:
    folder.mkdir(exist_ok=True)
    return Task("1", Submission("0" * 32, name, plan), source, None, folder, **more)


def bad(how: str) -> Plan:
    return Plan.of(f"face: bad(how={how!r}) -> blacken")


def test_a_job_gives_the_same_result_as_the_engine(
    picture: Path, clip: Path, back_office: Office, tmp_path: Path
) -> None:
    plan = Plan(ZONE.rules, video=ZONE.video.from_json({"codec": "ffv1"}))
    keys = [back_office.store.put([source.read_bytes()]).key for source in (picture, clip)]
    named = zip(keys, (picture, clip), strict=True)
    jobs = [back_office.desk.submit(Submission(key, source.name, plan)) for key, source in named]
    with back_office.working(lambda: EngineProcessor(RuntimeConfig, Limits())), Engine() as engine:
        targets = [tmp_path / f"expected{source.suffix}" for source in (picture, clip)]
        expected = [engine.hide(source, to, plan) for source, to in zip((picture, clip), targets, strict=True)]
        ended = back_office.ended(*jobs)
    for done, source, target, wanted in zip(ended, (picture, clip), targets, expected, strict=True):
        report = back_office.desk.report(done.id)
        assert report is not None
        assert done.result_name == f"{source.stem}.hidden{source.suffix}"
        assert (done.frames_done, done.frames_total) == (wanted.frames, wanted.frames)
        assert back_office.content(done) == target.read_bytes()
        same = ("format", "frames", "hidden", "tracks", "plan", "input_sha256", "output_sha256")
        values = json.loads(json.dumps(wanted.to_json()))
        assert {name: report[name] for name in same} == {name: values[name] for name in same}
        assert (report["source"], report["target"]) == (source.name, done.result_name)
        assert str(tmp_path) not in json.dumps(report)
    assert {kept.key for kept in back_office.store.list()} == {
        *keys,
        *(key for done in ended for key in (done.result, done.regions)),
    }


def test_one_process_serves_many_jobs(real_processes: None, picture: Path, tmp_path: Path) -> None:
    processor = EngineProcessor(partial(RuntimeConfig, offline=True), Limits())
    try:
        others, before = _children(), set[str]()
        for name in ("a.png", "b.PNG", "that lies.mp4", "none"):
            result = processor.make(task(picture, tmp_path / name, ZONE, name=name), Piece(0))
            assert result.note["target"] == f"{Path(name).stem}.hidden.png"
            assert result.file.read_bytes()[:4] == b"\x89PNG"
            children = _children() - others
            assert len(children) == 1
            assert children == (before or children)
            before = children
    finally:
        processor.close()
    assert _gone(int(before.pop()))


def _children() -> set[str]:
    return set(Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split())


def test_earlier_jobs_of_the_process_change_no_result(
    picture: Path, clip: Path, tmp_path: Path, make_processor: Callable[..., EngineProcessor]
) -> None:
    processor, plan = make_processor(), Plan.of("face: moody -> blacken", video=ZONE.video.from_json({"codec": "ffv1"}))
    outputs: dict[Path, set[bytes]] = {picture: set(), clip: set()}
    for n, source in enumerate([picture, clip, picture, clip, picture]):
        file = processor.make(task(source, tmp_path / str(n), plan, name=source.name), Piece(0)).file
        outputs[source].add(file.read_bytes())
    assert [len(each) for each in outputs.values()] == [1, 1]


def test_a_process_that_dies_is_replaced(
    picture: Path, tmp_path: Path, make_processor: Callable[..., EngineProcessor]
) -> None:
    processor = make_processor(silent_seconds=2.5)
    deaths: list[tuple[str, type[VelumError], str]] = [
        ("crash", BadInput, "decoder crashed on this file .SIGSEGV."),
        ("killed", Unavailable, "out of memory"),  # not the file's fault, perhaps
        ("leave", Unavailable, "ended itself with exit code 3; the log of the worker"),
        ("terminated", Unavailable, "ended from outside .SIGTERM."),
        ("hang", BadInput, "no frame of the file was finished for 2.5 s"),
    ]
    for how, error, why in deaths:
        with pytest.raises(error, match=why):
            processor.make(task(picture, tmp_path / how, bad(how)), Piece(0))
    assert processor.make(task(picture, tmp_path / "after", ZONE), Piece(0)).file.is_file()


def test_errors_of_the_engine_keep_their_class_and_message(
    picture: Path, tmp_path: Path, make_processor: Callable[..., EngineProcessor]
) -> None:
    processor, large = make_processor(limits=Limits(pixels=48 * 64)), tmp_path / "large.png"
    Image.new("L", (64, 49)).save(large)
    with pytest.raises(LimitExceeded, match=r"^holiday.png has 3,136 pixels") as caught:
        processor.make(task(large, tmp_path / "a", ZONE, name="holiday.png"), Piece(0))
    assert (caught.value.limit, caught.value.value, caught.value.allowed) == ("pixels", 49 * 64, 48 * 64)
    with pytest.raises(BadPlan, match="'nothing' is unknown"):
        processor.make(task(picture, tmp_path / "b", Plan.of("face: nothing -> blacken")), Piece(0))
    (tmp_path / "text").write_bytes(b"no picture")
    with pytest.raises(BadInput, match="unknown kind"):
        processor.make(task(tmp_path / "text", tmp_path / "c", ZONE), Piece(0))
    with pytest.raises(OutputFailed, match="No such file"):  # an OSError, as those of the pipe are
        processor.make(replace(task(picture, tmp_path / "e", ZONE), folder=tmp_path / "none"), Piece(0))
    broken = processor.make, task(picture, tmp_path / "d", ZONE)
    (tmp_path / "regions").write_bytes(b"{")
    with pytest.raises(BadInput, match="regions cannot be read"):
        broken[0](Task("1", broken[1].submission, picture, tmp_path / "regions", tmp_path), Piece(0))


def test_archives_are_hidden_member_by_member(
    picture: Path, tmp_path: Path, make_processor: Callable[..., EngineProcessor]
) -> None:
    processor = make_processor()
    with zipfile.ZipFile(tmp_path / "source", "w") as archive:
        archive.write(picture, "trip/one.png")
        archive.writestr("notes.txt", "x")
    job = task(tmp_path / "source", tmp_path / "work", ZONE, name="Trip.Zip")
    (piece,) = processor.cut(job)
    made = processor.make(job, piece)
    result = processor.join(job, [made])
    assert (result.name, result.regions) == ("Trip.hidden.zip", None)
    assert [(member["name"], member["action"]) for member in result.report["members"]] == [
        ("trip/one.png", "hidden"),
        ("notes.txt", "copied"),
    ]
    with zipfile.ZipFile(result.file) as archive:
        assert archive.namelist() == ["trip/one.png", "notes.txt"]
    with zipfile.ZipFile(tmp_path / "refused", "w") as archive:
        archive.writestr("drawing.emf", b"\1\0\0\0")
    with pytest.raises(BadInput, match=r"drawing\.emf"):
        processor.make(task(tmp_path / "refused", tmp_path / "again", ZONE, name="a.zip"), Piece(0))


@pytest.mark.parametrize(("name", "result"), [("Talk.M4A", "Talk.hidden.m4a"), ("talk.mp3", "talk.hidden.m4a")])
def test_sound_files_are_jobs_without_regions(
    name: str, result: str, tmp_path: Path, make_processor: Callable[..., EngineProcessor]
) -> None:
    source = write_sound(tmp_path / "a.m4a", [noise(1)], "aac", rate=16_000).rename(tmp_path / "source")
    processor = make_processor()
    job = task(source, tmp_path / "work", replace(ZONE, video=Video(audio="silence")), name=name)
    (piece,) = processor.cut(job)
    output = processor.join(job, [processor.make(job, piece)])
    assert (output.name, output.regions) == (result, None)
    assert not decode_sound(output.file)[1].any()


def test_cancel_kills_the_process(
    picture: Path, tmp_path: Path, make_processor: Callable[..., EngineProcessor], until: Callable[..., None]
) -> None:
    processor, mark, stop = make_processor(), tmp_path / "mark", threading.Event()
    marked = task(picture, tmp_path / "x", bad(f"mark {mark}"), stop=stop)
    caught: list[type[BaseException]] = []

    def make() -> None:
        try:
            processor.make(marked, Piece(0))
        except Cancelled as error:
            caught.append(type(error))

    thread = threading.Thread(target=make)
    thread.start()
    until(lambda: mark.is_file() and mark.read_text(), "the file to be in work")
    stop.set()
    thread.join(5)
    assert caught == [Cancelled]
    assert not Path(f"/proc/{mark.read_text()}").exists()


def test_the_process_ends_with_its_parent(
    picture: Path, tmp_path: Path, make_processor: Callable[..., EngineProcessor], until: Callable[..., None]
) -> None:
    make_processor()
    mark = tmp_path / "mark"
    code = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
import bad_parts
from pathlib import Path
from velum import Limits, Plan
from velum.jobs import EngineProcessor, Piece, Submission, Task
plan = Plan.of("face: bad(how='mark {mark}') -> blacken")
task = Task("1", Submission("", "x", plan), Path({str(picture)!r}), None, Path({str(tmp_path)!r}))
EngineProcessor(bad_parts.host, Limits()).make(task, Piece(0))
"""
    parent = subprocess.Popen([sys.executable, "-c", code])
    until(lambda: mark.is_file() and mark.read_text(), "the file to be in work")
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    until(lambda: _gone(int(mark.read_text())), "the child to end", 5)


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except OSError:
        return True


def test_a_poisonous_file_fails_alone(
    picture: Path, back_office: Office, make_processor: Callable[..., EngineProcessor]
) -> None:
    key = back_office.store.put([picture.read_bytes()]).key
    jobs = [
        back_office.desk.submit(Submission(key, f"{n}.png", plan)) for n, plan in enumerate([ZONE, bad("crash"), ZONE])
    ]
    with back_office.working(make_processor):
        first, poison, last = back_office.ended(*jobs)
    assert [first.state, poison.state, last.state] == ["done", "failed", "done"]
    assert (poison.error, poison.attempts) == ("BadInput", 1)


def test_the_decoder_process_imports_neither_the_database_nor_the_web_framework(tmp_path: Path) -> None:
    factories: list[Callable[[], RuntimeConfig]] = []

    def make_processor(config: Callable[[], RuntimeConfig], limits: Limits) -> EngineProcessor:
        factories.append(config)
        return EngineProcessor(config, limits)

    stop = threading.Event()
    stop.set()
    settings = replace(Settings(), jobs=JobsSettings(data=tmp_path))
    worker(settings, HttpClient(NetworkPolicy()), make_processor).run(stop)
    code = f"""
import pickle, sys
import velum.engine.subprocess_main
pickle.loads({pickle.dumps(factories[0])!r})()
print(sorted({{"fastapi", "sqlalchemy"}} & sys.modules.keys()))
"""
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"
