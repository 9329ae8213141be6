"""Checks a finished archive or document: opens it as a recipient would, and checks each member."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from velum.annotations import Annotations
from velum.engine.containers import MOST_EDITED_BYTES
from velum.errors import BadInput, LimitExceeded
from velum.file_hash import sha256_of
from velum.limits import Limits
from velum.locate.text.written import reads_text, text_finder
from velum.media import SEQUENCE, archive, kind_of, sound_format_of
from velum.media.archive import Content, MediaContainer, Member
from velum.media.archive.office import Document
from velum.plan import Plan
from velum.report import say_count
from velum.verify.result import CheckResult, Kind, Leak

CheckFile = Callable[..., CheckResult]
"""Checks one image or video: `check(file, plan, against=, regions=)`."""

Progress = Callable[[int, int | None], None]


@dataclass(slots=True)
class ContainerCheck:
    """Checks a container and the containers in it. `regions` has the hidden regions of each member, by its name."""

    check: CheckFile
    plan: Plan
    limits: Limits
    regions: Mapping[str, Annotations]
    leaks: list[Leak] = field(default_factory=list)
    results: list[CheckResult] = field(default_factory=list)
    notes: dict[str, None] = field(default_factory=dict)
    frames: int = 0

    def run(self, file: Path, format: str, against: Path | None, progress: Progress | None) -> CheckResult:
        """Check all members of `file` and return their leaks. Raises any `VelumError`.

        Frames are numbered across all members, in their order.
        """
        budget, source_budget = archive.Budget(self.limits), archive.Budget(self.limits)
        with tempfile.TemporaryDirectory(prefix="velum-check-") as scratch:
            for _ in self._walk(file, format, against, Path(scratch), (budget, source_budget), ""):
                if progress is not None:
                    progress(self.frames, None)
        detectors = dict.fromkeys(name for result in self.results for name in result.detectors)
        regions = sum(result.regions for result in self.results)
        return CheckResult(
            file.name, sha256_of(file), self.frames, tuple(self.leaks), tuple(detectors), regions, tuple(self.notes)
        )

    def _walk(
        self, file: Path, format: str, against: Path | None, scratch: Path,
        budgets: tuple[archive.Budget, archive.Budget], prefix: str,
    ) -> Iterator[str]:  # fmt: skip
        """Check the members of a container, and yield the name of each member after its check."""
        depth = prefix.count("/") + 1
        member_file, source_file = (scratch / f"{len(prefix)}-{depth}.{end}" for end in ("member", "source"))
        with ExitStack() as stack:
            opened = archive.open_container(
                file, format, budgets[0], prefix.rstrip("/") or file.name, frozenset(self.plan.metadata)
            )
            container = stack.enter_context(opened)
            source = None
            if against is not None and (kind := archive.container_of(against)):
                original = stack.enter_context(
                    archive.open_container(
                        against, kind, budgets[1], str(against), recover=True, render_dpi=self.plan.render_dpi
                    )
                )
                source = _SourceMembers(original, original.members())
            are_pages = format == "PDF" and self.plan.render_dpi is not None
            if are_pages and container.has_text:
                self._add("rest", prefix.rstrip("/") or file.name, "its pages have text; they should be pictures alone")
            if format == "PDF" and not self.plan.render_dpi and any(map(reads_text, self.plan.rules)):
                self._check_text(container, prefix.rstrip("/") or file.name)
            document = Document(format, container.names, frozenset(self.plan.metadata))
            for leftover in container.leftovers:
                self._add("rest", prefix.rstrip("/") or file.name, f"it holds {leftover}")
            for found in container.members():
                # Of rendered pages, the source's member is the page of which this is the picture.
                member = replace(found, name=found.name.removesuffix(", image 1")) if are_pages else found
                name = prefix + member.name
                self._check_name(document, member, name)
                content = member.content
                if content is None or content.kind == "media":
                    archive.unpack_member(container, member, member_file)
                before = source.unpack(member, source_file) if source else None
                content = content or archive.content_of(member_file, member.name, limit_bytes=MOST_EDITED_BYTES)
                if source is not None and before is None and content.kind == "media":
                    self._add("frames", name, "its source cannot be read, or has no such member")
                if content.kind == "container":
                    yield from self._walk(member_file, content.what, before, scratch, budgets, f"{name}/")
                else:
                    self._check_member(document, member, member_file, before, content, name)
                yield name

    def _check_text(self, container: MediaContainer, name: str) -> None:
        """Look in the text of a PDF for what the rules for text hide."""
        try:
            counts = archive.remove_text(container, text_finder(self.plan.rules), (0, 0, 0))
        except BadInput as error:
            self._add("rest", name, str(error))
            return
        for place, count in counts.items():
            passages = say_count(count, "passage", "passages")
            self._add("seen", name, f"{place}: the plan hides {passages} of its text", "text")

    def _check_name(self, document: Document, member: Member, name: str) -> None:
        kinds: Mapping[str, tuple[Kind, str]] = {
            "preview": ("picture", "a preview, or metadata of a file manager"),
            "history": ("metadata", "an earlier version, a cache or a setting that names people or their machine"),
            "signature": ("metadata", "a signature, which names who signed and no longer holds"),
        }
        if reason := document.why_removed(member.name):
            kind, advice = kinds[reason]
            self._add(kind, name, f"it is {advice}")

    def _check_member(
        self, document: Document, member: Member, file: Path, before: Path | None, content: Content, name: str
    ) -> None:
        if content.kind == "media":
            is_readable = before is not None and (content.what == SEQUENCE or kind_of(before) is not None)
            # A member that is damaged in the source is a black image in the result.
            self._check_media(file, before if is_readable else None, name)
        elif content.kind == "refused" or (content.kind == "unknown" and not member.matches(self.plan.copy_members)):
            self._add("rest", name, f"it is {content.what}")
        elif content.kind == "sound" and self.plan.video.audio == "drop":
            self._add("audio", name, "it is sound")
        elif content.kind == "sound" and self.plan.video.audio != "copy":
            is_sound = before is not None and sound_format_of(before) is not None
            self._check_media(file, before if is_sound else None, name)
        elif document.edits(member.name) and file.stat().st_size <= MOST_EDITED_BYTES:
            data = file.read_bytes()
            if document.edit(member.name, data) != data:
                self._add("metadata", name, "it still says who wrote or changed the document, when, or with what")

    def _check_media(self, file: Path, before: Path | None, name: str) -> None:
        result = self.check(file, self.plan, against=before, regions=self.regions.get(name))
        for leak in result.leaks:
            frame = None if leak.frame is None else leak.frame + self.frames
            self.leaks.append(replace(leak, message=f"{name}: {leak.message}", frame=frame))
        self.notes |= dict.fromkeys(result.notes)
        self.frames += result.frames
        self.results.append(result)

    def _add(self, kind: Kind, name: str, message: str, label: str | None = None) -> None:
        self.leaks.append(Leak(kind, f"{name}: {message}", label=label))


@dataclass(slots=True)
class _SourceMembers:
    """The members of a checked container's source, in their order; the result has its members in the same order."""

    container: MediaContainer
    members: Iterator[Member]

    def unpack(self, checked: Member, target: Path) -> Path | None:
        """Write the bytes of the next member with the name of `checked` to `target`, and return `target`.

        Returns None where no further member has that name, and where the member cannot be read.
        """
        if checked.content is not None and checked.content.kind != "media":
            return None
        for member in self.members:
            if member.name == checked.name:
                try:
                    archive.unpack_member(self.container, member, target)
                except (BadInput, LimitExceeded):
                    return None
                return target
        return None
