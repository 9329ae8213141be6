"""Streams on the command line: pipes in and out, and a stop in the middle."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

import av
import pytest
from tests.cli.conftest import Command
from tests.media.video.factories import Clip, made
from tests.rows import exhaustive

RULE = ("--rule", "face: fake -> blacken with grow=0")


@pytest.fixture
def env(tmp_path: Path, site: Path) -> Mapping[str, str]:
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
    return os.environ | {"PYTHONPATH": path, "VELUM_CACHE": str(tmp_path / "cache"), "NO_COLOR": "1", "COLUMNS": "100"}


def stream(folder: Path, suffix: str, frames: int = 12) -> bytes:
    clip = Clip("mpeg2video", suffix=suffix, base=Fraction(1, 25), frames=frames, audio=("mp2",))
    path = made(folder / "source", clip)
    data = path.read_bytes()
    path.unlink()
    return data


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "velum", "hide", *arguments, *RULE]


def piped(
    env: Mapping[str, str], folder: Path, data: bytes, *arguments: str, code: int = 0
) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run(
        command(*arguments), input=data, capture_output=True, env=env, cwd=folder, timeout=60, check=False
    )
    assert done.returncode == code, done.stderr.decode()
    assert b"Traceback" not in done.stderr
    return done


def hidden_frames(data: bytes | Path, folder: Path) -> int:
    path = data if isinstance(data, Path) else folder / "result"
    if isinstance(data, bytes):
        path.write_bytes(data)
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(video=0)]
    assert all(abs(frame[7:23, 12:28].astype(int) - 16).max() < 12 for frame in frames)
    return len(frames)


@pytest.mark.slow
@pytest.mark.parametrize(("suffix", "name"), [(".ts", "mp4"), *exhaustive([(".mkv", "mkv"), (".ts", "ts")])])
def test_hides_from_standard_input_to_standard_output(
    env: Mapping[str, str], tmp_path: Path, suffix: str, name: str
) -> None:
    done = piped(env, tmp_path, stream(tmp_path, suffix), "-", "-o", "-", "--format", name, "--json")
    assert hidden_frames(done.stdout, tmp_path) == 12
    report = json.loads(done.stderr.decode().splitlines()[-1])
    assert (report["source"], report["target"], report["frames"]) == ("standard input", "standard output", 12)


@pytest.mark.slow
def test_writes_a_stream_to_a_file(env: Mapping[str, str], tmp_path: Path) -> None:
    done = piped(env, tmp_path, stream(tmp_path, ".ts"), "-", "-o", "out.mkv")
    assert done.stdout.decode().startswith("out.mkv: 1 face hidden in 12 frames")
    assert hidden_frames(tmp_path / "out.mkv", tmp_path) == 12


@pytest.mark.slow
def test_a_broken_stream_leaves_no_file(env: Mapping[str, str], tmp_path: Path) -> None:
    data = stream(tmp_path, ".mkv", 100)
    before = set(tmp_path.iterdir())
    done = piped(env, tmp_path, data[: len(data) // 2], "-", "-o", "out.mkv", code=3)
    assert b"standard input" in done.stderr
    assert {path for path in tmp_path.iterdir() if path.name != "cache"} == before
    piped(env, tmp_path, data[: len(data) // 2], "-", "-o", "out.mkv", "--on-damage", "cover")
    assert 10 < hidden_frames(tmp_path / "out.mkv", tmp_path) < 100


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, *exhaustive([signal.SIGTERM])])
def test_an_interrupted_stream_publishes_complete_frames(
    env: Mapping[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    data = stream(tmp_path, ".ts", 100)
    with subprocess.Popen(
        command("-", "-o", "out.mkv"), stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=env, cwd=tmp_path
    ) as running:
        assert running.stdin
        assert running.stderr
        running.stdin.write(data[: len(data) * 2 // 3])
        running.stdin.flush()
        until = time.monotonic() + 20
        while not list(tmp_path.glob(".velum-*.part")) and time.monotonic() < until:
            time.sleep(0.05)
        running.send_signal(number)
        said = running.stderr.read().decode()
        assert running.wait(20) == 0, said
    assert "stopped on request" in said
    assert 10 < hidden_frames(tmp_path / "out.mkv", tmp_path) < 100


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["-"], 2, "add -o FILE"),
        (["-", "other.mkv", "-o", "out.mkv"], 2, "give it alone"),
        (["-", "-o", "-", "--format", "avi"], 4, "cannot be streamed"),
        (["clip.mkv", "--format", "mkv"], 2, "--format is only for -o -"),
        (["clip.mkv", "--timeout", "3"], 2, "--timeout is only for a stream"),
        (["-", "-o", "out.mkv", "--two-pass"], 4, "comes once"),
        (["-", "-o", "out.mkv"], 3, "it is empty"),
        (["http://camera/a.m3u8", "-o", "out.mkv"], 3, "allowed are addresses"),
        (["rtsp://user:secret@127.0.0.1:9/a", "-o", "out.mkv"], 6, "cannot reach rtsp://127.0.0.1:9/a"),
    ],
)
def test_refuses_options_that_do_not_fit_a_stream(
    velum_command: Command, arguments: list[str], code: int, says: str
) -> None:
    done = velum_command("hide", *arguments, *RULE, code=code)
    assert says in " ".join(done.stderr.replace("│", " ").split())
    assert "secret" not in done.stderr
    assert not (velum_command.folder / "out.mkv").exists()
