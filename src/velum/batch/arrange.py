"""The items of a run over files and folders: which files are taken, and the target of each."""

import os
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePath
from tempfile import gettempdir

from velum import media
from velum.atomic import is_temporary
from velum.errors import BadInput, BadPlan, OutputFailed
from velum.media import archive
from velum.media.formats import SOUND_FORMAT_SUFFIXES, SOUND_SUFFIXES
from velum.report import Report
from velum.storage.objects import sort_texts


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One source file and its target; `note` says why the target has another suffix than the source."""

    source: Path
    target: Path
    note: str = ""

    def with_note(self, report: Report) -> Report:
        """Return the report with the note of this item among its warnings."""
        return replace(report, warnings=(self.note, *report.warnings)) if self.note else report


def arrange(
    sources: Sequence[Path],
    target: Path | None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    *,
    sound: bool = False,
) -> tuple["Sequence[BatchItem] | ArrangedItems", Path | None]:
    """Return the items for files and folders, and the folder whose tree mirrors the sources (None for a single file).

    Without a target, `photo.jpg` becomes `photo.hidden.jpg` and the folder `photos` becomes `photos.hidden`. Folders
    are searched to any depth, but not through links, for images and videos, by content or by suffix, and for archives
    and documents by suffix; with `sound`, for sound files by both. `include` and `exclude` select files in folders, see
    `is_selected`. Where the suffix of a source does not fit its content, its result has one that does. Raises
    `BadInput` when a source is missing or holds no image or video, `BadPlan` when results would overwrite each other or
    land among their sources.
    """
    for source in sources:
        if not source.exists():
            raise BadInput(f"{source} does not exist; check the path")
    many = len(sources) > 1 or sources[0].is_dir()
    if not many:
        source = sources[0]
        if target is not None and not target.is_dir():
            return [BatchItem(source, target)], None
        suffix, note = result_suffix(source)
        # Of `photos.tar.gz` the stem is `photos`.
        stem = source.name[: -len(archive.suffix_of_container(source.name) or source.suffix) or None]
        if target is None:
            return [BatchItem(source, source.with_name(f"{stem}.hidden{suffix}"), note)], None
        return [BatchItem(source, target / f"{stem}{suffix}", note)], None
    folder = target or (folder_beside(sources[0]) if len(sources) == 1 else None)
    if folder is None:
        raise BadPlan("several sources need a folder to write to; add -o FOLDER")
    if folder.exists() and not folder.is_dir():
        raise BadPlan(f"{folder} is a file; several sources need a folder to write to")
    return _mirror_items(sources, folder, include, exclude, sound=sound), folder


def folder_beside(source: Path) -> Path:
    """Return the folder for the results of a folder, where none is named. Raises `BadPlan` for the root of a disk."""
    named = source.resolve() if source.name in {"", ".."} else source  # such paths lead to a folder of another name
    if not named.name:
        raise BadPlan(f"there is no folder beside {named}; name one for the results with -o FOLDER")
    return named.with_name(f"{source.resolve().name}.hidden")


def is_selected(path: PurePath, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> bool:
    """Tell whether a file matches a pattern of `include` (none: all files do) and no pattern of `exclude`.

    `path` is that within the folder. A pattern is a shell pattern for the name or that path; upper and lower case are
    the same.
    """
    names = path.as_posix().lower(), path.name.lower()

    def matches(patterns: Sequence[str]) -> bool:
        return any(fnmatchcase(name, pattern.lower()) for name in names for pattern in patterns)

    return (not include or matches(include)) and not matches(exclude)


class ArrangedItems:
    """The items of folders in the order in which they were found, on disk where there are many: memory does not grow.

    Targets are the paths of the sources in their folders; a result of another suffix takes no name of another.
    """

    def __init__(self) -> None:
        # A database without a name is a temporary file, which is written once the items do not fit into its cache.
        self._rows = sqlite3.connect("", check_same_thread=False)
        self.left_out = Counter[str]()
        """Counts of the files that are no items, by suffix or by what they are."""
        self._rows.execute(
            "CREATE TABLE item (source BLOB, target BLOB UNIQUE, wanted BLOB, folded BLOB, suffix TEXT, note TEXT)"
        )

    @property
    def has_sound(self) -> bool:
        """True when sound files are among those that are no items."""
        return not SOUND_SUFFIXES.isdisjoint(self.left_out)

    def add(self, source: Path, target: Path, suffix: str, note: str) -> None:
        """Add a source; with a note, its result has another suffix. Raises `BadPlan` when its target is taken."""
        usual_target = target.with_suffix(suffix) if note else target
        name = None if note else os.fsencode(target)
        self._write("INSERT INTO item VALUES (?, ?, ?, ?, ?, ?)", source, target, (
            os.fsencode(source), name, os.fsencode(target), _fold(usual_target), suffix, note
        ))  # fmt: skip

    def rename(self) -> None:
        """Name the results of another suffix, now that all others are known, also where the system ignores case."""
        self._rows.execute("CREATE INDEX folded ON item (folded)")
        last = 0
        while some := self._rows.execute(
            "SELECT rowid, source, wanted, folded, suffix FROM item WHERE target IS NULL AND rowid > ? LIMIT 1000",
            (last,),
        ).fetchall():
            for last, source, wanted, folded, suffix in some:
                (same,) = self._rows.execute("SELECT count(*) FROM item WHERE folded = ?", (folded,)).fetchone()
                target = _path(wanted)
                target = target.with_suffix(suffix) if same == 1 else target.with_name(target.name + suffix)
                order = "UPDATE item SET target = ? WHERE rowid = ?"
                self._write(order, _path(source), target, (os.fsencode(target), last))

    def _write(self, order: str, source: Path, target: Path, values: tuple[object, ...]) -> None:
        try:
            self._rows.execute(order, values)
        except sqlite3.IntegrityError as error:
            row = self._rows.execute("SELECT source FROM item WHERE target = ?", (os.fsencode(target),)).fetchone()
            raise BadPlan(
                f"{source} and {_path(row[0])} would both be written to {target}; hide them one at a time"
            ) from error
        except sqlite3.OperationalError as error:
            raise OutputFailed(f"cannot list so many files: {error}; make room in {gettempdir()}") from error

    def __len__(self) -> int:
        """Return the number of items."""
        return int(self._rows.execute("SELECT count(*) FROM item").fetchone()[0])

    def __iter__(self) -> Iterator[BatchItem]:
        """Yield the items, in order."""
        for source, target, note in self._rows.execute("SELECT source, target, note FROM item ORDER BY rowid"):
            yield BatchItem(_path(source), _path(target), note)

    def __del__(self) -> None:
        self._rows.close()


def _path(name: bytes) -> Path:
    return Path(os.fsdecode(name))


def _fold(path: Path) -> bytes:
    return str(path).casefold().encode("utf-8", "surrogateescape")


def _mirror_items(
    sources: Sequence[Path], folder: Path, include: Sequence[str], exclude: Sequence[str], *, sound: bool
) -> ArrangedItems:
    inside = folder.resolve()
    items = ArrangedItems()
    for source in sources:
        if source.is_dir() and source.resolve() == inside:
            raise BadPlan(f"{folder} is both source and target; choose another folder to write to")
        files = _media_files(source, inside, items.left_out, sound=sound) if source.is_dir() else iter([source])
        for path in files:
            inner = path.relative_to(source) if source.is_dir() else Path(path.name)
            if not source.is_dir() or is_selected(inner, include, exclude):
                items.add(path, folder / inner, *result_suffix(path))
    items.rename()
    if not len(items):
        chosen = " that --include and --exclude leave" if include or exclude else ""
        muted = "; sound files are taken with --audio speech-mute or silence" if items.has_sound else ""
        raise BadInput(
            f"no images or videos in {', '.join(map(str, sources))}{chosen}; "
            f"known are {', '.join(sorted(media.SUFFIXES))}{muted}"
        )
    return items


def result_suffix(source: Path) -> tuple[str, str]:
    """Return the suffix of a source's result, by its content, and a note when it is not the source's own."""
    if (container := archive.container_of(source)) is not None:
        given = archive.suffix_of_container(source.name)
        # Programs have names of their own for archives: .docm, .kmz.
        if given or source.suffix.lower() not in media.SUFFIXES:
            return given or source.suffix, ""
        suffix = archive.usual_suffix(container)
        return suffix, f"the source is a {container} and has the suffix {source.suffix!r}; the result has {suffix}"
    if sound := media.sound_format_of(source):
        suffixes = SOUND_FORMAT_SUFFIXES[sound]
        if source.suffix.lower() in suffixes:
            return source.suffix, ""
        return suffixes[0], f"the source is sound of the format {sound}; the result has the suffix {suffixes[0]}"
    kind = media.kind_of(source)
    if kind is None or media.is_suffix_of(source.suffix, kind):
        return source.suffix, ""
    suffix = media.suffix_of(kind)
    name = f"the suffix {source.suffix!r}" if source.suffix else "no suffix"
    return suffix, f"the source has the format {kind} and {name}; the result has the suffix {suffix}"


def _is_sound(path: Path) -> bool:
    return path.suffix.lower() in {*SOUND_SUFFIXES, ".ogg"} and media.sound_format_of(path) is not None


def _media_files(folder: Path, target: Path, left_out: Counter[str], *, sound: bool) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        # A killed run may have left unfinished files.
        names = sort_texts(entry.name for entry in entries if not is_temporary(entry.name))
    for name in names:
        entry = folder / name
        if entry.is_dir():
            if entry.is_symlink():
                left_out["link to a folder"] += 1
            elif entry.resolve() != target:
                yield from _media_files(entry, target, left_out, sound=sound)
        elif media.is_picture(entry) or archive.has_container_suffix(entry) or (sound and _is_sound(entry)):
            yield entry
        elif not entry.is_file():
            left_out["link to nothing" if entry.is_symlink() else "no regular file"] += 1
        else:
            left_out[entry.suffix.lower() or "without suffix"] += 1
