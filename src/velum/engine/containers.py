"""Hides in archives and documents: each image and video in them takes the engine's path.

Other members are copied, edited or left out, each as its content and the plan say.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from velum import __version__, media
from velum.annotations import Annotations
from velum.atomic import folder_next_to, keep_original, publish
from velum.engine.document_text import hide_document_text
from velum.engine.member_messages import add_member, name_members, refuse_missing_topics, warn_of_members
from velum.engine.stages import NOTHING_FOUND, OnRegions, Progress
from velum.engine.verify_output import Verdict, leak_message
from velum.errors import BadInput, LimitExceeded, NotHidden, VelumError, names_for_places
from velum.file_hash import sha256_of
from velum.limits import Limits
from velum.media import archive
from velum.media.archive import ContainerWriter, Content, MediaContainer, Member
from velum.media.archive.office import Document, external_pictures, is_relations
from velum.plan import Plan
from velum.region import Region
from velum.report import Report

MOST_EDITED_BYTES = 256 << 20
"""Largest XML member from which metadata is removed, and largest text in which images are searched for, in bytes."""

PAGES_ARE_PICTURES = (
    "each page is a picture now, also where nothing was hidden: its text can no longer be selected or searched, and "
    "links, forms, comments, attached files, signatures and properties are gone"
)

Hide = Callable[..., Report]
"""The engine's path for one image or video: `hide(source, target, plan, overwrite=, progress=, on_regions=)`."""

Check = Callable[..., Verdict]
"""Checks a finished container: `check(file, plan, against=, regions=)`, with the hidden regions by member."""


@dataclass(frozen=True, slots=True)
class ContainerJob:
    """A container to hide in: its source, format, target and plan, and the callbacks for progress and regions."""

    source: Path
    format: str
    target: Path
    plan: Plan
    overwrite: bool = False
    progress: Progress | None = None
    on_regions: OnRegions | None = None

    def __post_init__(self) -> None:
        archive.refuse_target(self.target, self.source, self.format)


def hide_container(job: ContainerJob, hide: Hide, check: Check | None, limits: Limits) -> Report:
    """Hide in all images and videos of a container, publish the result and return the report.

    With `check`, the finished container is checked before it is published; raises `NotHidden` when the check finds a
    leak. Raises any `VelumError`, with the member's name. After an error, nothing is published.
    """
    keep_original(job.target, job.source)
    with publish(job.target, overwrite=job.overwrite) as part, folder_next_to(job.target) as scratch:
        run = _ContainerRun(job, hide, limits, scratch, archive.Budget(limits))
        with names_for_places(part, str(job.target)):
            run.rewrite(job.source, job.format, part, str(job.source), depth=1)
        report = run.report(sha256_of(job.source), sha256_of(part))
        if check is not None:
            verdict = check(part, job.plan, against=job.source, regions=run.regions)
            if verdict.leaks:
                raise NotHidden(leak_message(job.target, verdict))
            result: Mapping[str, Any] = verdict.to_json() | {"file": str(job.target)}
            report = replace(report, check=result)
    return report


@dataclass(slots=True)
class _ContainerRun:
    """One run over a container and the containers in it, and its state: reports, regions and warnings so far."""

    job: ContainerJob
    hide: Hide
    limits: Limits
    scratch: Path
    budget: archive.Budget
    members: list[dict[str, Any]] = field(default_factory=list)
    reports: list[tuple[str, int, Report]] = field(default_factory=list)
    """Name of the member, number of its first frame, and report, for each image and video."""
    regions: dict[str, Annotations] = field(default_factory=dict)
    """Hidden regions of each image and video, by the member's name, for the check."""
    notes: list[tuple[str, str]] = field(default_factory=list)
    """Name of the member and text of each warning; the name is empty for the whole container."""
    frames: int = 0

    def rewrite(self, source: Path, format: str, target: Path, name: str, *, depth: int, prefix: str = "") -> None:
        """Write the container `source` to `target`: each member is hidden, edited, copied or left out."""
        self.budget.check_depth(depth, name)
        metadata = frozenset(self.job.plan.metadata)
        recover = self.job.plan.video.on_damage == "cover"
        dpi = self.job.plan.render_dpi
        with archive.open_container(
            source, format, self.budget, name, metadata, recover=recover, render_dpi=dpi
        ) as container:
            document = Document(format, container.names, metadata)
            self._begin(document, container, prefix)
            with container.writer(target, metadata) as writer:
                for member in container.members():
                    self._write_member(container, writer, document, member, depth, prefix)

    def report(self, input_sha256: str, output_sha256: str) -> Report:
        """Return the report of the whole container; frames are numbered across all members, in their order."""
        hidden, tracks, track_base = [], [], 0
        seconds: Counter[str] = Counter()
        for _, first, report in self.reports:
            hidden += [replace(region, frame=region.frame + first) for region in report.hidden]
            for track in report.tracks:
                number = None if track.track is None else track.track + track_base
                begin, end = track.first_frame + first, track.last_frame + first
                tracks.append(replace(track, track=number, first_frame=begin, last_frame=end))
            track_base += 1 + max((track.track or 0 for track in report.tracks), default=0)
            seconds.update(report.seconds)
        models = {str(model): model for _, _, report in self.reports for model in report.models}
        job = self.job
        return Report(
            source=str(job.source), target=str(job.target), format=job.format, width=0, height=0, frames=self.frames,
            hidden=tuple(hidden), tracks=tuple(tracks), plan=job.plan.digest, rules=tuple(map(str, job.plan.rules)),
            models=tuple(models.values()), seconds=dict(seconds), input_sha256=input_sha256,
            output_sha256=output_sha256, encoding="member by member", version=__version__,
            warnings=self._warnings(anything_hidden=bool(hidden or tracks)), members=tuple(self.members),
        )  # fmt: skip

    def _begin(self, document: Document, container: MediaContainer, prefix: str) -> None:
        where = prefix.rstrip("/")
        if document.format in archive.DOCUMENTS:
            twice = [name for name, count in Counter(document.names).items() if count > 1]
            if twice:
                raise BadInput(f"cannot read {where or self.job.source}: it has two members named {twice[0]!r}")
        if document.is_signed:
            self.notes.append(
                (where, "its digital signature is left out: no signature holds once anything has changed")
            )
        if document.format in archive.LOGS:
            refuse_missing_topics(container.members(), self.job.plan.topics, where or str(self.job.source))
        if document.format == "PDF" and self.job.plan.pdf_pages == "render":
            self.notes.append((where, PAGES_ARE_PICTURES))
        elif document.format in archive.DOCUMENTS:
            done, texts = hide_document_text(container, document.format, self.job.plan, where or str(self.job.source))
            self.members += [{**member, "name": prefix + member["name"]} for member in done]
            self.notes += [(where, text) for text in texts]
        self.notes += [(where, f"left out: {what}") for what in container.leftovers]

    def _write_member(
        self,
        container: MediaContainer,
        writer: ContainerWriter,
        document: Document,
        member: Member,
        depth: int,
        prefix: str,
    ) -> None:
        """Hide, edit, copy or leave out a member, as its content and the plan say. Raises any `VelumError`."""
        name, file = prefix + member.name, self.scratch / f"{depth}.member"
        if reason := document.why_removed(member.name):
            self._note(name, "removed", reason=reason)
            return
        if member.matches(self.job.plan.drop_members) or self._is_other_topic(member):
            self._leave_out(writer, document, member, name)
            return
        try:
            if member.content is None or member.content.kind == "media":
                archive.unpack_member(container, member, file)
            if member.is_folder:
                writer.copy(member, file)
                return
            self._replace(writer, document, member, file, depth, name)
        except (BadInput, LimitExceeded) as error:
            if isinstance(error, LimitExceeded) and error.limit in {
                "unpacked_bytes",
                "unpacked_ratio",
                "members",
                "nesting",
            }:
                raise
            if self.job.plan.video.on_damage != "cover":
                add_member(member, name, error)
                raise
            self._cover(writer, document, member, file, name, str(error))
        except VelumError as error:
            add_member(member, name, error)
            raise
        finally:
            file.unlink(missing_ok=True)

    def _is_other_topic(self, member: Member) -> bool:
        """Tell whether a member is a topic, and the plan names other ones."""
        return member.is_topic and bool(self.job.plan.topics) and not member.matches(self.job.plan.topics)

    def _replace(
        self, writer: ContainerWriter, document: Document, member: Member, file: Path, depth: int, name: str
    ) -> None:
        """Write one member that has been unpacked to `file`, where that was needed.

        Raises `BadInput` for one that cannot be hidden.
        """
        out, hidden = self.scratch / f"{depth}.out", False
        edited = self._edit(document, member, file, name)
        content = member.content or archive.content_of(file, member.name, limit_bytes=MOST_EDITED_BYTES)
        match content.kind:
            case "media":
                out = out if content.what == media.SEQUENCE else out.with_suffix(media.suffix_of(content.what))
                hidden = self._hide_media(file, out, name, member.details)
            case "sound" if self.job.plan.video.audio != "copy" and (sound := media.sound_format_of(file)):
                out = out.with_suffix(media.SOUND_FORMAT_SUFFIXES[sound][0])
                hidden = self._hide_media(file, out, name, member.details)
            case "container":
                self.rewrite(file, content.what, out, name, depth=depth + 1, prefix=f"{name}/")
                self._note(name, "container")
            case "inert" if edited:
                file.rename(out)
                self._note(name, "edited")
            case _ if self._is_copied(content, member):
                self._copy(writer, member, file, name)
                return
            case _:
                raise BadInput(content.what or "it is sound, which the plan does not copy")
        writer.replace(member, out, hidden=hidden)
        out.unlink(missing_ok=True)

    def _edit(self, document: Document, member: Member, file: Path, name: str) -> bool:
        """Remove metadata and copies of drawings from the XML of a document; tell whether there were any."""
        if not document.edits(member.name):
            return False
        if file.stat().st_size > MOST_EDITED_BYTES:
            raise BadInput(f"it has more than {MOST_EDITED_BYTES >> 20} MiB of XML")
        data = file.read_bytes()
        changed = document.edit(member.name, data)
        if is_relations(member.name):
            self.notes += [(name, f"it shows what is elsewhere: {at}") for at in external_pictures(data)]
        if changed == data:
            return False
        file.write_bytes(changed)
        return True

    def _hide_media(self, file: Path, out: Path, name: str, details: Mapping[str, Any]) -> bool:
        """Hide in an image, a sequence of images or a video; tell whether there was anything to hide."""
        first, job, frames = self.frames, self.job, {}

        def remember(index: int, regions: tuple[Region, ...]) -> None:
            frames[index] = regions
            if job.on_regions is not None:
                job.on_regions(first + index, regions)

        def progress(done: int, _: int | None) -> None:
            if job.progress is not None:
                job.progress(first + done, None)

        with names_for_places(file, name), names_for_places(out, name):
            report = self.hide(file, out, job.plan, overwrite=True, progress=progress, on_regions=remember)
        self.frames += report.frames
        self.reports.append((name, first, report))
        self.regions[name] = Annotations(report.width, report.height, frames, report.input_sha256)
        self.notes += [(name, text) for text in report.warnings if text != NOTHING_FOUND]
        facts: Mapping[str, Any] = {
            "format": report.format, "input_sha256": report.input_sha256, "output_sha256": report.output_sha256,
        }  # fmt: skip
        if details:  # the images of a topic are no file of their own
            facts = {**details, "hidden": report.labels}
        self._note(
            name, "hidden", first_frame=first, frames=report.frames, width=report.width, height=report.height,
            encoding=report.encoding, **facts, **({"people": report.people} if report.people else {}),
            **({"sound": list(report.sound)} if report.sound else {}),
        )  # fmt: skip
        return bool(report.hidden or report.tracks)

    def _is_copied(self, content: Content, member: Member) -> bool:
        if content.kind == "sound":
            return self.job.plan.video.audio == "copy"
        named = member.matches(self.job.plan.copy_members)
        return content.kind == "inert" or (content.kind == "unknown" and named)

    def _copy(self, writer: ContainerWriter, member: Member, file: Path, name: str) -> None:
        writer.copy(member, file)
        if member.is_topic and member.content is not None and member.content.kind == "unknown":
            self.notes.append((name, "it is taken over as it is, as the plan says, and may show people"))
        self._note(name, "copied", **member.details)

    def _leave_out(self, writer: ContainerWriter, document: Document, member: Member, name: str) -> None:
        """Leave a member out. In a document, whose other members refer to it, write it without content instead."""
        if document.format not in archive.DOCUMENTS:
            self._note(name, "removed", **member.details, reason="asked")
            return
        file = self.scratch / "empty"
        file.write_bytes(archive.empty_member(member.name))
        writer.replace(member, file, hidden=True)
        self._note(name, "emptied", reason="asked")

    def _cover(
        self, writer: ContainerWriter, document: Document, member: Member, file: Path, name: str, reason: str
    ) -> None:
        """Write a black image in place of an image that cannot be hidden; leave out any other member."""
        kind = media.kind_of(file) if file.exists() else None
        black = archive.black_image(file, kind, self.limits) if kind else None
        self.notes.append((name, f"it cannot be hidden, and is covered: {reason}"))
        if black is None:
            self._leave_out(writer, document, member, name)
            self.members[-1]["reason"] = "damaged"
            return
        file.write_bytes(black)
        writer.replace(member, file, hidden=True)
        self._note(name, "covered", reason="damaged")

    def _note(self, name: str, action: str, **more: Any) -> None:
        self.members.append({"name": name, "action": action, **more})

    def _warnings(self, *, anything_hidden: bool) -> tuple[str, ...]:
        by_text: dict[str, list[str]] = {}
        for name, text in self.notes:
            by_text.setdefault(text, []).append(name)
        texts = [name_members(names, text) for text, names in by_text.items()]
        texts += warn_of_members(self.members, self.job.plan)
        has_hidden_text = any(member["action"] == "edited" and "hidden" in member for member in self.members)
        return tuple(texts if anything_hidden or has_hidden_text else [NOTHING_FOUND, *texts])
