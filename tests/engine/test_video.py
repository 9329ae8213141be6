"""Videos through the whole path, with a localizer that returns given regions."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from velum import Annotations, Engine, Plan, Region, RuntimeConfig, media
from velum.errors import BadInput, PluginFault
from velum.frame import Frame, Samples
from velum.plan import Rule, Video
from velum.region import Box
from velum.spec import PartSpec
from velum.testing import FakeLocalizer

WIDTH, HEIGHT, COUNT = 96, 64, 30
GROUND = np.random.default_rng(0).integers(20, 230, (HEIGHT, WIDTH, 3), dtype=np.uint8)
THING = np.random.default_rng(1).integers(20, 230, (20, 20, 3), dtype=np.uint8)
PLAN = Plan((Rule("face", PartSpec("fake"), PartSpec("blacken"), grow=0),), video=Video(codec="ffv1"))


def box_at(index: int) -> Box:
    return Box(4 + 2 * index, 20, 24 + 2 * index, 40)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", 25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound = container.add_stream("aac", 16000)
        for index in range(COUNT):
            picture = GROUND.copy()
            picture[box_at(index).slices] = THING
            frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), "fltp", "mono")
        silence.sample_rate, silence.pts = 16000, 0
        for one in (sound, stream):
            container.mux(one.encode(silence) if one is sound else [])
            container.mux(one.encode())
    return path


def planes(path: Path) -> list[list[Samples]]:
    with av.open(str(path)) as container:
        return [
            [
                np.frombuffer(bytes(plane), np.uint8).reshape(plane.height, -1)[:, : plane.width].copy()
                for plane in frame.planes
            ]
            for frame in container.decode(video=0)
        ]


def finding(regions: Sequence[Region] | Callable[[Frame], Sequence[Region]]) -> Engine:
    return Engine(host=RuntimeConfig(localizers={"fake": lambda: FakeLocalizer(regions)}))


def seen_in(*frames: int) -> Callable[[Frame], list[Region]]:
    return lambda frame: [Region(box_at(frame.index), "face", 0.9)] if frame.index in frames else []


def assert_only_things_are_hidden(clip: Path, out: Path, most: float = 2.5) -> None:
    before, after = planes(clip), planes(out)
    assert len(after) == len(before)
    for index, (old, new) in enumerate(zip(before, after, strict=True)):
        assert (new[0][box_at(index).slices] == 16).all(), f"the thing shows in frame {index}"
        hidden = new[0] != old[0]
        assert hidden.sum() <= most * 400
        rows, columns = np.nonzero(hidden)
        around = Box(columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        outside = np.ones((HEIGHT, WIDTH), bool)
        outside[around.slices] = False
        assert np.array_equal(new[0][outside], old[0][outside])
        for plane in (1, 2):  # chroma beyond every touched sample
            untouched = np.ones((HEIGHT // 2, WIDTH // 2), bool)
            untouched[around.y0 // 2 : -(-around.y1 // 2), around.x0 // 2 : -(-around.x1 // 2)] = False
            assert np.array_equal(new[plane][untouched], old[plane][untouched])


@pytest.mark.parametrize(
    ("seen", "changes"),
    [
        (range(COUNT), {}),  # found in every frame
        ([i for i in range(COUNT) if not 8 <= i < 20], {}),  # a gap
        (range(6, 24), {}),  # late and not to the end
        ([i for i in range(COUNT) if not 8 <= i < 20], {"two_pass": True}),
        (range(COUNT), {"every": 3}),
        (range(COUNT), {"track": False}),
    ],
)
def test_objects_are_hidden_in_every_frame_and_no_sample_outside_changes(
    clip: Path, seen: Sequence[int], changes: dict[str, object]
) -> None:
    plan = replace(PLAN, video=replace(PLAN.video, **changes))  # type: ignore[arg-type]
    out = clip.with_name("out.mkv")
    with finding(seen_in(*seen)) as engine:
        report = engine.hide(clip, out, plan)
    assert_only_things_are_hidden(clip, out)
    assert report.frames == COUNT
    assert report.hidden == ()
    assert {track.label for track in report.tracks} == {"face"}
    assert json.loads(json.dumps(report.to_json()))["tracks"][0]["last_frame"] == COUNT - 1


def test_samples_outside_reach_the_encoder_unchanged(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Samples] = []
    open_sink = media.open_sink

    def spying(*args: object, **options: object) -> media.Writer:
        writer = open_sink(*args, **options)  # type: ignore[arg-type]
        put = writer.write

        def noting(frame: Frame) -> None:
            taken.append(frame.planes[0].pixels.copy())
            put(frame)

        monkeypatch.setattr(writer, "write", noting)
        return writer

    monkeypatch.setattr("velum.media.open_sink", spying)
    plan = replace(PLAN, video=Video(codec="h264", track=False))
    with finding(seen_in(*range(COUNT))) as engine:
        engine.hide(clip, clip.with_name("out.mp4"), plan)
    for index, (old, new) in enumerate(zip(planes(clip), taken, strict=True)):
        expected = old[0].copy()
        expected[box_at(index).slices] = 16
        assert np.array_equal(new, expected)


def test_hiding_by_a_corrected_annotation_file_hides_exactly_its_regions(clip: Path) -> None:
    with finding(seen_in(*range(4, 26))) as engine:
        findings = Annotations.from_json(json.loads(json.dumps(engine.locate(clip, PLAN).to_json())))
    assert {region.origin for regions in findings.frames.values() for region in regions} >= {"detected", "back-filled"}
    assert len({region.track for regions in findings.frames.values() for region in regions}) == 1
    with finding(lambda frame: pytest.fail("located though the regions are known")) as engine:
        engine.hide(clip, clip.with_name("out.mkv"), PLAN, regions=findings)
    assert_only_things_are_hidden(clip, clip.with_name("out.mkv"))


@pytest.mark.parametrize("two_pass", [False, True])
def test_a_localizer_that_fails_late_leaves_no_file(clip: Path, two_pass: bool) -> None:
    def failing(frame: Frame) -> list[Region]:
        if frame.index == COUNT - 2:
            raise RuntimeError("device lost")
        return []

    plan = replace(PLAN, video=replace(PLAN.video, two_pass=two_pass))
    with finding(failing) as engine, pytest.raises(PluginFault, match="frame 28.*device lost"):
        engine.hide(clip, clip.with_name("out.mkv"), plan)
    assert [path.name for path in clip.parent.iterdir()] == ["clip.mkv"]


def test_a_truncated_source_leaves_no_file(clip: Path) -> None:
    clip.write_bytes(clip.read_bytes()[:-3000])
    with finding([]) as engine, pytest.raises(BadInput):
        engine.hide(clip, clip.with_name("out.mkv"), PLAN)
    assert [path.name for path in clip.parent.iterdir()] == ["clip.mkv"]


def test_an_interrupted_run_leaves_no_file(clip: Path) -> None:
    def stop(done: int, total: int | None) -> None:
        if done == 10:
            raise KeyboardInterrupt

    with finding(seen_in(3)) as engine, pytest.raises(KeyboardInterrupt):
        engine.hide(clip, clip.with_name("out.mkv"), PLAN, progress=stop)
    assert [path.name for path in clip.parent.iterdir()] == ["clip.mkv"]


def test_zones_and_exclusions_apply_at_their_time_and_place(clip: Path) -> None:
    plan = Plan.of(
        "zone: fixed(from=0.4, to=0.8) -> blacken",
        keep_out=(PartSpec("fixed", {"box": (0, 0, 16, 16)}),),
        video=Video(codec="ffv1"),
    )
    with Engine() as engine:
        engine.hide(clip, clip.with_name("out.mkv"), plan)
    for index, (old, new) in enumerate(zip(planes(clip), planes(clip.with_name("out.mkv")), strict=True)):
        assert np.array_equal(new[0][:16, :16], old[0][:16, :16])
        if 10 <= index < 20:
            assert (new[0][16:] == 16).all()
        else:
            assert np.array_equal(new[0], old[0])


def test_progress_counts_to_the_end(clip: Path) -> None:
    done: list[int] = []
    with finding([]) as engine:
        engine.hide(clip, clip.with_name("out.mkv"), PLAN, progress=lambda count, total: done.append(count))
    assert done == list(range(1, COUNT + 1))


def test_objects_are_tracked_in_animations_too(tmp_path: Path) -> None:
    def pictures() -> Iterator[Image.Image]:
        for index in range(12):
            picture = GROUND.copy()
            picture[box_at(index).slices] = THING
            yield Image.fromarray(picture)

    first, *rest = pictures()
    first.save(tmp_path / "moving.png", save_all=True, append_images=rest, duration=100)
    with finding(seen_in(0, 1, 2, 3, 8, 9, 10, 11)) as engine:
        engine.hide(tmp_path / "moving.png", tmp_path / "out.png", replace(PLAN, video=Video()))
    with Image.open(tmp_path / "out.png") as out:
        for index in range(12):
            out.seek(index)
            assert (np.asarray(out.convert("RGB"))[box_at(index).slices] == 0).all()
