"""Run a network once before the user adds it, so that its faults show then and not in the first image."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from velum.errors import BadInput, PluginFault, Unavailable
from velum.frame import Rgb
from velum.locate.import_model import ImportedModel
from velum.locate.output_formats import Family, Input, Signature, Tensors, family
from velum.locate.output_formats.semantic import MapFamily
from velum.locate.runtime import open_network
from velum.plugins import RuntimeConfig

SIDE = 320
"""Side of the trial image, in pixels, for networks of any size: a multiple of every stride in use."""

LOWEST_SCORE = 0.01
"""Threshold of the trial: even the weakest detection must be of a class that has a label."""


def check_runs(path: Path, offer: ImportedModel, seen: Signature) -> None:
    """Run the network at `path` once, on noise, and decode its outputs as the model's family does.

    Raises `BadInput` when the network does not run, when its outputs do not have the family's layout, and when they
    name classes that have no label.
    """
    what = offer.path.name
    kind = family(offer.family)
    form = replace(kind.input, **offer.input)
    try:
        network = open_network(path, form, RuntimeConfig())
        outputs = network.infer(_noise(form))
    except (Unavailable, PluginFault) as error:
        raise BadInput(f"{what} was tried once and cannot be run: {error}{_batch_advice(seen)}") from error
    try:
        _read(outputs, kind, form, offer.labels)
    except (PluginFault, ValueError, LookupError, TypeError) as error:
        raise BadInput(
            f"{what} was tried once, and what it gives cannot be read as family {offer.family} with "
            f"{len(offer.labels)} labels: {error}{_batch_advice(seen)}"
        ) from error


def _noise(form: Input) -> Rgb:
    width, height = form.size_wh or (SIDE, SIDE)
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def _read(outputs: Tensors, kind: Family | MapFamily, form: Input, labels: tuple[str, ...]) -> None:
    if isinstance(kind, MapFamily):
        kind.read(outputs, len(labels))
        return
    found = kind.for_labels(len(labels)).decode(outputs, form.size_wh or (SIDE, SIDE), LOWEST_SCORE)
    if len(found) and not 0 <= found.kind.min() <= found.kind.max() < len(labels):
        raise ValueError(f"it speaks of class {found.kind.max()}, and the last label is of class {len(labels) - 1}")
    if not np.isfinite(found.xyxy).all():
        raise ValueError("it gives boxes that are no numbers")


def _batch_advice(seen: Signature) -> str:
    batch = next((shape[0] for shape in seen.inputs.values() if len(shape) == 4), None)
    return f"; it takes {batch} pictures at once: export it for one (batch=1)" if batch not in {None, 1} else ""
