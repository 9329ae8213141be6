"""Folders of rosbag2: which files `metadata.yaml` names, and a `metadata.yaml` that is true of the result."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from velum.errors import BadInput, printable
from velum.limits import Limits
from velum.media import archive
from velum.media.archive.contents import container_of
from velum.media.archive.log_container import LogContainer
from velum.media.archive.log_topics import shown_name
from velum.media.archive.member import Budget, why_unsafe

METADATA = "metadata.yaml"

MOST_BYTES = 1 << 20
"""Largest metadata.yaml, in bytes."""

MOST_TEXT = 1000
"""Most characters of a text in it, but for the texts of QoS profiles."""

NEWEST_VERSION = 9
"""Newest version of the metadata that velum knows: that of ROS 2 Jazzy and later."""

_KEY = "rosbag2_bagfile_information"
_REINDEX = "make the file anew with 'ros2 bag reindex'"
_FORMATS = {"sqlite3": "ROSBAG2", "mcap": "MCAP"}
_NEEDED = ("version", "storage_identifier", "relative_file_paths", "topics_with_message_count")
_EMPTY_START = (1 << 63) - 1
"""Start of a bag without messages, in nanoseconds, as rosbag2 writes it."""

_DURATION, _START = {"nanoseconds": int}, {"nanoseconds_since_epoch": int}
_SECONDS = {"sec": int, "nsec": int}
_QOS = [
    dict.fromkeys(("history", "reliability", "durability", "liveliness"), (int, str))
    | dict.fromkeys(("deadline", "lifespan", "liveliness_lease_duration"), _SECONDS)
    | {"depth": int, "avoid_ros_namespace_conventions": bool}
]
_TOPIC = {
    "name": str, "type": str, "serialization_format": str, "offered_qos_profiles": "qos", "type_description_hash": str,
}  # fmt: skip
_FORM = {
    "version": int, "storage_identifier": str, "duration": _DURATION, "starting_time": _START, "message_count": int,
    "topics_with_message_count": [{"topic_metadata": _TOPIC, "message_count": int}], "compression_format": str,
    "compression_mode": str, "relative_file_paths": [str], "custom_data": "empty", "ros_distro": str,
    "files": [{"path": str, "starting_time": _START, "duration": _DURATION, "message_count": int}],
}  # fmt: skip
"""Keys of the metadata that velum knows, each with the form of its value."""


def is_rosbag2_folder(path: Path) -> bool:
    """Tell whether a folder has a `metadata.yaml` of rosbag2. Raises `BadInput` for one that cannot be read."""
    file = path / METADATA
    return file.is_file() and _KEY.encode() in _bytes_of(file)


def read_metadata(folder: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return what `metadata.yaml` says, without what velum does not know, and the names of what it does not know.

    Values of `custom_data` count as unknown. Raises `BadInput` for a file that rosbag2 would not have written.
    """
    file = folder / METADATA
    data, unknown = _bytes_of(file), dict[str, None]()
    if len(data) > MOST_BYTES:
        raise BadInput(f"{file} has more than {MOST_BYTES >> 20} MiB, the most that velum reads; {_REINDEX}")
    try:
        found = _select(_parse(data), {_KEY: _FORM}, "", unknown).get(_KEY, {})
        _refuse_unread(found)
    except BadInput as error:
        raise BadInput(f"cannot read {file}: {error}") from error
    return found, tuple(unknown)


def bag_files(folder: Path, information: Mapping[str, Any]) -> list[Path]:
    """Return the files that the metadata names, in its order. Raises `BadInput` for one that is not there."""
    names, wanted = information["relative_file_paths"], information["storage_identifier"]
    if not names:
        raise BadInput(f"{folder / METADATA} names no file; {_REINDEX}")
    for number, name in enumerate(names):
        path, shown = folder / name, printable(name)
        if why_unsafe(name) or Path(name).name != name or name == METADATA or name in names[:number]:
            raise BadInput(f"{folder / METADATA} names the file {shown!r}; allowed are names of files in this folder, "
                           f"each once; {_REINDEX}")  # fmt: skip
        if not path.is_file():
            raise BadInput(f"{folder / METADATA} names the file {shown}, which is not in the folder; put it there, or "
                           f"{_REINDEX}")  # fmt: skip
        if container_of(path) != _FORMATS[wanted]:
            raise BadInput(f"{path} is no file of the storage {wanted}, as {METADATA} says; {_REINDEX}")
    return [folder / name for name in names]


def unnamed_files(folder: Path, information: Mapping[str, Any]) -> list[str]:
    """Return the names of what lies in the folder and is not named by the metadata."""
    named = {METADATA, *information["relative_file_paths"]}
    return sorted(printable(entry.name) for entry in folder.iterdir() if entry.name not in named)


def write_metadata(folder: Path, information: Mapping[str, Any], limits: Limits) -> Path:
    """Write `metadata.yaml` for the bag files in `folder`, with the topics, counts and times that these have.

    Types and QoS profiles come from `information`. Raises `BadInput` where a file has a topic that it does not name.
    """
    counts, ranges = Counter[tuple[str, str]](), []
    names = information["relative_file_paths"]
    for name in names:
        path = folder / name
        with archive.open_container(path, str(container_of(path)), Budget(limits), str(path)) as log:
            if not isinstance(log, LogContainer):
                raise BadInput(f"{path} is no sensor log")
            for topic in log.topics.values():
                counts[topic.name, topic.schema] += topic.messages
            ranges.append(_range_of(log))
    measured = [{"path": name, **each} for name, each in zip(names, map(_measures, ranges), strict=True)]
    written = {**information, **_measures([sum(each[0] for each in ranges), min(each[1] for each in ranges),
                                           max(each[2] for each in ranges)])}  # fmt: skip
    written["topics_with_message_count"] = _count_topics(information["topics_with_message_count"], counts)
    if "files" in information:
        written["files"] = measured
    file = folder / METADATA
    file.write_text(yaml.safe_dump({_KEY: written}, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return file


def _count_topics(entries: Sequence[Mapping[str, Any]], counts: Mapping[tuple[str, str], int]) -> list[dict[str, Any]]:
    """Return the entries of the topics that the result has, with their numbers of messages."""
    topics: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in entries:
        known = entry["topic_metadata"]
        key = shown_name(known["name"]), shown_name(known["type"])
        if key in topics:
            raise BadInput(f"{METADATA} names the topic {key[0]} twice; {_REINDEX}")
        topics[key] = {"topic_metadata": known, "message_count": counts.get(key, 0)}
    if unnamed := [f"{name} ({kind})" for name, kind in counts if (name, kind) not in topics]:
        raise BadInput(f"{METADATA} does not name the topic {unnamed[0]}, which the files have; {_REINDEX}")
    return [entry for key, entry in topics.items() if key in counts]


def _range_of(log: LogContainer) -> list[int]:
    """Return the number of messages of a log, and the times of the first and the last."""
    count, first, last = 0, _EMPTY_START, 0
    for _, time, _ in log.messages():
        count, first, last = count + 1, min(first, time), max(last, time)
    return [count, first, last]


def _measures(values: Sequence[int]) -> dict[str, Any]:
    count, first, last = values
    return {
        "starting_time": {"nanoseconds_since_epoch": first}, "duration": {"nanoseconds": max(0, last - first)},
        "message_count": count,
    }  # fmt: skip


def _bytes_of(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise BadInput(f"cannot read {file}: {error.strerror or error}") from error


def _parse(data: bytes | str) -> Any:
    """Return the value of a YAML text. Raises `BadInput` also for aliases, by which a small text grows large."""
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(data, Loader=yaml.SafeLoader)):
            raise BadInput(f"it has aliases, which rosbag2 does not write; {_REINDEX}")
        return yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise BadInput(f"it is no YAML: {printable((str(error) or 'it is too deep').splitlines()[0])}") from error


def _select(value: Any, form: Any, where: str, unknown: dict[str, None]) -> Any:
    """Return a value without keys that its form does not have, which are noted. Raises `BadInput` for another form."""
    if form == "empty":
        unknown.update({where: None} if value else {})
        return None
    if form == "qos":
        return _select_qos(value, where)
    if isinstance(form, dict) and isinstance(value, dict):
        start = "" if where in {"", _KEY} else f"{where}."
        unknown.update({f"{start}{printable(str(key))[:100]}": None for key in value if key not in form})
        return {
            key: _select(entry, form[key], f"{start}{key}", unknown)
            for key, entry in value.items() if key in form
        }  # fmt: skip
    if isinstance(form, list) and isinstance(value, list):
        return [_select(entry, form[0], where, unknown) for entry in value]
    if value is None and form is str:
        return ""
    is_number = form is int and isinstance(value, bool)
    if isinstance(form, dict | list) or not isinstance(value, form) or is_number:
        raise BadInput(f"{where or 'the file'} is {printable(repr(value)[:60])}, which rosbag2 does not write; "
                       f"{_REINDEX}")  # fmt: skip
    if isinstance(value, str) and len(value) > MOST_TEXT:
        raise BadInput(f"{where} has {len(value)} characters; allowed are {MOST_TEXT}")
    return value


def _select_qos(value: Any, where: str) -> Any:
    """Return QoS profiles, which are a list, or a text with one. Raises `BadInput` for what velum does not know."""
    unknown = dict[str, None]()
    profiles = _select((_parse(value) or []) if isinstance(value, str) else value, _QOS, where, unknown)
    if unknown:
        raise BadInput(f"it has {min(unknown)}, which velum does not know in a QoS profile; {_REINDEX}")
    if not isinstance(value, str):
        return profiles
    return yaml.safe_dump(profiles, sort_keys=False).strip() if profiles else ""


def _refuse_unread(found: Mapping[str, Any]) -> None:
    """Raise `BadInput` for versions, storages and compressions that velum does not read."""
    if missing := [key for key in _NEEDED if key not in found]:
        raise BadInput(f"it has no {', '.join(missing)}; {_REINDEX}")
    if not 1 <= found["version"] <= NEWEST_VERSION:
        raise BadInput(f"it has the version {found['version']}; velum knows 1 to {NEWEST_VERSION}")
    if found["storage_identifier"] not in _FORMATS:
        raise BadInput(f"its storage is {printable(found['storage_identifier'])}; velum reads {', '.join(_FORMATS)}")
    if (mode := found.get("compression_mode", "").lower()) not in {"", "none"}:
        raise BadInput(
            f"its compression_mode is {printable(mode)}: velum does not hide in files and messages that rosbag2 has "
            "compressed; decompress the bag with 'ros2 bag convert'"
        )
    for entry in found["topics_with_message_count"]:
        if not {"name", "type"} <= entry.get("topic_metadata", {}).keys():
            raise BadInput(f"a topic of it has no name or no type; {_REINDEX}")


def say_unknown(unknown: Sequence[str], most: int = 5) -> Iterator[str]:
    """Yield a warning that names what was left out of the metadata, where there is something."""
    if unknown:
        more = f" and {len(unknown) - most} more" if len(unknown) > most else ""
        named = f"{', '.join(unknown[:most])}{more}"
        yield f"left out of {METADATA}: {named}; copies that rosbag2 wrote into the files stay"
