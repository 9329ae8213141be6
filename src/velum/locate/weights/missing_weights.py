"""One error for all missing models: it names them, and the ways to get them."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from velum.errors import MissingWeights, WeightsGap

S = TypeVar("S")
T = TypeVar("T")

_REASON_LENGTH = 160


def call_for_all(work: Callable[[S], T], items: Iterable[S], *, detailed: bool = False) -> list[T]:
    """Return what `work` gives for each item. Raises one `MissingWeights` for all items that lack weights."""
    done: list[T] = []
    gaps: list[WeightsGap] = []
    for item in items:
        try:
            done.append(work(item))
        except MissingWeights as error:
            gaps += error.gaps
    if gaps:
        raise missing_weights(gaps, detailed=detailed)
    return done


def missing_weights(gaps: Sequence[WeightsGap], *, detailed: bool = False) -> MissingWeights:
    """Return the error for models without weights: a line that names them, and a line with the ways to get them.

    With `detailed`, each failed attempt has a line between the two; otherwise the first line ends with the first
    reason.
    """
    gaps = tuple({gap.model: gap for gap in gaps}.values())
    names = [gap.model for gap in gaps]
    why = "fetching is forbidden" if gaps[0].forbidden else "could not be fetched"
    first = next((f" ({_shorten(reason)})" for gap in gaps for reason in gap.reasons), "")
    lines = [
        f"{_and(names)} {'is' if len(names) == 1 else 'are'} not on this machine, and {why}{'' if detailed else first}"
    ]
    if detailed:
        lines += [f"- {f'{gap.model}: ' if len(names) > 1 else ''}{reason}" for gap in gaps for reason in gap.reasons]
    joined = " ".join(names)
    lines.append(
        f"run 'velum models pull {joined}' with network access; or 'velum models bundle {joined} -o .' on another "
        f"machine, and install it here with pip; or 'velum models add FILE' for {_and([gap.file for gap in gaps])}"
    )
    return MissingWeights("\n".join(lines), gaps)


def _shorten(reason: str) -> str:
    line = " ".join(re.sub(r"(https?://[^/\s]+)/\S+", r"\1", reason).split())
    return line if len(line) <= _REASON_LENGTH else f"{line[: _REASON_LENGTH - 4]} ..."


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
