"""Re-identification attacks: hide faces, let attackers identify them, and compare their hits with chance."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import cv2
import numpy as np
import numpy.typing as npt

from velum.engine.apply import paint
from velum.engine.prepare import PreparedPlan, PreparedRule
from velum.errors import BadInput
from velum.evaluation.metrics import Rate
from velum.evaluation.reidentification.descriptors import ROUGH, Values, descriptor, downscale, pixel_kinds
from velum.evaluation.reidentification.inversion import invert_technique
from velum.evaluation.reidentification.samples import (
    FACE_HEIGHT,
    HEIGHT,
    LANDMARKS,
    WIDTH,
    Pictures,
    Shot,
    originals,
    shots,
)
from velum.frame import Frame, Plane, Rgb, Role
from velum.plan import Plan, Rule
from velum.plugins import Embeddings, FaceEmbedder, Technique
from velum.region import Box, Region
from velum.spec import PartSpec

ATTACKS = ("pixels", "descriptor", "undone", "candidates")
"""Compare hidden pixels with the attacker's faces; compare descriptors; do both after inverting the technique; and
compare with the attacker's faces hidden in the same way (candidates)."""

NETWORK_ATTACKS = ("network", "network, told")
"""Compare embeddings of a trained network: of the hidden pixels and what inverting gives with the attacker's faces; or,
told the technique, with shots of the attacker's faces that are hidden in the same way."""

FEWEST = 10
"""Least number of faces: with fewer, hits cannot be told from chance."""

EMBEDDED = 4
"""Shots of each face that the attacker learns from which a trained network compares: it takes its time."""

PROBES, STUDIES, COMPARED = 3, 24, 12
"""Shots of each face that are hidden; from which the attacker learns; and how many of these are compared directly."""

SURE = 0.99
"""Share of guessing attackers that stay within `AttackResult.by_chance`."""


TECHNIQUES = (
    "blacken(degree=0.5)", "blacken(degree=0.9)", "blacken(degree=0.98)", "blacken",
    "pixelate(degree=0.05)", "pixelate(degree=0.1)", "pixelate", "pixelate(degree=0.5)", "pixelate(degree=1)",
    "blur(degree=0.1)", "blur(degree=0.25)", "blur(degree=0.5)", "blur",
)  # fmt: skip
"""Every built-in technique at several degrees; a technique without a degree has its default."""

HEADING = ("hidden by", "shot", *ATTACKS, "at chance")
"""Column titles."""

_ROUNDING = 0.25  # variance, in grey levels squared, below which an attacker cannot learn from 8-bit samples
_NEAR = 1e-5  # likenesses that differ by less count as equal
_SIZES = (
    (ROUGH[0] // 2, ROUGH[1] // 2),
    (ROUGH[0] // 4, ROUGH[1] // 4),
)  # with more values the attacker needs more shots to learn from

Likeness = npt.NDArray[np.floating]
"""Array (probes, faces) of likenesses; larger is more alike."""


@dataclass(frozen=True, slots=True)
class AttackResult:
    """How often attackers identified one of `faces` faces, for one technique and one kind of shot."""

    hidden: str
    shot: Shot
    faces: int
    right: Mapping[str, float]
    """Attack -> share of hidden faces that its best method identified. Guessing gives 1 / faces."""
    face_height: int = FACE_HEIGHT
    """Height of the hidden faces, in pixels."""

    def interval(self, attack: str) -> tuple[float, float]:
        """Return the 95 % confidence interval of an attack's share. Shots of one face count once."""
        return Rate(round(self.right[attack] * self.faces), self.faces).interval

    @property
    def worst(self) -> float:
        """Share that the best attack identified."""
        return max(self.right.values())

    @property
    def by_chance(self) -> float:
        """Share that may be luck: 99 of 100 guessing attackers reach no more."""
        return chance(self.faces)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            "hidden": self.hidden, "shot": self.shot, "face_px": self.face_height, "faces": self.faces,
            "chance": round(1 / self.faces, 4), "by_chance": round(self.by_chance, 4),
            "right": {k: round(v, 4) for k, v in self.right.items()},
            "intervals": {k: [round(bound, 4) for bound in self.interval(k)] for k in self.right},
        }  # fmt: skip


class AttackTrial:
    """Faces and what an attacker learns from them; `results` then tests each technique.

    `samples` are of different people, as `samples.sample` cuts them; each takes 2 MB. With `network`, an attacker has
    that as well. Faces are hidden at each of `face_heights`, in pixels. Raises `BadInput` for fewer than ten samples.
    """

    def __init__(
        self, samples: Sequence[Rgb], seed: int = 0, network: FaceEmbedder | None = None, *,
        face_heights: Sequence[int] = (FACE_HEIGHT,), probes: int = PROBES,
    ) -> None:  # fmt: skip
        if len(samples) < FEWEST:
            raise BadInput(
                f"{len(samples)} faces are too few to tell hits from luck; give images with at least {FEWEST} faces"
            )
        self._known = originals(samples)
        self._kinds = pixel_kinds(self._known)
        self._described = descriptor(self._known)
        self._network, self._face_heights = network, face_heights
        self._embedded = None if network is None else embed_pictures(network, self._known)
        self._probes = {kind: shots(samples, kind, probes, seed) for kind in get_args(Shot)}
        # Another seed: an attacker knows how photographs degrade, not how this one did.
        self._studies = {kind: shots(samples, kind, STUDIES, seed + 1) for kind in get_args(Shot)}

    def results(self, name: str, technique: Technique | None) -> Iterator[AttackResult]:
        """Yield the result for each kind of shot, of each height of faces.

        Technique None hides nothing, and shows how strong the attacks are. Raises `PluginFault` when the technique
        fails.
        """
        for face_height in self._face_heights:
            yield from self._results(name, technique, face_height)

    def _results(self, name: str, technique: Technique | None, face_height: int) -> Iterator[AttackResult]:
        size = region_size(face_height)
        for kind, probes in self._probes.items():
            hidden, studied = (hide(technique, shown, size) for shown in (probes, self._studies[kind]))
            right = {"pixels": max(self._by_pixels(hidden)), "descriptor": self._by_descriptor(hidden)}
            guesses = {} if technique is None else invert_technique(technique, hidden, size)
            tries = [
                right for guess in guesses.values() for right in (*self._by_pixels(guess), self._by_descriptor(guess))
            ]
            if tries:
                right["undone"] = max(tries)
            right["candidates"] = max(self._by_candidates(hidden, studied))
            if self._network is not None and self._embedded is not None:
                right |= self._by_network(self._network, self._embedded, hidden, list(guesses.values()), studied)
            yield AttackResult(name, kind, len(self._known), right, face_height)

    def _by_network(
        self,
        network: FaceEmbedder,
        embeddings: Embeddings,
        hidden: Pictures,
        guesses: Sequence[Values],
        studied: Pictures,
    ) -> dict[str, float]:
        hidden_embeddings = embed_pictures(network, hidden)
        tries = [hidden_embeddings, *(embed_pictures(network, guess) for guess in guesses)]
        few = studied.reshape(-1, STUDIES, *studied.shape[1:])[:, :EMBEDDED].reshape(-1, *studied.shape[1:])
        candidates = -_distances(hidden_embeddings, embed_pictures(network, few)).reshape(
            len(hidden_embeddings), -1, EMBEDDED
        )
        with_technique = max(hits(candidates.max(axis=2)), hits(candidates.mean(axis=2)))
        without = max(hits(-_distances(vectors, embeddings)) for vectors in tries)
        return {"network": without, "network, told": max(with_technique, without)}

    def _by_pixels(self, probes: Pictures | Values) -> list[float]:
        kinds = pixel_kinds(probes)
        return [hits(kinds[kind] @ self._kinds[kind].T) for kind in kinds]

    def _by_descriptor(self, probes: Pictures | Values) -> float:
        return hits(descriptor(probes) @ self._described.T)

    def _by_candidates(self, hidden: Pictures, studied: Pictures) -> list[float]:
        """Compare with candidates hidden in the same way (Newton, Sweeney and Malin, 2005, call it parrot)."""
        few = studied.reshape(-1, STUDIES, *studied.shape[1:])[:, :COMPARED].reshape(-1, *studied.shape[1:])
        kinds, studies = pixel_kinds(hidden), pixel_kinds(few)
        pairs = [(kinds[kind], studies[kind]) for kind in kinds] + [(descriptor(hidden), descriptor(few))]
        nearest = [(ours @ theirs.T).reshape(len(hidden), -1, COMPARED).max(axis=2) for ours, theirs in pairs]
        return [
            hits(likeness)
            for likeness in (*nearest, *(discriminant_likeness(hidden, studied, size) for size in _SIZES))
        ]


def discriminant_likeness(hidden: Pictures, studied: Pictures, size: tuple[int, int]) -> Likeness:
    """Return the likeness to each face's mean by linear discriminants (Fisher, 1936), which weigh down degradation.

    `studied`: the attacker's own shots, equally many of each face, hidden in the same way; all are compared at `size`.
    """
    values = downscale(studied, size).reshape(-1, STUDIES, size[0] * size[1] * 3).astype(np.float64)
    means = values.mean(axis=1)
    spread = (values - means[:, None]).reshape(-1, values.shape[2])
    within = spread.T @ spread / len(spread) + _ROUNDING * np.eye(values.shape[2])
    factor = np.linalg.inv(np.linalg.cholesky(within))
    ours = (downscale(hidden, size).reshape(len(hidden), -1) - means.mean(axis=0)) @ factor.T
    theirs = (means - means.mean(axis=0)) @ factor.T
    likeness: Likeness = 2 * ours @ theirs.T - (theirs**2).sum(axis=1)
    return likeness


def region_size(face_height: int) -> tuple[int, int]:
    """Return width and height of the region of a face, in pixels."""
    return max(1, round(WIDTH * face_height / FACE_HEIGHT)), max(1, round(HEIGHT * face_height / FACE_HEIGHT))


def hide(technique: Technique | None, pictures: Pictures, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Pictures:
    """Return the images, each hidden as a whole by the code of the engine; None hides nothing.

    They are hidden in regions of `size` (width, height), and returned in the size of the trial.
    """
    pictures = _resize(pictures, size)
    if technique is None:
        return _resize(pictures, (WIDTH, HEIGHT))
    rule = Rule("face", PartSpec("none"), PartSpec("none"), grow=0)
    work = PreparedPlan(Plan((rule,)), (PreparedRule(rule, technique),))
    whole = Region(Box(0, 0, *size), "face")
    hidden = pictures.copy()
    for picture in hidden:
        paint(Frame.of(Plane(picture, Role.RGB)), [[whole]], work)
    return _resize(hidden, (WIDTH, HEIGHT))


def _resize(pictures: Pictures, size: tuple[int, int]) -> Pictures:
    if pictures.shape[2:0:-1] == size:
        return pictures
    how = cv2.INTER_AREA if size[0] < pictures.shape[2] else cv2.INTER_CUBIC
    return np.stack([np.asarray(cv2.resize(picture, size, interpolation=how), np.uint8) for picture in pictures])


def embed_pictures(network: FaceEmbedder, pictures: Pictures | Values) -> Embeddings:
    """Return a vector for each picture of a face, by where landmarks lie in the mean: hidden faces show none."""
    vectors = []
    for picture in pictures:
        whole = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
        if whole.shape[:2] != (HEIGHT, WIDTH):
            whole = np.asarray(cv2.resize(whole, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)
        vectors.append(network.embed(Frame.of(Plane(whole, Role.RGB)), [LANDMARKS])[0])
    return np.array(vectors, np.float32)


def _distances(vectors: Embeddings, others: Embeddings) -> Values:
    # By differences: equal vectors, as of faces that are black, must be at the distance 0 for ties to count as such.
    return np.stack([np.linalg.norm(others - vector, axis=1) for vector in vectors])


def hits(likeness: Likeness) -> float:
    """Return the share of probes whose own face is the most alike; ties count as a guess.

    Probes are in the order of the faces, equally many of each.
    """
    probes, faces = likeness.shape
    own = np.arange(probes) * faces // probes
    best = likeness.max(axis=1, keepdims=True)
    alike = likeness >= best - _NEAR * np.maximum(1, np.abs(best))
    return float(np.mean(alike[np.arange(probes), own] / alike.sum(axis=1)))


def chance(faces: int) -> float:
    """Return the share of hits that 99 of 100 guessing attackers do not exceed. Shots of one face count once."""
    total, most = 0.0, -1
    while total < SURE:
        most += 1
        total += math.comb(faces, most) * (1 / faces) ** most * (1 - 1 / faces) ** (faces - most)
    return most / faces


def result_row(result: AttackResult) -> list[str]:
    """Return a row of text: the share of faces that each attack identified, and whether it may be luck."""
    shares = (result.right.get(attack) for attack in (*ATTACKS, *network_attacks(result)))
    cells = ("-" if share is None else f"{100 * share:.1f} %" for share in shares)
    return [result.hidden, result.shot, *cells, "yes" if result.worst <= result.by_chance else "no"]


def network_attacks(result: AttackResult) -> tuple[str, ...]:
    """Return the attacks with a trained network that a result has: all of them, or none."""
    return NETWORK_ATTACKS if NETWORK_ATTACKS[0] in result.right else ()


def describe_chance(result: AttackResult) -> str:
    """Return what guessing reaches, for comparison with the rows."""
    return f"{result.faces} faces; guessing identifies {1 / result.faces:.1%}, with luck up to {result.by_chance:.1%}"
