"""Members of containers, what their names may be, and what unpacking them may cost."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from velum.errors import LimitExceeded
from velum.limits import Limits
from velum.media.archive.contents import Content

FREE_RATIO_BYTES = 16 << 20
"""Unpacked bytes of a member up to which its ratio does not count: pages of one colour pack well."""


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a container: its name, its unpacked size in bytes, and its number in the container."""

    name: str
    size: int
    number: int
    is_folder: bool = False
    fault: str = ""
    """Why it cannot be taken over, whatever it holds: a link, encrypted, an unsafe name. Empty where it can."""
    content: Content | None = None
    """What it is, where the container knows it without unpacking it."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Facts of a topic for the report, as JSON values: its type and the number of its messages."""

    @property
    def is_topic(self) -> bool:
        """Whether it is a topic of a sensor log."""
        return bool(self.details)

    def matches(self, patterns: Iterable[str]) -> bool:
        """Tell whether the name, or the last part of it, matches one of these shell patterns."""
        names = [self.name, self.name.rpartition("/")[2]]
        names += [self.name.partition("#")[0]] if self.is_topic else []
        return any(fnmatchcase(name, pattern) for pattern in patterns for name in names)


@dataclass(slots=True)
class Budget:
    """What unpacking may cost a source, with the containers in it. Raises `LimitExceeded` where more is needed."""

    limits: Limits
    unpacked: int = field(default=0)
    members: int = field(default=0)

    def count_members(self, number: int, name: str) -> None:
        """Count the members of a further container."""
        self.members += number
        self.limits.check("members", self.members, name)

    def check_depth(self, depth: int, name: str) -> None:
        """Check how many containers lie around one another; 1 is the source itself."""
        self.limits.check("nesting", depth, name)

    def reader(self, name: str, packed_bytes: int) -> "MemberBudget":
        """Return what counts the bytes of one member as they are unpacked."""
        return MemberBudget(self, name, max(packed_bytes, 1))


@dataclass(slots=True)
class MemberBudget:
    """What unpacking one member may cost."""

    whole: Budget
    name: str
    packed_bytes: int
    unpacked: int = field(default=0)

    def count(self, size: int) -> None:
        """Count further unpacked bytes."""
        self.unpacked += size
        self.whole.unpacked += size
        limits = self.whole.limits
        limits.check("unpacked_bytes", self.whole.unpacked, self.name)
        ratio = self.unpacked // self.packed_bytes
        if self.unpacked > FREE_RATIO_BYTES and ratio > limits.unpacked_ratio:
            raise LimitExceeded("unpacked_ratio", ratio, limits.unpacked_ratio, self.name)


def why_unsafe(name: str) -> str:
    """Say why a name would lead out of the folder where an archive is unpacked, or hides itself; empty if it does not.

    Backslashes count as separators, as some programs take them for such.
    """
    parts = re.split(r"[/\\]", name)
    if not name.strip("/\\. "):
        return "its name names no file"
    if parts[0] == "" or re.match(r"[A-Za-z]:", name):
        return "its name is an absolute path"
    if ".." in parts:
        return "its name leads out of the folder (..)"
    return "" if name.isprintable() else "its name has control characters"
