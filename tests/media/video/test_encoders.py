"""No encoder gives this process or its children real-time priority, or prints anything."""

import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import av
import numpy as np
import pytest
from tests.media.video.factories import Clip, made

from velum import media
from velum.limits import Limits
from velum.media.video import encoders
from velum.plan import Plan, Video

WRITES_AV1 = """
import sys
from pathlib import Path
from velum import Limits, Plan, media
from velum.plan import Video

source, target = map(Path, sys.argv[1:])
with media.open_source(source, Limits()) as reader:
    with media.open_sink(target, reader, Plan(video=Video(codec="av1"))) as writer:
        for frame in reader.frames():
            writer.write(frame)
"""


@pytest.mark.slow
def test_encoders_print_nothing(tmp_path: Path) -> None:
    source, target = made(tmp_path / "a.mp4", Clip(frames=2)), tmp_path / "b.mp4"
    # In a process of its own: the encoder asks only once, and other tests here may have had it speak.
    env = {name: value for name, value in os.environ.items() if name != "SVT_LOG"}
    command = [sys.executable, "-c", WRITES_AV1, str(source), str(target)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert target.is_file()


@pytest.mark.parametrize(
    ("wide", "options", "parameters"),
    [
        (True, {}, "asm=AVX2"),
        (True, {"x264-params": "tff=1"}, "tff=1:asm=AVX2"),
        (False, {"x264-params": "tff=1"}, "tff=1"),
        (False, {}, None),
    ],
)
def test_x264_uses_no_instructions_with_which_its_bytes_vary(
    wide: bool, options: dict[str, str], parameters: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoders, "has_avx512", lambda: wide)
    with av.open(io.BytesIO(), "w", format="mp4") as container:
        context = container.add_stream("libx264", rate=25, options=options).codec_context
        encoders.open_encoder(context)
        assert context.options.get("x264-params") == parameters


@pytest.mark.skipif(not Path("/proc/cpuinfo").is_file(), reason="the system does not list what its processor has")
def test_the_processor_is_asked_for_its_instructions() -> None:
    assert encoders.has_avx512() == ("avx512f" in Path("/proc/cpuinfo").read_text().split())


@pytest.mark.skipif(
    not Path("/proc/self/task").is_dir() or os.geteuid() != 0, reason="only root on Linux may set such a policy"
)
@pytest.mark.parametrize("smart", [False, True])
def test_encoders_leave_the_scheduling_of_threads_unchanged(tmp_path: Path, smart: bool) -> None:
    source = made(tmp_path / "a.mp4", Clip("libsvtav1", frames=24, options={"preset": "12", "g": "6"}))
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))  # the encoder of this clip has changed it
    before = threads()
    plan, during = Plan(video=Video(codec="av1", smart=smart)), set[int]()
    with (
        media.open_source(source, Limits()) as reader,
        media.open_sink(tmp_path / "b.mp4", reader, plan, touched=frozenset({8}) if smart else None) as writer,
    ):
        for index, frame in enumerate(reader.frames()):
            if index == 8:
                frame.planes[0].pixels[...] = np.uint8(16)
            writer.write(frame)
            during |= threads() - before
            assert {os.sched_getscheduler(one) for one in threads()} == {os.SCHED_OTHER}
    assert len(during) > 4, "the encoder started no threads of its own"
    assert os.sched_getscheduler(threading.get_native_id()) == os.SCHED_OTHER


def threads() -> set[int]:
    return {int(one.name) for one in Path("/proc/self/task").iterdir()}
