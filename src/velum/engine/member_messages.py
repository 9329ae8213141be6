"""Messages about members of containers: which ones, and what can be done about them."""

from collections.abc import Iterable, Sequence

from velum.errors import BadInput, BadPlan, LimitExceeded, VelumError
from velum.media.archive import Member

SHARED_WARNINGS = 3
"""Most members that a warning names, where several members have the same warning."""

SHOWN_TOPICS = 20
"""Most topics of a log that a message names."""

_ADVICE = "; nothing was written. Leave it out (drop_members = NAME), or cover it (on_damage = cover)"
_TOPIC_ADVICE = "; nothing was written. Leave the topic out (drop_members = NAME)"


def name_members(names: list[str], text: str) -> str:
    """Return a warning with the members that it is about."""
    named = ", ".join(name for name in names[:SHARED_WARNINGS] if name)
    more = f" and {len(names) - SHARED_WARNINGS} more" if len(names) > SHARED_WARNINGS else ""
    return f"{named}{more}: {text}" if named else text


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
