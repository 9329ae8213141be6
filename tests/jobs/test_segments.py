"""Videos as jobs of several pieces: finished pieces stay, and a crash changes nothing of the result."""

import hashlib
import io
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from tests.rows import exhaustive

from velum import Engine, Plan
from velum.jobs import EngineProcessor, Piece, State, Submission
from velum.plan import Rule, Video
from velum.region import Box
from velum.spec import PartSpec

from .conftest import Office
from .test_processor import task

pytestmark = pytest.mark.slow

COUNT = 60
INSIDE = (slice(12, 28), slice(12, 28))
"""Of what is hidden."""

PLAN = Plan((Rule("face", PartSpec("slow"), PartSpec("blacken"), grow=0),), video=Video(track=False))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    picture = np.random.default_rng(0).integers(60, 230, (12, 16, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", 25, options={"g": "6", "sc_threshold": "0", "bf": "2"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(COUNT):
            frame = av.VideoFrame.from_ndarray(np.roll(picture, index, 1), "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def make_processor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], EngineProcessor]:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import segment_worker  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415 - as the other process finds it

    return lambda: segment_worker.make_processor(tmp_path / "calm.log")


@pytest.mark.exhaustive
@pytest.mark.parametrize("url", ["sqlite", *exhaustive(["postgresql"])], indirect=True)
def test_a_kill_in_the_middle_changes_nothing_of_the_result(
    clip: Path, office: Office, make_processor: Callable[[], EngineProcessor], until: Callable[..., None]
) -> None:
    key = office.store.put([clip.read_bytes()]).key
    with office.working(make_processor):
        (calm,) = office.ended(office.desk.submit(Submission(key, "clip.mp4", PLAN)))
    assert (calm.state, calm.pieces_done, calm.frames_done) == (State.DONE, 5, COUNT)

    job = office.desk.submit(Submission(key, "clip.mp4", PLAN))
    program = [sys.executable, str(Path(__file__).with_name("segment_worker.py")), office.url]
    program += [str(office.path / "store"), str(office.path)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as victim:
        try:
            # In the middle of a piece, when two others are done.
            until(lambda: office.now(job).pieces_done >= 2 and _located(office) % 12 > 3, "two pieces and a bit")
        finally:
            os.kill(victim.pid, signal.SIGKILL)
    kept, before = office.now(job).pieces_done, _located(office)
    assert 2 <= kept < 5
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as second:
        try:
            (done,) = office.ended(job)
        finally:
            second.terminate()
    assert done.state == State.DONE
    assert _sha256(office, done.result) == _sha256(office, calm.result)
    hidden = [office.regions(job) for job in (calm, done)]
    assert hidden[0].to_json() == hidden[1].to_json()
    assert {index: [region.box for region in found] for index, found in hidden[0].frames.items()} == {
        index: [Box(10, 10, 30, 30)] for index in range(COUNT)
    }
    # Nothing that was finished was done again, and no more than one piece was lost.
    assert before < COUNT
    times = Counter(int(line.split()[1]) for line in office.log.read_text().splitlines())
    assert set(times) == set(range(COUNT))
    assert sum(times.values()) - COUNT <= 12
    assert all(times[frame] == 1 for frame in range(12 * kept))
    assert {stored.key for stored in office.store.list()} == office.files(calm, done), "pieces are left behind"


def _located(office: Office) -> int:
    return len(office.log.read_text().splitlines())


def _sha256(office: Office, key: str | None) -> str:
    assert key is not None
    return hashlib.sha256(b"".join(office.store.open(key))).hexdigest()


def test_the_report_describes_the_whole_video(
    clip: Path, back_office: Office, make_processor: Callable[[], EngineProcessor]
) -> None:
    key = back_office.store.put([clip.read_bytes()]).key
    with back_office.working(make_processor):
        (done,) = back_office.ended(back_office.desk.submit(Submission(key, "clip.mp4", PLAN)))
    report = back_office.desk.report(done.id)
    assert report is not None
    assert (report["source"], report["target"]) == ("clip.mp4", "clip.hidden.mp4")
    assert report["frames"] == COUNT
    assert [track["frames"] for track in report["tracks"]] == [COUNT]
    assert report["output_sha256"] == _sha256(back_office, done.result)
    assert str(back_office.path) not in str(report)


def test_a_video_is_split_into_pieces_that_join_to_the_result_of_one_run(
    clip: Path, tmp_path: Path, make_processor: Callable[[], EngineProcessor]
) -> None:
    processor = make_processor()
    try:
        given = task(clip, tmp_path / "work", PLAN, name="clip.mp4")
        pieces = processor.cut(given)
        assert [piece.frames for piece in pieces] == [12] * 5
        assert processor.cut(given) == pieces
        whole = replace(PLAN, video=Video(two_pass=True))
        assert processor.cut(task(clip, tmp_path / "work", whole, name="clip.mp4")) == [Piece(0)]
        segments = [processor.make(given, piece) for piece in pieces]
        result = processor.join(given, segments)
    finally:
        processor.close()
    with Engine() as engine:
        plan = Plan.of("zone: fixed(box=[10, 10, 20, 20]) -> blacken with grow=0", video=PLAN.video)
        engine.hide(clip, tmp_path / "one.mp4", plan)
    with av.open(str(tmp_path / "one.mp4")) as single, av.open(str(result.file)) as joined:
        first, second = ([packet.pts for packet in each.demux(video=0)] for each in (single, joined))
    assert first == second


def test_only_changed_segments_of_a_video_are_rendered_again(
    clip: Path, back_office: Office, make_processor: Callable[[], EngineProcessor]
) -> None:
    office = back_office
    key = office.store.put([clip.read_bytes()]).key
    with office.working(make_processor):
        (done,) = office.ended(office.desk.submit(Submission(key, "clip.mp4", PLAN)))
        first, pieces, found = office.content(done), office.pieces(done), office.regions(done)
        same = office.rendered(done)
        assert office.content(same) == first
        assert office.pieces(done) == pieces

        shown = {n: () if 30 <= n < 36 else regions for n, regions in found.frames.items()}
        corrected = office.rendered(done, replace(found, frames=shown))
        changed = {n for n, piece in office.pieces(done).items() if piece != pieces[n]}
        assert changed == {2}
        report = office.desk.report(done.id)
        assert report is not None
        assert sum(track["frames"] for track in report["tracks"]) == COUNT - 6
        before, after = pictures(first), pictures(office.content(corrected))
        assert len(before) == len(after) == COUNT
        assert [n for n in range(COUNT) if after[n][INSIDE].max() > 60] == list(range(30, 36))
        assert all(np.array_equal(before[n], after[n]) for n in range(COUNT) if not 24 <= n < 36)

        # What is given comes out as what was found.
        assert office.content(office.rendered(done, found)) == first
    located = (clip.parent / "calm.log").read_text().splitlines()
    assert len(located) == COUNT, "nothing is looked for again"


def pictures(content: bytes) -> list[np.ndarray[Any, Any]]:
    with av.open(io.BytesIO(content), "r") as container:
        return [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
