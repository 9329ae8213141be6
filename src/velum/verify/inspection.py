"""What a stranger would learn from a file: people, text, codes, sound, metadata, and pictures that nobody sees."""

import glob
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from velum import html_page, media
from velum.atomic import publish
from velum.errors import Unavailable
from velum.plan import Plan, Rule, Video
from velum.spec import PartSpec
from velum.track.float_boxes import FloatBox, iou
from velum.verify.leak_check import Check, Progress
from velum.verify.result import Kind, Leak

Grade = Literal["identifies", "hints", "nothing found"]
"""`identifies`: people, plates, codes, identifying text, coordinates or hidden pictures; `hints`: other metadata, sound
or subtitles."""

HIDE = PartSpec("blacken")
RULES = (
    Rule("face", PartSpec("centerface"), HIDE),
    # With an option, nothing else takes the model's place where its weights are missing.
    Rule("license_plate", PartSpec("lpd-yunet", {"threshold": 0.7}), HIDE),
    Rule("code", PartSpec("codes"), HIDE),
    Rule("text", PartSpec("text", {"match": "email|iban|phone|plate|card|mrz|secret|gps"}), HIDE),
)
NAMES = {
    "face": "faces", "license_plate": "license plates", "code": "codes", "text": "personal text",
    "place": "coordinates", "picture": "more pictures", "metadata": "metadata", "audio": "sound",
    "subtitles": "subtitles", "stream": "other tracks", "rest": "spare bytes",
}  # fmt: skip
"""What a subject of findings is called for readers."""

MEANING: Mapping[Grade, str] = {
    "identifies": "a stranger can find out who or where this is",
    "hints": "nobody is shown, but it tells more than the picture",
    "nothing found": "that is no proof that there is nothing",
}

CONTAINER_NOTE = "only pictures, videos, sound and metadata in it are searched, not its own text nor other files in it"
PDF_NOTE = "only its pictures, its own text and its metadata are searched, not other files in it"

_HINTS: frozenset[Kind] = frozenset({"metadata", "audio", "subtitles"})
_SAME_OBJECT = 0.3
"""IoU from which the boxes of two detectors are of one object."""
_MOST_DETAILS = 100
_PART = ": it is "
"""Stands between the name of a member that velum cannot read and what it is."""
_PREFIX = re.compile(r"(?:the file still contains|it is|it holds) ")


@dataclass(frozen=True, slots=True)
class Finding:
    """One sort of thing that a stranger sees.

    `subject` is a label such as `face`, or the kind of a leak such as `metadata`. `most` is the largest number of
    objects in one frame, `frames` the number of frames that show any; both are 0 for what belongs to the whole file,
    such as the text of a PDF.
    """

    subject: str
    most: int
    frames: int
    details: tuple[str, ...]

    def lines(self, frames: int) -> tuple[str, ...]:
        """Return how many objects a file of so many frames shows, in words, and what belongs to the whole file."""
        if not self.most:
            return self.details
        amount = f"up to {self.most} in one frame, any in {self.frames} of {frames} frames"
        return (str(self.most) if frames == 1 else amount, *self.details)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {"subject": self.subject, "most": self.most, "frames": self.frames, "details": list(self.details)}


@dataclass(frozen=True, slots=True)
class Inspection:
    """All findings of one file, and the plan that would hide them."""

    file: str
    sha256: str | None
    frames: int
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    audio: Literal["drop", "silence"] = "drop"
    """How sound is hidden: a sound file has nothing else, and is silenced."""
    unreadable: tuple[str, ...] = ()
    """Names of members that velum cannot read, and so refuses unless a plan leaves them out."""

    @property
    def grade(self) -> Grade:
        """How much a stranger learns."""
        subjects = {finding.subject for finding in self.findings}
        return "nothing found" if not subjects else "hints" if subjects <= _HINTS else "identifies"

    @property
    def plan(self) -> Plan:
        """A plan that hides what was found. Metadata, previews and spare bytes go with every plan."""
        subjects = {finding.subject for finding in self.findings}
        rules = tuple(rule for rule in RULES if rule.label in subjects)
        hides_sound = "audio" in subjects or self.audio == "silence"
        video = Video(
            audio=self.audio if hides_sound else "copy", subtitles="drop" if "subtitles" in subjects else "copy"
        )
        plan = Plan(rules, video=video) if rules else Plan(video=video)
        return replace(plan, drop_members=tuple(map(glob.escape, self.unreadable)))

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            "format": "velum-inspection/1", "file": self.file, "sha256": self.sha256, "frames": self.frames,
            "grade": self.grade, "findings": [finding.to_json() for finding in self.findings],
            "plan": self.plan.to_json(), "notes": list(self.notes),
        }  # fmt: skip


def inspect(check: Check, file: Path, progress: Progress | None = None) -> Inspection:
    """Search `file` for all that could identify somebody; nothing is changed. Raises any `VelumError`.

    What cannot be searched for on this machine, because weights or a package are missing, is a note.
    """
    check = replace(check, unhidden=True)
    rules, notes = [], []
    for rule in RULES:
        try:
            check.engine.check(Plan((rule,)))
        except Unavailable as error:
            notes.append(f"no search for {rule.label}: {error}")
        else:
            rules.append(rule)
    audio: Literal["drop", "silence"] = "silence" if media.sound_format_of(file) else "drop"
    video = Video(audio=audio, subtitles="drop")
    result = check(file, Plan(tuple(rules), video=video) if rules else Plan(video=video), progress=progress)
    unreadable: tuple[str, ...] = ()
    if container := media.archive.container_of(file):
        notes.append(f"{file.name}: {PDF_NOTE if container == 'PDF' else CONTAINER_NOTE}")
        unreadable = tuple(
            name for leak in result.leaks if leak.kind == "rest"
            for name, part, _ in (leak.message.partition(_PART),) if part
        )  # fmt: skip
    return Inspection(
        result.file, result.sha256, result.frames, tuple(_findings(result.leaks)), tuple(notes), audio, unreadable
    )


def write_page(target: Path, inspections: Sequence[Inspection], *, overwrite: bool) -> None:
    """Write an HTML page with the findings of several files. Raises `OutputFailed`."""
    parts = ["<h1>What a stranger sees</h1>"]
    for inspection in inspections:
        tone = "good" if inspection.grade == "nothing found" else "bad"
        rows = {
            NAMES.get(finding.subject, finding.subject): html_page.bullet_list(lines)
            if len(lines := finding.lines(inspection.frames)) > 1 or not finding.most
            else html_page.text(lines[0])
            for finding in inspection.findings
        }
        parts += [
            f"<h2>{html_page.text(inspection.file)}</h2>",
            f'<p class="standing {tone}">{html_page.text(inspection.grade)}</p>',
            f"<p>{html_page.text(MEANING[inspection.grade].capitalize())}.</p>",
            html_page.table(rows),
            f"<p>A plan that hides it:</p><pre>{html_page.text(inspection.plan.to_toml())}</pre>" if rows else "",
        ]
    notes = dict.fromkeys(note for inspection in inspections for note in inspection.notes)
    parts += [html_page.bullet_list(notes)] if notes else []
    with publish(target, overwrite=overwrite) as part:
        part.write_text(html_page.document("What a stranger sees", "", parts), encoding="utf-8")


def _findings(leaks: Iterable[Leak]) -> Iterable[Finding]:
    """Yield findings of people first, then of what belongs to the whole file."""
    boxes: dict[str, dict[int, list[FloatBox]]] = defaultdict(lambda: defaultdict(list))
    details: dict[str, Counter[str]] = defaultdict(Counter)
    for leak in leaks:
        if leak.kind == "seen" and leak.label and leak.box and leak.frame is not None:
            known = boxes[leak.label][leak.frame]
            if all(iou(box, leak.box.xyxy) < _SAME_OBJECT for box in known):
                known.append(leak.box.xyxy)
        else:
            subject = (leak.kind == "seen" and leak.label) or leak.kind
            details[subject][_PREFIX.sub("", leak.message).replace("should be silent but is not", "is heard")] += 1
    for label, frames in boxes.items():
        yield Finding(label, max(map(len, frames.values())), len(frames), tuple(details.pop(label, ()))[:_MOST_DETAILS])
    for kind, messages in details.items():
        yield Finding(kind, 0, 0, tuple(messages)[:_MOST_DETAILS])
