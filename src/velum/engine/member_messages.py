"""Messages about members of containers: which ones, and what can be done about them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from velum.errors import BadInput, BadPlan, LimitExceeded, VelumError
from velum.media.archive import Member
from velum.plan import Plan

SHARED_WARNINGS = 3
"""Most members that a warning names, where several members have the same warning."""

SHOWN_TOPICS = 20
"""Most topics of a log that a message names."""

_ADVICE = "; nothing was written. Leave it out (drop_members = NAME), or cover it (on_damage = cover)"
_TOPIC_ADVICE = "; nothing was written. Leave the topic out (drop_members = NAME)"


_WILDCARD = re.compile(r"[*?\[]")


def name_members(names: list[str], text: str) -> str:
    """Return a warning with the members that it is about."""
    named = ", ".join(name for name in names[:SHARED_WARNINGS] if name)
    more = f" and {len(names) - SHARED_WARNINGS} more" if len(names) > SHARED_WARNINGS else ""
    return f"{named}{more}: {text}" if named else text


def warn_of_members(members: Sequence[Mapping[str, Any]], plan: Plan) -> list[str]:
    """Return warnings about names in a plan that no member has, and about a result in which no member is left.

    A pattern with wildcards may match nothing: it is meant for many files.
    """
    names = [tail.partition("#")[0] for member in members for tail in _tails(member["name"])]
    names += [tail for member in members for tail in _tails(member["name"])]
    texts = [
        f"{option} = {pattern} matches nothing in the source; check the name"
        for option in ("drop_members", "copy_members")
        for pattern in getattr(plan, option)
        if not _WILDCARD.search(pattern) and not any(fnmatchcase(name, pattern) for name in names)
    ]
    if members and all(member["action"] == "removed" for member in members):
        texts.append("everything was left out: the result is empty")
    return texts


def _tails(name: str) -> list[str]:
    """Return a name and its ends after each `/`: containers in containers have the outer names in front."""
    parts = name.split("/")
    return ["/".join(parts[at:]) for at in range(len(parts))] + [
        "/".join(["", *parts[at:]]) for at in range(len(parts))
    ]


def refuse_missing_topics(members: Iterable[Member], patterns: Sequence[str], log: str) -> None:
    """Raise `BadPlan` where a plan names topics and a log has none that matches."""
    topics = [member for member in members if member.is_topic]
    if patterns and not any(topic.matches(patterns) for topic in topics):
        named = ", ".join(topic.name for topic in topics[:SHOWN_TOPICS]) or "none"
        raise BadPlan(f"{log} has no topic that matches {', '.join(patterns)}; its topics are {named}")


def add_member(member: Member, name: str, error: VelumError) -> None:
    """Add the member's name to an error, and advice where the member cannot be hidden."""
    text = str(error)
    if name not in text:
        text = f"{name}: {text}"
    if isinstance(error, BadInput | LimitExceeded) and "drop_members" not in text:
        text += _TOPIC_ADVICE if member.is_topic else _ADVICE
        if "unknown kind, which may" in text:
            text += ", or take it over as it is (copy_members = NAME)"
        if member.is_topic:
            text += ", or name the topics that the result has (topics = NAME)"
    error.args = (text, *error.args[1:])
