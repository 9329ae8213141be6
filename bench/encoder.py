"""Size, quality and time of encoder settings on labelled clips: how the defaults of docs/formats.md were chosen.

    python -m bench.encoder --media ../shared/media [--codec h264] [--settings veryfast:22 default default:like-source]

Of each clip, the first five seconds are copied, the default plan's regions located once, and every frame is hidden once
and kept in memory. Then each setting writes the frames by velum's own writer. Size is that of the packets of video,
over those of the source; PSNR is that of luma outside of what was hidden, of the mean error of all frames; time is
processor time of the process while it writes, a frame. Where the codec is not the source's, so is none of the ratios.
"""

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import av
import numpy as np

from velum import Engine, Plan, media
from velum.annotations import Annotations
from velum.engine.apply import outline
from velum.engine.prepare import PreparedPlan
from velum.engine.stages import RunStats, hide, use_annotations
from velum.frame import Frame
from velum.limits import Limits
from velum.plan import Video
from velum.region import Mask

SECONDS = 5.0
CLIPS = (
    "cars_from_above_audio.mp4", "chaplin_bw_audio.mp4", "crowd_night.mp4", "face_gesture.mkv", "face_hevc.mp4",
    "face_rotate90_audio.mp4", "face_vp9_opus.webm", "highway_dashcam.mp4", "makeup_closeup_audio.avi",
    "negative_bottle.mp4", "rotated_phone_wall_audio.mov", "two_faces_fisheye_audio.mp4",
)  # fmt: skip
SETTINGS = {
    "h264": [
        "default", "default:like-source",
        *(f"{preset}:{crf}" for preset in ("ultrafast", "superfast", "veryfast") for crf in (18, 20, 22, 24)),
    ],
    "hevc": [f"{preset}:{crf}" for preset in ("ultrafast", "superfast") for crf in (20, 22, 24, 26)],
    "vp9": [f"{preset}:{crf}" for preset in ("6", "8") for crf in (24, 28, 32)],
    "av1": [f"{preset}:{crf}" for preset in ("10", "12") for crf in (20, 26, 32)],
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class HiddenClip:
    """A clip in memory: its frames as they are written, and by frame what is hidden and the luma of the source."""

    name: str
    reader: media.Reader
    frames: list[Frame]
    masks: list[Mask]
    luma: list[Any]
    source_bytes: int


def main() -> None:
    """Print one row for each clip and setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, required=True)
    parser.add_argument("--codec", default="h264")
    parser.add_argument("--settings", nargs="*")
    parser.add_argument("--clips", nargs="*", default=list(CLIPS))
    chosen = parser.parse_args()
    settings = chosen.settings or SETTINGS[chosen.codec]
    print("| clip | preset:crf | size / source | PSNR, dB | CPU ms a frame |\n" + "|---" * 5 + "|")
    with TemporaryDirectory() as folder, Engine() as engine:
        for name in chosen.clips:
            cut = cut_clip(chosen.media / "video" / name, Path(folder))
            with hidden_clip(engine, cut) as clip:
                for setting in settings:
                    plan = Plan(video=video_of(chosen.codec, setting))
                    size, quality, cpu = measure(clip, Path(folder), plan)
                    print(f"| {name} | {setting} | {size:.2f} | {quality:.2f} | {cpu:.1f} |", flush=True)


def video_of(codec: str, setting: str) -> Video:
    """Return what a setting stands for: `preset:crf` or `default`, and `:like-source` after it."""
    words = setting.removesuffix(":like-source").split(":")
    size: Literal["like-source"] | None = "like-source" if setting.endswith(":like-source") else None
    return Video(codec, size=size) if words == ["default"] else Video(codec, int(words[1]), words[0], size)


def cut_clip(clip: Path, folder: Path) -> Path:
    """Copy the packets of the first seconds of a clip's video, and return the file."""
    cut = folder / f"cut-{clip.name}"
    with av.open(str(clip)) as source, av.open(str(cut), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.pts is None or packet.pts * packet.time_base >= SECONDS:
                continue
            packet.stream = copy
            target.mux(packet)
    return cut


def video_bytes(clip: Path) -> int:
    """Return how many bytes the packets of a clip's video have."""
    with av.open(str(clip)) as container:
        return sum(packet.size for packet in container.demux(container.streams.video[0]))


@contextmanager
def hidden_clip(engine: Engine, cut: Path) -> Iterator[HiddenClip]:
    """Open a clip, and hide what the default plan finds in it."""
    plan = Plan()
    found = engine.locate(cut, plan)
    with media.open_source(cut, Limits()) as reader:
        luma: list[Any] = []

        def noted() -> Iterator[Frame]:
            for frame in reader.frames():
                luma.append(frame.planes[0].pixels.astype(np.float32))
                yield frame

        work = engine.check(plan, regions=found)
        located = use_annotations(noted(), work, found, Limits())
        frames = list(hide(located, work, RunStats()))
        masks = [mask_of(frame, work, found) for frame in frames]
        yield HiddenClip(cut.name, reader, frames, masks, luma, video_bytes(cut))


def mask_of(frame: Frame, work: PreparedPlan, found: Annotations) -> Mask:
    """Return what is hidden in a frame, as it is stored."""
    mask = np.zeros((found.height, found.width), bool)
    for region in found.frames.get(frame.index, ()):
        area = outline(region, work.plan.rules[0], found.width, found.height)
        if area is not None:
            mask[area.box.slices] = True
    return frame.orientation.stored_mask(mask)


def measure(clip: HiddenClip, folder: Path, plan: Plan) -> tuple[float, float, float]:
    """Return the size over the source's, PSNR in dB, and milliseconds of processor time a frame, of one setting."""
    target = folder / "out.mkv"
    begun = time.process_time()
    with media.open_sink(target, clip.reader, plan, overwrite=True) as writer:
        for frame in clip.frames:
            writer.write(frame)
    cpu = time.process_time() - begun
    errors: list[float] = []
    with av.open(str(target)) as container:
        for decoded, mask, before in zip(container.decode(video=0), clip.masks, clip.luma, strict=True):
            after = luma_of(decoded)
            shown = ~mask
            errors.append(float(((before - after) ** 2)[shown].mean()) if shown.any() else 0.0)
    psnr = 10 * np.log10(255**2 / max(float(np.mean(errors)), 1e-9))
    return video_bytes(target) / clip.source_bytes, float(psnr), 1000 * cpu / len(clip.frames)


def luma_of(frame: av.VideoFrame) -> Any:
    """Return the luma of a decoded frame, as it is stored."""
    plane: Any = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width].astype(np.float32)


if __name__ == "__main__":
    main()
