"""Videos of the anonymization API: published whole under a free name, or not at all."""

import io
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import av
import httpx2
import numpy as np
import pytest
from av.audio.stream import AudioStream
from av.video.stream import VideoStream
from starlette.testclient import TestClient
from tests.bmw.fake_inference_api import Reply, Shown, StubInference
from tests.media.image.bombs import decoder_processes
from tests.rows import but_for, exhaustive
from tests.service.factories import FACE, client, configuration, entry, on_the_wire
from tests.service.factories import settings as made
from tests.waiting import until

from velum.frame import Frame
from velum.region import Region
from velum.storage.scratch import ScratchDirs

pytestmark = pytest.mark.slow

FRAMES = 6
UNEXPECTED = b'{"data":null,"error":"unexpected server error","success":false}'


def clip(kind: str = "mp4", codec: str = "libx264", audio: str | None = None, frames: int = FRAMES) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format=kind) as container:
        stream = container.add_stream(codec, 25)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream(audio, 48000) if audio else None
        for _ in range(frames):
            pixels = np.full((48, 64, 3), 200, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode())
        if isinstance(sound, AudioStream):
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.int16), "s16", "mono")
            silence.sample_rate = 48000
            container.mux(sound.encode(silence))
            container.mux(sound.encode())
    return out.getvalue()


def send(it: TestClient, video: bytes, name: str = "clip.mp4", config: bytes | None = None) -> Any:
    files = {"video": (name, video, "video/mp4"), "configuration": ("c", config or configuration(), "application/json")}
    return it.post("/anonymize_video/", files=files)


def finished(folder: Path) -> list[Path]:
    return sorted((folder / "videos").glob("*.mp4"))


def left(folder: Path) -> list[Path]:
    return [path for path in (folder / "videos").rglob("*") if path.is_file() and path.name in {"upload", "done.mp4"}]


def shown(path: Path) -> list[np.ndarray[Any, Any]]:
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[TestClient]:
    with client(made(tmp_path)) as it:
        yield it


NAMES = [
    ("plain", "clip.mp4", "clip"), ("up to the first dot", "my.clip.v2.mp4", "my"), ("no suffix", "clip", "clip"),
    ("a way out", "../../x.mp4", "x"), ("a way out, elsewhere", "..\\..\\x.mp4", "x"), ("hidden", ".mp4", ""),
    ("folder", "/etc/passwd", "passwd"), ("blanks and accents", "mein vidéo.mp4", "mein vidéo"),
    ("signs", "a:b*c?.mp4", "a_b_c_"), ("very long", "x" * 300 + ".mp4", "x" * 60),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "stem"),
    but_for([row[1:] for row in NAMES], [NAMES[1][1:], NAMES[3][1:], NAMES[9][1:]]),
    ids=[row[0] for row in NAMES],
)
def test_names_a_finished_video_as_the_original_does(alone: TestClient, tmp_path: Path, name: str, stem: str) -> None:
    answer = send(alone, clip(), name)
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "application/json", b'"Done"')
    (file,) = finished(tmp_path)
    assert re.fullmatch(rf"Anonymized_{re.escape(stem)}_\d\d_\d\d_\d\d_\d\d_\d\d_\d\d\.mp4", file.name)
    frames = shown(file)
    assert answer.headers["x-velum-file"] == quote(file.name)
    assert len(frames) == FRAMES
    for frame in frames:
        assert frame[12:26, 14:30].max() < 60
        assert frame[40:, 50:].min() > 180
    assert not left(tmp_path)


def test_keeps_all_videos_of_one_name_and_second(tmp_path: Path) -> None:
    with client(made(tmp_path, videos=3)) as it:
        threads = [threading.Thread(target=send, args=(it, clip())) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(finished(tmp_path)) == 3
    assert [path.name for path in (tmp_path / "videos").iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("kind", "codec", "audio"),
    [
        ("matroska", "libx264", "libopus"),
        ("avi", "mpeg4", "pcm_s16le"),
        ("matroska", "libx264", "pcm_s16le"),
        ("webm", "libvpx", "libopus"),
    ],
)
def test_accepts_other_containers_and_copies_their_sound(
    alone: TestClient, tmp_path: Path, kind: str, codec: str, audio: str
) -> None:
    assert send(alone, clip(kind, codec, audio), "clip.mkv").content == b'"Done"'
    assert len(shown(finished(tmp_path)[0])) == FRAMES


CORRUPT = b'{"data":null,"error":"Invalid model configuration: Json file corrupted","success":false}'
FAILURES = [
    ("bad configuration, which is looked at first", b"x", b"{", CORRUPT),
    ("wrong entries", clip(), configuration(entry(class_name="x"), entry(anonymization_technique="zap")),
     (b'["The label <x> in the sensitive info <1> is not supported.",'
     b'"The technique <zap> is not supported for the label <face> in sensitive info <2>."]')),
    ("no video", b"nonsense", configuration(), UNEXPECTED),
    ("nothing", b"", configuration(), UNEXPECTED),
    ("half of one", clip()[:1200], configuration(), UNEXPECTED),
    ("no entries", clip(), b'{"sensitive_info":[]}', UNEXPECTED),
]  # fmt: skip


@pytest.mark.parametrize(("video", "config", "body"), [row[1:] for row in FAILURES], ids=[row[0] for row in FAILURES])
def test_publishes_nothing_after_a_failure(
    alone: TestClient, tmp_path: Path, video: bytes, config: bytes, body: bytes
) -> None:
    answer = send(alone, video, config=config)
    assert (answer.status_code, answer.content) == (200, body)
    assert not finished(tmp_path)
    assert not left(tmp_path)


@pytest.mark.parametrize(
    ("end", "status", "body"),
    [
        *exhaustive([(signal.SIGSEGV, 200, UNEXPECTED), (signal.SIGKILL, 200, UNEXPECTED)]),
        (signal.SIGXCPU, 413, b"the work on the video has 121 work_seconds"),
    ],
)
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the processes that decode in /proc")
def test_a_crashed_decoder_fails_only_its_video(
    real_processes: None, tmp_path: Path, end: signal.Signals, status: int, body: bytes
) -> None:
    before_the_end = iter(range(3, -1, -1))

    def found(_: Frame) -> list[Region]:
        if next(before_the_end, None) == 0:
            for process in decoder_processes():
                os.kill(process, end)
        return [FACE]

    with client(made(tmp_path), found) as it:
        answer = send(it, clip(frames=40))
        assert (answer.status_code, body in answer.content) == (status, True), answer.content
        assert not finished(tmp_path)
        assert not left(tmp_path)
        assert send(it, clip()).content == b'"Done"'


def test_publishes_nothing_when_an_inference_api_fails(tmp_path: Path) -> None:
    remote = configuration(entry(model_name="yolo", class_name="person"))
    with StubInference("OVD", boxes=[Shown("person", (10, 8, 34, 30))]) as api, client(made(tmp_path, [api.url])) as it:
        it.get("/available_methods/")
        assert send(it, clip(), config=remote).content == b'"Done"'
        assert shown(finished(tmp_path)[0])[3][12:26, 14:30].max() < 60
        api.replies["/models/yolo/predict"] = Reply(500, b"")
        answer = send(it, clip(), config=remote)
    assert answer.content == b'["The model type <detection> in sensitive info <1> is not supported."]'
    assert len(finished(tmp_path)) == 1
    assert not left(tmp_path)


def test_refuses_more_videos_than_allowed_at_a_time(tmp_path: Path) -> None:
    begun, goes_on = threading.Event(), threading.Event()

    def slowly(frame: Frame) -> list[Region]:
        begun.set()
        goes_on.wait(10)
        return [FACE]

    with client(made(tmp_path), found=slowly) as it:
        first = threading.Thread(target=send, args=(it, clip()))
        first.start()
        assert begun.wait(10)
        answer = send(it, clip())
        assert (answer.status_code, answer.json()["success"]) == (429, False)
        goes_on.set()
        first.join()
        assert send(it, clip()).content == b'"Done"'


def test_stops_working_when_the_client_disconnects(tmp_path: Path) -> None:
    looked: list[int] = []
    begun, gone = threading.Event(), threading.Event()

    def slowly(frame: Frame) -> list[Region]:
        looked.append(frame.index)
        begun.set()
        assert gone.wait(60)
        time.sleep(0.03)  # all frames would take longer than anybody needs to notice
        return [FACE]

    files = {"video": ("a.mp4", clip(frames=400), "video/mp4"), "configuration": ("c", configuration(), "text/json")}
    with on_the_wire(made(tmp_path), slowly) as url:
        request = httpx2.Request("POST", f"{url}/anonymize_video/", files=files)
        head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        with socket.create_connection((request.url.host, request.url.port or 0)) as wire:
            wire.sendall(f"POST /anonymize_video/ HTTP/1.1\r\n{head}\r\n".encode() + request.read())
            assert begun.wait(60)
        gone.set()
        until(lambda: not left(tmp_path))
        assert 0 < len(looked) < 400
    assert not finished(tmp_path)


def test_removes_files_of_dead_processes_and_keeps_those_of_living_ones(tmp_path: Path) -> None:
    living, killed = ScratchDirs(tmp_path), tmp_path / ".velum-work-killed"
    living.open()
    killed.mkdir()
    (killed / ".lock").touch()
    (killed / "upload").write_text("an original")
    with living.folder() as folder:
        (folder / "upload").write_text("in work")
        other = ScratchDirs(tmp_path)
        other.open()
        assert not killed.exists()
        assert (folder / "upload").exists()
        other.close()
    assert not folder.exists()
    living.close()
    assert not list(tmp_path.iterdir())
