"""How many outputs that were spoiled on purpose `velum check` catches, and how many good ones it flags.

Sources are the labelled photographs of people and of text, and short clips of faces, hidden by each technique. What is
spoiled: a thumbnail left, a place (GPS) left, one region left out, all regions shifted, a degree that is too weak; in
clips one frame uncovered, and sound left.
"""

import argparse
import io
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
from PIL import Image

from velum import Engine, Limits, Plan, VelumError
from velum.annotations import Annotations
from velum.errors import BadPlan
from velum.plan import Video
from velum.plugins import RuntimeConfig
from velum.region import Region
from velum.spec import PartSpec
from velum.verify.leak_check import Check
from velum.verify.result import CheckResult

TECHNIQUES = ("blacken", "pixelate", "blur")
WEAK = {"blacken": "blacken(degree=0.4)", "pixelate": "pixelate(degree=0.01)", "blur": "blur(degree=0.01)"}
CLIPS = ("face_gesture.mkv", "face_rotate90_audio.mp4", "face_hevc.mp4", "chaplin_bw_audio.mp4")
FRAMES = 24
OTHERWISE = (".png", ".webp")
"""Formats in which good outputs are checked, besides that of the source."""


class Bench:
    """One engine, and a folder to work in."""

    def __init__(self, folder: Path, engine: Engine, host: RuntimeConfig) -> None:
        self.folder, self.engine = folder, engine
        self.check = Check(engine, host, Limits())
        self.good: Counter[bool] = Counter()
        self.caught: dict[str, Counter[bool]] = {}

    def note(self, kind: str | None, name: str, checked: CheckResult) -> None:
        """Count what came of a file, spoiled in that way or good, and say what went wrong."""
        (self.good if kind is None else self.caught.setdefault(kind, Counter()))[not checked.is_clean] += 1
        if checked.is_clean == (kind is not None):
            print(f"- {name}, {kind or 'good'}: {[leak.to_json() for leak in checked.leaks[:2]]}", flush=True)

    def hidden(
        self, source: Path, plan: Plan, regions: Annotations | None = None, suffix: str = ""
    ) -> tuple[Path, Annotations]:  # fmt: skip
        """Return the file in which was hidden, and what."""
        target = self.folder / f"out{suffix or source.suffix}"
        found: dict[int, tuple[Region, ...]] = {}
        report = self.engine.hide(
            source, target, plan, regions=regions, overwrite=True, on_regions=found.__setitem__
        )  # fmt: skip
        return target, Annotations(report.width, report.height, found)

    def photo(self, source: Path, technique: str) -> None:
        """Check one photograph, good and spoiled."""
        rule = "text: text" if source.parent.name == "text" else "face: centerface"
        plan = Plan.of(f"{rule} -> {technique}")
        out, found = self.hidden(source, plan)
        self.note(None, source.name, self.check(out, plan, against=source, regions=found))
        for suffix in OTHERWISE:
            with suppress(BadPlan):  # where that format cannot hold what the source has
                other = self.hidden(source, plan, found, suffix)[0]
                self.note(None, f"{source.name} as {suffix}", self.check(other, plan, against=source, regions=found))
        regions = found.frames.get(0, ())
        surest = max(regions, key=lambda one: one.score, default=None)
        if surest is None or surest.score < 0.7 or min(surest.box.width, surest.box.height) < 24:
            return
        for kind, file in self._spoiled(source, out, plan, found, surest, technique):
            self.note(kind, source.name, self.check(file, plan, against=source, regions=found))

    def _spoiled(
        self, source: Path, out: Path, plan: Plan, found: Annotations, surest: Region, technique: str
    ) -> Iterator[tuple[str, Path]]:
        if out.suffix in {".jpg", ".jpeg"}:
            yield "thumbnail left", self._with_thumbnail(source, out)
            yield "place left", self._with_place(out)
        regions = found.frames[0]
        rest = tuple(one for one in regions if one is not surest)
        yield "region left out", self.hidden(source, plan, replace(found, frames={0: rest}))[0]
        far = surest.box.width * 2
        moved = tuple(
            replace(one, box=box, mask=one.mask if box.width == one.box.width else None)
            for one in regions
            if (box := one.box.move(far, 0).clip(found.width, found.height))
        )
        yield "regions shifted", self.hidden(source, plan, replace(found, frames={0: moved}))[0]
        weak = Plan(tuple(replace(rule, hide=PartSpec.parse(WEAK[technique])) for rule in plan.rules))
        yield "degree too weak", self.hidden(source, weak, found)[0]

    def _with_thumbnail(self, source: Path, out: Path) -> Path:
        small = io.BytesIO()
        with Image.open(source) as image:
            image.convert("RGB").resize((160, 120)).save(small, "JPEG")
        spoiled = self.folder / "spoiled.jpg"
        data = out.read_bytes()
        thumbnail = b"EVIL" + small.getvalue()
        block = b"\xff\xee" + (len(thumbnail) + 2).to_bytes(2) + thumbnail
        spoiled.write_bytes(data[:2] + block + data[2:])
        return spoiled

    def _with_place(self, out: Path) -> Path:
        spoiled = self.folder / "spoiled.jpg"
        exif = Image.Exif()
        exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 0.0), 3: "E", 4: (11.0, 34.0, 0.0)})
        with Image.open(out) as image:
            image.save(spoiled, "JPEG", quality="keep", exif=exif)
        return spoiled

    def clip(self, source: Path, technique: str) -> None:
        """Check one clip, good and spoiled."""
        plan = Plan.of(f"face: centerface -> {technique}", video=Video(audio="drop"))
        out, found = self.hidden(source, plan)
        kept = self.folder / f"kept{out.suffix}"
        shutil.copy(out, kept)
        self.note(None, source.name, self.check(kept, plan, against=source, regions=found))
        frames = [index for index, regions in found.frames.items() if regions]
        if not frames:
            return
        middle = frames[len(frames) // 2]
        spoiled = self.hidden(source, plan, replace(found, frames={**found.frames, middle: ()}))[0]
        self.note("one frame uncovered", source.name, self.check(spoiled, plan, against=source, regions=found))
        with_sound = self.hidden(source, replace(plan, video=Video(audio="copy")), found)[0]
        with av.open(str(with_sound)) as container:
            has_sound = bool(container.streams.audio)
        if has_sound:
            self.note("sound left", source.name, self.check(with_sound, plan, against=source, regions=found))


def write_start(source: Path, target: Path) -> Path:
    """Write the first frames of a clip, coded anew and well, with as much of its sound."""
    with av.open(str(source)) as container, av.open(str(target), "w") as output:
        stream = container.streams.video[0]
        pictures = output.add_stream("libx264", stream.average_rate, options={"crf": "16", "preset": "veryfast"})
        pictures.width, pictures.height, pictures.pix_fmt = stream.width, stream.height, "yuv420p"
        sounds = [output.add_stream_from_template(one) for one in container.streams.audio[:1]]
        end = None
        for number, frame in enumerate(container.decode(stream)):
            if number >= FRAMES:
                break
            output.mux(pictures.encode(frame.reformat(format="yuv420p")))
            end = frame.time
        output.mux(pictures.encode(None))
        container.seek(0)
        for packet in container.demux(container.streams.audio[:1]) if sounds else ():
            if packet.dts is None or float(packet.dts * (packet.time_base or 0)) > (end or 0):
                break
            packet.stream = sounds[0]
            output.mux(packet)
    return target


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--clips", action="store_true", help="clips alone")
    parser.add_argument("--folders", nargs="*", default=["faces", "street", "odd", "text"])
    parser.add_argument("--media", type=Path, default=Path(__file__).parents[2] / "shared" / "media")
    arguments = parser.parse_args()
    media = arguments.media
    truth = json.loads((media / "ground_truth.json").read_text())
    photos = [media / name for name in sorted(truth) if name.split("/")[0] in arguments.folders]
    photos = [] if arguments.clips else photos
    host = RuntimeConfig()
    with TemporaryDirectory() as name, Engine(host=host) as engine:
        bench = Bench(Path(name), engine, host)
        for number, photo in enumerate(photos):
            try:
                with Image.open(photo) as image:
                    if np.prod(image.size) > 8e6:
                        continue
                bench.photo(photo, TECHNIQUES[number % len(TECHNIQUES)])
            except (VelumError, OSError, Image.DecompressionBombWarning) as error:
                print(f"- {photo.name} is left out: {str(error)[:90]}")
        for clip in CLIPS if arguments.clips or len(arguments.folders) > 1 else ():
            for technique in TECHNIQUES:
                bench.clip(write_start(media / "video" / clip, Path(name) / "cut.mkv"), technique)
    print("\n| outputs | files | flagged |\n|---|--:|--:|")
    print(f"| good | {bench.good.total()} | {bench.good[True]} |")
    for kind, counts in bench.caught.items():
        print(f"| {kind} | {counts.total()} | {counts[True]} |")
    spoiled = sum(counts.total() for counts in bench.caught.values())
    print(f"| spoiled, all | {spoiled} | {sum(counts[True] for counts in bench.caught.values())} |")


if __name__ == "__main__":
    main()
