"""An evaluation as one value: everything that JSON, the page and the terminal tell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from velum import __version__
from velum.evaluation import metrics
from velum.evaluation.ground_truth import GroundTruth
from velum.evaluation.requirements import Compliance
from velum.evaluation.thresholds import RecallTarget, ThresholdChoice
from velum.evaluation.values import EXPOSED, Observations, TruthOutcome
from velum.plan import Plan

FORMAT = "velum-evaluation/1"

MOST_NAMED = 100
"""Misses, wrong finds and tracks that are told one by one: the worst."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a plan does to truth, what it was held against, and how its thresholds were chosen."""

    truth: GroundTruth
    plan: Plan
    observed: Observations
    least_iou: float
    standing: Compliance | None = None
    wanted: RecallTarget | None = None
    choices: tuple[ThresholdChoice, ...] = ()

    @property
    def passed(self) -> bool | None:
        """Whether the profile is met; None when there is none."""
        return None if self.standing is None else self.standing.passed

    @property
    def misses(self) -> list[TruthOutcome]:
        """What is exposed or was not found, the least hidden and the largest first."""
        missed = [one for one in self.observed.seen if one.exposed or one.score is None]
        return sorted(missed, key=lambda one: (round(one.covered, 1), -one.height, one.file, one.frame))

    @property
    def notes(self) -> list[str]:
        """What to bear in mind."""
        seen = self.observed
        notes = list(self.truth.notes)
        if seen.left_out:
            notes.append(f"{len(seen.left_out)} files could not be looked at and do not count")
        if seen.not_asked:
            counts = ", ".join(f"{count} {label}" for label, count in seen.not_asked.items())
            notes.append(f"labelled, but no rule asks for them: {counts}")
        if self.choices:
            notes.append("thresholds were chosen on this very truth; on other pictures less may be found")
        if seen.watched:
            notes.append("frames of one video are alike: the intervals of its things are too narrow")
        return notes

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        seen = self.observed
        passed = {} if self.standing is None else {"passed": self.passed}
        return {
            "format": FORMAT, **passed, "velum": __version__,
            "truth": {
                "kind": self.truth.kind, "sha256": self.truth.sha256, "files": seen.files, "frames": seen.frames,
                "things": len(seen.seen), "left_out": list(seen.left_out), "not_asked": dict(seen.not_asked),
            },
            "plan": {"digest": self.plan.digest, "rules": [str(rule) for rule in self.plan.rules]},
            "models": [dict(model) for model in seen.models],
            "measures": {"least_iou": self.least_iou, "exposed_below": EXPOSED, "hidden_from": list(metrics.COVERED)},
            "by_size": _rows(metrics.by_size(seen.seen)), "by_tag": _rows(metrics.by_tag(seen.seen)),
            "precision": {label: rate.to_json() for label, rate in metrics.precision(seen).items()},
            "videos": self._videos(),
            "standard": None if self.standing is None else self.standing.to_json(),
            "chosen": self._chosen(),
            "misses": [_miss(one) for one in self.misses[:MOST_NAMED]],
            "wrong": [
                {"file": one.file, "frame": one.frame, "label": one.label, "xyxy": list(one.box.xyxy),
                 "score": round(one.score, 4)}
                for one in sorted(seen.wrong, key=lambda one: -one.score)[:MOST_NAMED]
            ],
            "notes": self.notes,
        }  # fmt: skip

    def _videos(self) -> Mapping[str, Any] | None:
        if not self.observed.watched:
            return None
        found = metrics.tracks(self.observed)
        return {
            "files": len(self.observed.watched), "exposed_frames": metrics.frames(self.observed).to_json(),
            "tracks": len(found), "exposed_tracks": sum(track.exposed > 0 for track in found),
            "worst_tracks": [track.to_json() for track in found[:MOST_NAMED]],
        }  # fmt: skip

    def _chosen(self) -> Mapping[str, Any] | None:
        if self.wanted is None:
            return None
        return {
            "recall": self.wanted.recall, "min_height": self.wanted.min_height,
            "labels": [choice.to_json() for choice in self.choices],
        }  # fmt: skip


def _rows(rows: Sequence[metrics.MetricsRow]) -> list[dict[str, Any]]:
    return [row.to_json() for row in rows]


def _miss(one: TruthOutcome) -> dict[str, Any]:
    return {
        "file": one.file, "frame": one.frame, "label": one.label, "xyxy": [round(edge, 1) for edge in one.xyxy],
        "found": one.score is not None, "covered": round(one.covered, 4), "track": one.track, "tags": dict(one.tags),
    }  # fmt: skip
