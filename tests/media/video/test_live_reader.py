"""Streams: pipes and loopback senders that end, break off, stall, or are stopped."""

import hashlib
import io
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path

import av
import pytest
from tests.media.video.factories import Clip, made
from tests.rows import exhaustive

from velum import Engine, Plan, Report, RuntimeConfig
from velum.errors import BadInput, BadPlan, LimitExceeded, OutputFailed, PluginFault, Unavailable
from velum.limits import Limits
from velum.media import LiveSource, StreamSink, source_of
from velum.media.video.probe import to_fraction
from velum.plan import Rule, Video
from velum.region import Box, Region
from velum.spec import PartSpec
from velum.testing import FakeLocalizer

pytestmark = pytest.mark.slow

MILLI = Fraction(1, 1000)
REGION = Region(Box(8, 8, 24, 24), "face", 0.9)
PLAN = Plan((Rule("face", PartSpec("fake"), PartSpec("blacken"), grow=0),), video=Video(codec="ffv1"))
LOSSY = Plan(PLAN.rules, video=Video(codec="mpeg2video"))


def engine(slow: float = 0.0, limits: Limits | None = None) -> Engine:
    def answer(_: object) -> list[Region]:
        time.sleep(slow)
        return [REGION]

    return Engine(host=RuntimeConfig(localizers={"fake": lambda: FakeLocalizer(answer)}), limits=limits)


def clip(folder: Path, suffix: str = ".mkv", **more: object) -> Path:
    return made(folder / "source", Clip("mpeg2video", suffix=suffix, base=Fraction(1, 25), **more))  # type: ignore[arg-type]


@contextmanager
def piped(*parts: bytes | Callable[[], object], timeout: float = 5.0, shut: bool = True) -> Iterator[LiveSource]:
    """A pipe into which another thread writes the parts, calling what is no bytes; without `shut` it stays open."""
    ours, theirs = os.pipe()

    def send() -> None:
        try:
            for part in parts:
                if callable(part):
                    part()
                else:
                    with os.fdopen(os.dup(theirs), "wb") as file:
                        file.write(part)
        except BrokenPipeError:
            pass
        finally:
            if shut:
                os.close(theirs)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield LiveSource("-", timeout, ours)
    finally:
        os.close(ours)
        thread.join()
        if not shut:
            os.close(theirs)


def stamps(data: bytes | Path) -> list[Fraction]:
    with av.open(io.BytesIO(data) if isinstance(data, bytes) else str(data), "r") as container:
        return [(frame.pts or 0) * to_fraction(frame.time_base) for frame in container.decode(video=0)]


def sounds(data: bytes | Path) -> list[bytes]:
    with av.open(io.BytesIO(data) if isinstance(data, bytes) else str(data), "r") as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def hidden(data: bytes | Path) -> bool:
    with av.open(io.BytesIO(data) if isinstance(data, bytes) else str(data), "r") as container:
        return all((frame.to_ndarray()[8:24, 8:24] == 16).all() for frame in container.decode(video=0))


@pytest.mark.parametrize(
    ("suffix", "audio", "reason"),
    [
        (".mkv", "mp2", "Matroska with a header that says its length"),
        (".ts", "mp2", "made to be streamed"),
        (".mp4", "aac", "the index at the front, as faststart puts it"),
    ],
)
def test_a_pipe_gives_the_same_frames_as_the_file(tmp_path: Path, suffix: str, audio: str, reason: str) -> None:
    more = {"container": {"movflags": "+faststart"}} if suffix == ".mp4" else {}
    source = clip(tmp_path, suffix, audio=(audio,), **more)
    with engine() as ready, piped(source.read_bytes()) as live:
        report = ready.hide(live, tmp_path / "live.mkv", PLAN)
        ready.hide(source, tmp_path / "file.mkv", PLAN)
    assert report.source == "standard input"
    assert report.input_sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert report.frames == len(stamps(source))
    for of in (stamps, sounds):
        assert of(tmp_path / "live.mkv") == of(tmp_path / "file.mkv"), reason
    assert len(sounds(tmp_path / "live.mkv")) == len(sounds(source)) > 0
    assert hidden(tmp_path / "live.mkv")


@pytest.mark.parametrize("name", ["mkv", "ts", "mp4", "webm"])
def test_a_result_can_be_written_to_a_stream(tmp_path: Path, name: str) -> None:
    source = clip(tmp_path)
    plan = Plan(PLAN.rules, video=Video(codec={"webm": "vp9", "mkv": "ffv1"}.get(name)))
    out = io.BytesIO()
    out.seek = None  # type: ignore[assignment, method-assign]  # it can only be written forwards
    with engine() as ready, piped(source.read_bytes()) as live:
        report = ready.hide(live, StreamSink(out, name), plan)
    assert report.target == "standard output"
    assert report.output_sha256 == hashlib.sha256(out.getvalue()).hexdigest()
    assert len(stamps(out.getvalue())) == report.frames == 12
    if name == "mkv":
        assert stamps(out.getvalue()) == stamps(source)
        assert hidden(out.getvalue())


def test_frames_are_sent_while_the_stream_still_runs(tmp_path: Path) -> None:
    """Bounded delay: with a window of no time, what came is out before the sender goes on."""
    data = clip(tmp_path, ".ts", frames=150).read_bytes()
    out, early = io.BytesIO(), []

    def wait() -> None:
        until = time.monotonic() + 5
        while time.monotonic() < until and not out.getvalue():
            time.sleep(0.01)
        early.append(len(out.getvalue()))

    plan = Plan(PLAN.rules, video=Video(codec="ffv1", window_seconds=0.0))
    with (
        engine() as ready,
        piped(data[: len(data) * 2 // 3 // 188 * 188], wait, data[len(data) * 2 // 3 // 188 * 188 :]) as live,
    ):
        ready.hide(live, StreamSink(out), plan)
    assert early[0] > 0


BROKEN = [
    (".mkv", "the header says how long the video is"),
    (".ts", "not a whole number of packets"),
    (".mp4", "the index says how many pictures there are"),
]


@pytest.mark.parametrize(("suffix", "reason"), [BROKEN[0], *exhaustive(BROKEN[1:])])
def test_a_stream_that_ends_inside_a_frame_is_reported(tmp_path: Path, suffix: str, reason: str) -> None:
    more = {"container": {"movflags": "+faststart"}} if suffix == ".mp4" else {}
    source = clip(tmp_path, suffix, frames=100, **more)
    part = source.read_bytes()[: source.stat().st_size * 2 // 3 // 188 * 188 + 100]
    with engine() as ready, piped(part) as live, pytest.raises(BadInput, match="damaged|shorter|broke off"):
        ready.hide(live, tmp_path / "out.mkv", PLAN)
    assert list(tmp_path.iterdir()) == [source], reason
    covering = Plan(PLAN.rules, video=Video(codec="ffv1", on_damage="cover"))
    with engine() as ready, piped(part) as live:
        report = ready.hide(live, tmp_path / "out.mkv", covering)
    assert 30 < report.frames < 100
    assert len(stamps(tmp_path / "out.mkv")) == report.frames
    assert any("shorter" in one or "broke off" in one or "black" in one for one in report.warnings)


def test_the_result_of_a_broken_stream_has_no_regular_end(tmp_path: Path) -> None:
    data = clip(tmp_path, frames=100).read_bytes()
    out = io.BytesIO()
    with engine() as ready, piped(data[: len(data) * 2 // 3]) as live, pytest.raises(BadInput):
        ready.hide(live, StreamSink(out, "mp4"), LOSSY)
    assert b"mfra" not in out.getvalue()  # the index that ends a fragmented MP4


@pytest.mark.parametrize("suffix", [".ts", ".mkv"])
def test_a_sender_that_stalls_is_given_up_after_its_time(tmp_path: Path, suffix: str) -> None:
    data = clip(tmp_path, suffix, frames=60, size=(320, 240)).read_bytes()
    with (
        engine() as ready, piped(data[: len(data) * 2 // 3], timeout=0.5, shut=False) as live,
        pytest.raises(BadInput, match="no data came for 0.5 s"),
    ):  # fmt: skip
        ready.hide(live, tmp_path / "out.mkv", PLAN)
    assert not (tmp_path / "out.mkv").exists()


def test_a_sender_that_never_sends_is_given_up_after_its_time(tmp_path: Path) -> None:
    with piped(timeout=0.3, shut=False) as live, pytest.raises(Unavailable, match="no data came"), engine() as ready:
        ready.hide(live, tmp_path / "out.mkv", PLAN)


@pytest.mark.parametrize(
    ("data", "says"), [(b"", "empty"), (b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n" * 99, "its format is unknown")]
)
def test_a_stream_without_video_is_refused(tmp_path: Path, data: bytes, says: str) -> None:
    with piped(data) as live, pytest.raises(BadInput, match=says), engine() as ready:
        ready.hide(live, tmp_path / "out.mkv", PLAN)


def test_stopping_finishes_the_frames_received_so_far(tmp_path: Path) -> None:
    data = clip(tmp_path, ".ts", frames=100, audio=("mp2",)).read_bytes()
    with engine() as ready, piped(data[: len(data) * 2 // 3], shut=False, timeout=20) as live:
        threading.Timer(0.5, live.stop).start()
        report = ready.hide(live, tmp_path / "out.mkv", PLAN)
    assert 5 < report.frames == len(stamps(tmp_path / "out.mkv")) < 100
    assert hidden(tmp_path / "out.mkv")
    assert f"the stream was stopped on request after {report.frames} frames" in report.warnings


@contextmanager
def sender(data: bytes, *, hold: threading.Event | None = None, pace: float = 0.0) -> Iterator[str]:
    """A loopback server that gives whoever comes the data, and hangs up, or holds on until told."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            client, _ = server.accept()
            with client:
                try:
                    for at in range(0, len(data), 18_800):
                        client.sendall(data[at : at + 18_800])
                        time.sleep(pace)
                    if hold:
                        hold.wait(10)
                except OSError:
                    pass  # the reader has had enough

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        finally:
            if hold:
                hold.set()
            thread.join()


def test_an_address_is_read_to_its_end(tmp_path: Path) -> None:
    source = clip(tmp_path, ".ts", audio=("mp2",))
    with engine() as ready, sender(source.read_bytes()) as address:
        report = ready.hide(address, tmp_path / "out.mkv", PLAN)
    assert (report.frames, report.input_sha256) == (12, None)
    assert stamps(tmp_path / "out.mkv") == [round(one / MILLI) * MILLI for one in stamps(source)]
    assert sounds(tmp_path / "out.mkv") == sounds(source)
    assert hidden(tmp_path / "out.mkv")


def test_a_camera_that_is_too_fast_loses_whole_frames_with_a_warning(tmp_path: Path) -> None:
    source = clip(tmp_path, ".ts", frames=150)
    with engine(slow=0.01) as ready, sender(source.read_bytes()) as address:
        report = ready.hide(address, tmp_path / "out.mkv", PLAN)
    (said,) = [one for one in report.warnings if "left out" in one]
    assert report.frames + int(said.split()[0]) == 150
    assert report.frames == len(stamps(tmp_path / "out.mkv")) < 150
    assert set(stamps(tmp_path / "out.mkv")) <= {round(one / MILLI) * MILLI for one in stamps(source)}
    assert hidden(tmp_path / "out.mkv")


def velum_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("velum")}


def test_a_camera_that_stalls_is_given_up_after_its_time(tmp_path: Path) -> None:
    before = velum_threads()
    data = clip(tmp_path, ".ts", frames=100).read_bytes()
    with (
        engine() as ready, sender(data, hold=threading.Event()) as address,
        pytest.raises(BadInput, match="no data came for 0.5 s"),
    ):  # fmt: skip
        ready.hide(LiveSource(address, timeout_seconds=0.5), tmp_path / "out.mkv", PLAN)
    assert not (tmp_path / "out.mkv").exists()
    assert not velum_threads() - before


def test_a_localizer_that_fails_stops_the_stream(tmp_path: Path) -> None:
    before = velum_threads()
    data = clip(tmp_path, ".ts", frames=100).read_bytes()
    failing = Engine(
        host=RuntimeConfig(localizers={"fake": lambda: FakeLocalizer(lambda frame: [[REGION]][frame.index])})
    )
    with (
        failing, sender(data, hold=threading.Event()) as address,
        pytest.raises(PluginFault, match="failed at frame .*IndexError"),
    ):  # fmt: skip
        failing.hide(LiveSource(address, 1.0), tmp_path / "out.mkv", PLAN)
    assert not (tmp_path / "out.mkv").exists()
    assert not velum_threads() - before


@pytest.mark.exhaustive
def test_a_datagram_stream_runs_until_it_is_stopped(tmp_path: Path) -> None:
    data = clip(tmp_path, ".ts", frames=100, audio=("mp2",)).read_bytes()
    null = b"\x47\x1f\xff\x10" + b"\xff" * 184
    with socket.socket(type=socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    live = LiveSource(f"udp://127.0.0.1:{port}", timeout_seconds=1.5)

    def send() -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as ours:
            ours.connect(("127.0.0.1", port))
            for _ in range(500):
                with suppress(ConnectionRefusedError):
                    if ours.send(null) and ours.send(null):  # the refusal of one comes with the next
                        break
                time.sleep(0.01)
            for at in range(0, len(data), 7 * 188):
                ours.send(data[at : at + 7 * 188])
                time.sleep(0.005)
        live.stop()

    thread = threading.Thread(target=send)
    thread.start()
    with engine() as ready:
        report = ready.hide(live, tmp_path / "out.mkv", PLAN)
    thread.join()
    assert 50 < report.frames == len(stamps(tmp_path / "out.mkv"))
    assert hidden(tmp_path / "out.mkv")


def test_an_address_where_nobody_listens_is_reported(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    for scheme in ("tcp", "rtsp", "rtsps"):
        address = f"{scheme}://user:secret@127.0.0.1:{free}/cam?key=secret"
        with engine() as ready, pytest.raises(Unavailable, match="cannot reach") as caught:
            ready.hide(LiveSource(address, 2.0), tmp_path / "out.mkv", PLAN)
        assert "secret" not in str(caught.value)
    with engine() as ready, pytest.raises(Unavailable, match="/dev/video99"):
        ready.hide("/dev/video99", tmp_path / "out.mkv", PLAN)


SDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=cam\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\na=control:track\r\n"
REPLIES = {
    "DESCRIBE": f"Content-Type: application/sdp\r\nContent-Length: {len(SDP)}\r\n\r\n{SDP}",
    "SETUP": "Session: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n",
    "OPTIONS": "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n\r\n",
}


@contextmanager
def camera(data: bytes) -> Iterator[str]:
    """A loopback RTSP server (RFC 2326) that sends a transport stream as RTP (RFC 2250) on the same connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            client, _ = server.accept()
            with client, client.makefile("rb") as lines, suppress(OSError):
                while head := b"".join(iter(lines.readline, b"\r\n")).decode():
                    verb = head.split()[0]
                    number = head.lower().partition("cseq:")[2].split()[0]
                    reply = REPLIES.get(verb, "Session: 1\r\n\r\n")
                    client.sendall(f"RTSP/1.0 200 OK\r\nCSeq: {number}\r\n{reply}".encode())
                    if verb == "PLAY":
                        send(client)
                        return

        def send(client: socket.socket) -> None:
            for count, at in enumerate(range(0, len(data), 7 * 188)):
                part = data[at : at + 7 * 188]
                rtp = b"\x80\x21" + count.to_bytes(2) + (3600 * count).to_bytes(4) + b"\0\0\0\x01" + part
                client.sendall(b"$\0" + len(rtp).to_bytes(2) + rtp)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"rtsp://user:secret@127.0.0.1:{server.getsockname()[1]}/cam"
        finally:
            thread.join()


def test_a_camera_is_read_by_rtsp(tmp_path: Path) -> None:
    source = clip(tmp_path, ".ts", frames=50, audio=("mp2",))
    with engine() as ready, camera(source.read_bytes()) as address:
        report = ready.hide(LiveSource(address, 3.0), tmp_path / "out.mkv", PLAN)
    assert "secret" not in str(report.to_json())
    assert 40 <= report.frames == len(stamps(tmp_path / "out.mkv"))
    assert hidden(tmp_path / "out.mkv")


def test_an_rtsp_server_that_never_answers_is_given_up_after_its_time(tmp_path: Path) -> None:
    with sender(b"", hold=threading.Event()) as address, engine() as ready:
        live = LiveSource(address.replace("tcp:", "rtsp:") + "/cam", timeout_seconds=0.5)
        with pytest.raises(Unavailable, match="no data came within 0.5 s"):
            ready.hide(live, tmp_path / "out.mkv", PLAN)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("http://camera/stream.mjpg", "could be redirected, and a playlist would open other files"),
        ("file:///etc/passwd", "no stream"),
        ("concat://a|b", "opens other files"),
        ("rtsp://", "no host"),
        ("tcp://host:port", "a port that is no number"),
        ("rtsp://host/a\nb", "control characters"),
    ],
)
def test_addresses_of_unsupported_kinds_are_refused(address: str, reason: str) -> None:
    with pytest.raises(BadInput, match="allowed are addresses"):
        source_of(address)


def test_stream_addresses_are_told_apart_from_files() -> None:
    assert isinstance(source_of("-"), LiveSource)
    assert source_of(Path("-")) == Path("-")
    assert source_of("clip.mp4") == Path("clip.mp4")
    assert source_of("/dev/video0") == LiveSource("/dev/video0")
    assert str(source_of("udp://:1234")) == "udp://:1234"
    assert str(LiveSource("rtsp://me:p@ss/word@host:554/cam?key=1#x")) == "rtsp://host:554/cam"
    assert "word" not in repr(LiveSource("rtsp://me:word@host/cam"))


def refused(plan: Plan, target: Path | StreamSink, folder: Path) -> Report:
    with engine() as ready, piped(clip(folder).read_bytes()) as live:
        return ready.hide(live, target, plan)


def test_options_that_a_stream_cannot_have_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadPlan, match="comes once"):
        refused(Plan(PLAN.rules, video=Video(two_pass=True)), tmp_path / "out.mkv", tmp_path)
    with pytest.raises(BadPlan, match="allowed are mkv, mp4, ts, webm"):
        StreamSink(io.BytesIO(), "avi")
    data = clip(tmp_path, frames=60, size=(480, 360)).read_bytes()
    with engine(limits=Limits(bytes=len(data) - 5000)) as ready, piped(data) as live, pytest.raises(LimitExceeded):
        ready.hide(live, tmp_path / "out.mkv", PLAN)


def test_a_receiver_that_disconnects_ends_the_run(tmp_path: Path) -> None:
    class Gone(io.BytesIO):
        def write(self, data: object) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    with pytest.raises(OutputFailed, match="Broken pipe; what was sent before is hidden"):
        refused(PLAN, StreamSink(Gone()), tmp_path)
