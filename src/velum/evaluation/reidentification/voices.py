"""Re-identification of voices: hide the sound of recordings, and let a network tell who speaks in what is left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from velum import media
from velum.engine.engine import Engine
from velum.errors import BadInput, BadPlan
from velum.evaluation.metrics import Rate
from velum.evaluation.reidentification.attack import FEWEST, chance
from velum.limits import Limits
from velum.locate.embedding.resemblyzer import RATE, Resemblyzer
from velum.media.sound.sound_file import mono_samples
from velum.plan import Audio, Plan, Video

VOICE_ATTACKS = ("network", "network, told")
"""Compare embeddings of what is left with those of the candidates; or with candidates hidden in the same way."""

VOICE_HEADING = ("hidden by", "recording", *VOICE_ATTACKS, "at chance")
"""Column titles."""

_KEEPING = ("copy", "drop")
"""Values of `video.audio` that leave nothing to attack, or nothing hidden."""

_NEAR = 1e-5  # likenesses that differ by less count as equal

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class VoiceResult:
    """How often attackers named the right one of `speakers` speakers, for one way to hide sound."""

    hidden: str
    recording: str
    """`copy`: the attacker has the recording that is hidden. `other`: only other recordings of the same speaker."""
    speakers: int
    recordings: int
    right: Mapping[str, float]
    """Attack -> share of hidden recordings whose speaker was named. Guessing gives 1 / speakers."""

    @property
    def by_chance(self) -> float:
        """Share that may be luck: 99 of 100 guessing attackers reach no more. Recordings of one speaker count once."""
        return chance(self.speakers)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        intervals = {
            name: Rate(round(share * self.speakers), self.speakers).interval for name, share in self.right.items()
        }
        return {
            "hidden": self.hidden, "recording": self.recording, "speakers": self.speakers,
            "recordings": self.recordings, "chance": round(1 / self.speakers, 4),
            "by_chance": round(self.by_chance, 4), "right": {name: round(v, 4) for name, v in self.right.items()},
            "intervals": {name: [round(bound, 4) for bound in bounds] for name, bounds in intervals.items()},
        }  # fmt: skip

    @property
    def row(self) -> list[str]:
        """A row of text: the share that each attack named, and whether it may be luck."""
        shares = [f"{100 * self.right[attack]:.1f} %" for attack in VOICE_ATTACKS]
        at_chance = max(self.right.values()) <= self.by_chance
        return [self.hidden, self.recording, *shares, "yes" if at_chance else "no"]


def check_modes(modes: Sequence[str]) -> list[str]:
    """Return the values of `video.audio` to test; by default all that hide. Raises `BadPlan` for others."""
    allowed = [mode for mode in get_args(Audio) if mode not in _KEEPING]
    if unknown := [mode for mode in modes if mode not in allowed]:
        raise BadPlan(f"--with {unknown[0]!r} does not hide voices; with --audio, allowed are {', '.join(allowed)}")
    return list(dict.fromkeys(modes)) or allowed


def describe_luck(result: VoiceResult) -> str:
    """Return what guessing reaches, for comparison with the rows."""
    return (
        f"{result.speakers} speakers; guessing names {1 / result.speakers:.1%}, with luck up to {result.by_chance:.1%}"
    )


def find_recordings(folder: Path) -> dict[str, list[Path]]:
    """Return the sound files in each folder of a folder, by the folder's name: one folder is one speaker.

    Raises `BadInput` for fewer than ten speakers, and for one with fewer than two files.
    """
    speakers = {
        place.name: [path for path in sorted(place.iterdir()) if path.is_file() and media.sound_format_of(path)]
        for place in sorted(folder.iterdir() if folder.is_dir() else ())
        if place.is_dir()
    }
    if len(speakers) < FEWEST:
        raise BadInput(
            f"{folder} has folders of {len(speakers)} speakers, too few to tell hits from luck; give a folder with one "
            f"folder of sound files for each of at least {FEWEST} speakers"
        )
    if few := [name for name, files in speakers.items() if len(files) < 2]:
        raise BadInput(f"{folder / few[0]} has fewer than two sound files; give two recordings of each speaker or more")
    return speakers


class VoiceTrial:
    """Recordings of speakers; `results` tests one way to hide sound. The attacker knows the first half of each."""

    def __init__(self, speakers: Mapping[str, Sequence[Path]], engine: Engine, network: Resemblyzer) -> None:
        """Embed all recordings as they are. Raises `BadInput` for one that cannot be read."""
        self._engine, self._network = engine, network
        self._files = [path for files in speakers.values() for path in files]
        self._who = np.array([number for number, files in enumerate(speakers.values()) for _ in files])
        known = [at < (len(files) + 1) // 2 for files in speakers.values() for at in range(len(files))]
        self._is_known = np.array(known)
        self._plain = self._embed(self._files)

    def results(self, mode: str | None) -> list[VoiceResult]:
        """Return the results of one value of `video.audio`; None hides nothing, and shows how strong the attack is."""
        hidden = self._plain if mode is None else self._hide(mode)
        results = []
        for kind, probes in (("copy", self._is_known), ("other", ~self._is_known)):
            without = self._share_of_hits(hidden, probes, self._plain)
            told = max(without, self._share_of_hits(hidden, probes, hidden))
            right = dict(zip(VOICE_ATTACKS, (without, told), strict=True))
            count = len(set(self._who.tolist()))
            results.append(VoiceResult(mode or "nothing", kind, count, int(probes.sum()), right))
        return results

    def _hide(self, mode: str) -> Vectors:
        plan = Plan(video=Video(audio=mode))  # type: ignore[arg-type]  # the plan checks it
        with TemporaryDirectory(prefix="velum-") as folder:
            targets = [Path(folder, f"{number}{path.suffix}") for number, path in enumerate(self._files)]
            for source, target in zip(self._files, targets, strict=True):
                self._engine.hide(source, target, plan)
            return self._embed(targets)

    def _embed(self, files: Sequence[Path]) -> Vectors:
        return self._network.embed([mono_samples(path, Limits(), RATE) for path in files])

    def _share_of_hits(self, hidden: Vectors, probes: npt.NDArray[np.bool_], candidates: Vectors) -> float:
        """Return the share of probes that are most like a known recording of their own speaker, or like their mean."""
        likeness = hidden[probes] @ candidates[self._is_known].T
        known, own = self._who[self._is_known], self._who[probes]
        by_speaker = [likeness[:, known == number] for number in range(int(known.max()) + 1)]
        scores = (np.stack([values.max(axis=1) for values in by_speaker], axis=1), np.stack(
            [values.mean(axis=1) for values in by_speaker], axis=1
        ))  # fmt: skip
        return max(_hits(score, own) for score in scores)


def _hits(scores: Vectors, own: npt.NDArray[np.int_]) -> float:
    """Return the share of rows whose own column is the highest; ties count as a guess."""
    alike = scores >= scores.max(axis=1, keepdims=True) - _NEAR
    return float(np.mean(alike[np.arange(len(own)), own] / alike.sum(axis=1)))
