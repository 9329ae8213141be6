"""The result of an evaluation, from which JSON, page and terminal output are made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from velum import __version__
from velum.evaluation import metrics
from velum.evaluation.ground_truth import GroundTruth
from velum.evaluation.metrics import EXPOSED, Observations, TruthOutcome
from velum.evaluation.requirements import Compliance
from velum.evaluation.thresholds import RecallTarget, ThresholdChoice
from velum.plan import Plan

FORMAT = "velum-evaluation/1"

MOST_NAMED = 100
"""Most misses, false positives and tracks that are listed: the worst ones."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Truth, plan and observations; compliance with a profile and chosen thresholds when asked for."""

    truth: GroundTruth
    plan: Plan
    observed: Observations
    least_iou: float
    standing: Compliance | None = None
    wanted: RecallTarget | None = None
    choices: tuple[ThresholdChoice, ...] = ()

    @property
    def meets_profile(self) -> bool | None:
        """Whether the profile is met; None without a profile."""
        return None if self.standing is None else self.standing.is_met

    @property
    def misses(self) -> list[TruthOutcome]:
        """Objects that are exposed or were not found; the least hidden and largest come first."""
        missed = [outcome for outcome in self.observed.outcomes if outcome.is_exposed or outcome.score is None]
        return sorted(
            missed, key=lambda outcome: (round(outcome.covered, 1), -outcome.height, outcome.file, outcome.frame)
        )

    @property
    def notes(self) -> list[str]:
        """Notes that limit what the figures mean."""
        observed = self.observed
        notes = list(self.truth.notes)
        if observed.left_out:
            notes.append(f"{len(observed.left_out)} files could not be evaluated and do not count")
        if observed.not_asked:
            counts = ", ".join(f"{count} {label}" for label, count in observed.not_asked.items())
            notes.append(f"labelled, but the plan has no rule for them: {counts}")
        if self.choices:
            notes.append("thresholds were chosen on this truth; on other images recall may be lower")
        if observed.videos:
            notes.append("frames of one video are alike, so the true intervals are wider than those shown")
        return notes

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        observed = self.observed
        passed = {} if self.standing is None else {"passed": self.meets_profile}
        return {
            "format": FORMAT, **passed, "velum": __version__,
            "truth": {
                "kind": self.truth.kind, "sha256": self.truth.sha256, "files": observed.files,
                "frames": observed.frames,
                "things": len(observed.outcomes), "left_out": list(observed.left_out),
                "not_asked": dict(observed.not_asked),
            },
            "plan": {"digest": self.plan.digest, "rules": [str(rule) for rule in self.plan.rules]},
            "models": [dict(model) for model in observed.models],
            "measures": {"least_iou": self.least_iou, "exposed_below": EXPOSED, "hidden_from": list(metrics.COVERED)},
            "by_size": _rows_json(metrics.by_size(observed.outcomes)),
            "by_tag": _rows_json(metrics.by_tag(observed.outcomes)),
            "precision": {label: rate.to_json() for label, rate in metrics.precision(observed).items()},
            "videos": self._videos_json(),
            "standard": None if self.standing is None else self.standing.to_json(),
            "chosen": self._thresholds_json(),
            "misses": [_miss_json(outcome) for outcome in self.misses[:MOST_NAMED]],
            "wrong": [
                {"file": outcome.file, "frame": outcome.frame, "label": outcome.label, "xyxy": list(outcome.box.xyxy),
                 "score": round(outcome.score, 4)}
                for outcome in sorted(observed.wrong, key=lambda outcome: -outcome.score)[:MOST_NAMED]
            ],
            "notes": self.notes,
        }  # fmt: skip

    def _videos_json(self) -> Mapping[str, Any] | None:
        if not self.observed.videos:
            return None
        tracks = metrics.tracks(self.observed)
        return {
            "files": len(self.observed.videos), "exposed_frames": metrics.frames(self.observed).to_json(),
            "tracks": len(tracks), "exposed_tracks": sum(track.exposed > 0 for track in tracks),
            "worst_tracks": [track.to_json() for track in tracks[:MOST_NAMED]],
        }  # fmt: skip

    def _thresholds_json(self) -> Mapping[str, Any] | None:
        if self.wanted is None:
            return None
        return {
            "recall": self.wanted.recall, "min_height": self.wanted.min_height,
            "labels": [choice.to_json() for choice in self.choices],
        }  # fmt: skip


def _rows_json(rows: Sequence[metrics.MetricsRow]) -> list[dict[str, Any]]:
    return [row.to_json() for row in rows]


def _miss_json(outcome: TruthOutcome) -> dict[str, Any]:
    return {
        "file": outcome.file, "frame": outcome.frame, "label": outcome.label,
        "xyxy": [round(edge, 1) for edge in outcome.xyxy],
        "found": outcome.score is not None, "covered": round(outcome.covered, 4), "track": outcome.track,
        "tags": dict(outcome.tags),
    }  # fmt: skip
