"""Reads live streams: in one pass, until the stream ends, fails or is stopped."""

import threading
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import replace
from types import TracebackType
from typing import Self

from velum.limits import Limits
from velum.media.sources import LiveSource
from velum.media.video.decode_pass import DecodePass
from velum.media.video.info import VideoInfo
from velum.media.video.live_input import LiveInput
from velum.media.video.pixel_formats import VideoFrame
from velum.media.video.reader import open_video
from velum.report import say_count

MAX_LAG_SECONDS = 2
"""Seconds that processing may lag behind a camera before frames are dropped."""

MAX_QUEUE_BYTES = 64 << 20
"""Memory for frames of a camera that wait to be processed."""

MIN_QUEUE_FRAMES = 8


class LiveReader:
    """Reads one live stream. Use it in a `with` block; `frames()` can be called once."""

    def __init__(self, live: LiveSource, limits: Limits, *, cover_damage: bool = False) -> None:
        self._live, self._file = live, LiveInput(live, limits)
        self._waiting: DropOldestQueue | None = None
        video = open_video(self._file, limits, cover_damage=cover_damage)
        self.source = replace(video, info=_with_compressed_codec(video.info))

    @property
    def info(self) -> VideoInfo:
        """Size, frame rate and format of the stream."""
        return self.source.info

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._waiting:
            self._waiting.leave()
        self._file.close()

    @property
    def sha256(self) -> str | None:
        """SHA-256 of a pipe's bytes, once it is read to its end; None before, and for cameras and addresses."""
        return self._file.sha256 if self.source.state.finished else None

    def frames(self) -> Iterator[VideoFrame]:
        """Yield the frames as they arrive, until the stream ends or is stopped.

        When a camera is faster than its reader, the oldest waiting frames are dropped, and the report counts them.
        Raises as `VideoReader.frames` does, and `BadInput` when no data comes within the time-out.
        """
        frames = DecodePass(self.source).frames()
        yield from frames if self._live.waits else self._newest(frames)
        if self._live.stopped.is_set():
            state = self.source.state
            state.warnings.append(
                f"the stream was stopped on request after {say_count(state.frames, 'frame', 'frames')}"
            )

    def _newest(self, frames: "Generator[VideoFrame]") -> Iterator[VideoFrame]:
        coding, state, index = self.info.coding, self.source.state, -1
        size = coding.stored_width * coding.stored_height * len(coding.layout.roles)
        most = min(round(MAX_LAG_SECONDS * self.info.fps), MAX_QUEUE_BYTES // size)
        waiting = self._waiting = DropOldestQueue(frames, max(MIN_QUEUE_FRAMES, most))
        try:
            for index, frame in enumerate(waiting):
                yield replace(frame, index=index)
        finally:
            waiting.leave()
        state.frames = index + 1
        if waiting.dropped:
            state.warnings.append(
                f"{say_count(waiting.dropped, 'frame was', 'frames were')} left out, because the source sends frames "
                "faster than velum processes them; locate in fewer frames (every), or choose a faster preset"
            )


def _with_compressed_codec(info: VideoInfo) -> VideoInfo:
    """Return the info with H.264 for a camera that sends raw video: a raw result would fill any disk."""
    if info.format != "DEVICE" or info.coding.codec != "rawvideo":
        return info
    return replace(info, coding=replace(info.coding, codec="h264"))


class DropOldestQueue:
    """A bounded queue that a thread fills with frames as they arrive; when it is full, the oldest frame is dropped."""

    def __init__(self, frames: "Generator[VideoFrame]", most: int) -> None:
        self._frames, self._most, self.dropped = frames, most, 0
        self._held: deque[VideoFrame] = deque()
        self._changed = threading.Condition()
        self._left = self._ended = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="velum-live", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[VideoFrame]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._held or self._ended)
                if not self._held:
                    if self._failure is not None:
                        raise self._failure
                    return
                frame = self._held.popleft()
            yield frame

    def leave(self) -> None:
        """Stop the thread and wait for its end; frames that wait are dropped."""
        with self._changed:
            self._left = True
            self._held.clear()
        self._thread.join()

    def _work(self) -> None:
        failure: BaseException | None = None
        try:
            for frame in self._frames:
                if not self._put(frame):
                    break
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that reads
            failure = error
        finally:
            self._frames.close()
        with self._changed:
            self._ended, self._failure = True, failure
            self._changed.notify_all()

    def _put(self, frame: VideoFrame) -> bool:
        with self._changed:
            if len(self._held) >= self._most:
                self._held.popleft()
                self.dropped += 1
            self._held.append(frame)
            self._changed.notify_all()
            return not self._left
