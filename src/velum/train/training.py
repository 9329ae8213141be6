"""One training from its request to its model: all checks first, then steps, then the model, its report and its card."""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx

from velum.errors import BadInput, BadPlan
from velum.evaluation.ground_truth import read
from velum.file_hash import sha256_of
from velum.limits import Limits
from velum.locate import output_formats, registry
from velum.locate.catalog_entry import NAME
from velum.locate.detect_family import STATED
from velum.locate.import_model import THRESHOLD, ImportedModel
from velum.locate.output_formats import Signature
from velum.locate.runtime import open_network, to_tensor
from velum.locate.weights.asset import Look, Looks
from velum.plugins import RuntimeConfig
from velum.train import graph
from velum.train.bases import HEADS, find_base
from velum.train.crops import CropSampler
from velum.train.finish import Finished, Finisher
from velum.train.labels import LabelledPictures, check_labels, check_outlines
from velum.train.labels import Progress as Reading
from velum.train.pictures import PictureStore
from velum.train.run_folder import Run, RunFolder, TrainingRequest
from velum.train.split import Split, split

SMALLEST_OBJECTS = {"detect": (8.0, 16.0), "segment": (16.0, 400.0)}
"""Task -> shorter side, in pixels, of the smallest object that a trained model looks for: from the labels, within
these."""

SMALL_SHARE = 0.05
"""Share of the labelled objects that may be smaller than what is looked for."""

SAME_AS_BASE = 1e-2
"""Largest difference of an output between torch and the runtime, as a share of the largest value, for a base."""


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A training whose request and labels are checked; the machine is not yet."""

    request: TrainingRequest
    found: LabelledPictures
    parts: Split

    def run(self) -> Run:
        """Return the description of the run, with the hash of each picture."""
        hashes: dict[str, str] = {}
        for picture in self.found.pictures:
            hashes.setdefault(picture.file.name, "")
            hashes[picture.file.name] = hashes[picture.file.name] or sha256_of(picture.file.path)
        parts = (
            {picture.name: hashes[picture.file.name] for picture in part}
            for part in (self.parts.train, self.parts.held_out)
        )
        train, held_out = parts
        began = datetime.now(UTC).isoformat(timespec="seconds")
        return Run(self.request, self.found.labels, train, held_out, self.found.notes, began)


def check_name(name: str, host: RuntimeConfig, *, replace_model: bool) -> None:
    """Raise `BadPlan` for an invalid model name, and for a name in use without the option to replace."""
    if not NAME.fullmatch(name):
        raise BadPlan(
            f"a model cannot be named {name!r}; give a name of letters, digits, '.', '_', '+' and '-', that begins "
            "with a letter, with -o"
        )
    if name in registry.catalog():
        raise BadPlan(f"velum ships a model named {name!r}; choose another name with -o")
    if name in registry.added_models(host) and not replace_model:
        raise BadPlan(f"you have a model named {name!r} already; choose another name with -o, or --replace it")


def prepare(request: TrainingRequest, limits: Limits, progress: Reading | None = None) -> Prepared:
    """Read and check the labels, and split them. Raises `BadInput` and `BadPlan` for every fault of theirs."""
    media = None if request.media is None else Path(request.media)
    truth = read(Path(request.truth), media, limits, all_splits=True)
    labelled = check_labels(truth, request.labels, limits, progress)
    if request.task == "segment":
        check_outlines(labelled)
    return Prepared(request, labelled, split(labelled, request.seed, request.group))


def check_same_pictures(folder: RunFolder, prepared: Prepared) -> None:
    """Raise `BadInput` when the pictures differ from those with which the training in a folder began."""
    run, now = folder.read(), prepared.run()
    if (now.train, now.held_out, now.labels) != (run.train, run.held_out, run.labels):
        raise BadInput(
            f"the labelled pictures are not those that {folder.path} was begun with: a picture was changed, added or "
            "taken away, and what was held out may have become known; begin anew with 'velum train' and --replace"
        )


class Training:
    """A training in a folder: `start`, and later `resume` or `finish`."""

    def __init__(self, folder: RunFolder, prepared: Prepared, run: Run, host: RuntimeConfig, limits: Limits) -> None:
        """Find the base and make it ready. Raises `BadPlan` and `BadInput` for a base that cannot be trained."""
        self.folder, self.prepared, self.run = folder, prepared, run
        self.host, self.limits = host, limits
        self.base = find_base(run.request.base, host, run.request.task)
        self.head = HEADS[self.base.family]
        self.model = graph.load(self.base.path)
        self.head.prepare(self.model, len(run.labels), run.request.seed)
        facts = {STATED: self.base.family, "base_sha256": self.base.sha256}
        if output_formats.family(self.base.family).input_varies(Signature({}, {})):
            facts |= normalisation_facts(self.base.form)
        graph.state_facts(self.model, run.labels, facts)
        self.offer = self._offer()

    def check_base(self) -> None:
        """Raise `BadInput` where torch and OpenVINO give different outputs for the base: training would be in vain."""
        import torch  # noqa: PLC0415 - of an extra

        from velum.train.measure import Trial  # noqa: PLC0415 - with it
        from velum.train.torch_network import TorchNetwork  # noqa: PLC0415 - with it

        width, height = self.base.form.size_wh or (128, 96)
        rgb = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        with torch.no_grad():
            ours = TorchNetwork(self.model)(torch.from_numpy(to_tensor(rgb, self.base.form)))
        with Trial(self.offer, self.model, self.host) as trial:
            path = registry.user_models_folder(trial.host) / str(trial.model.sources[0]).removeprefix("added: ")
            network = open_network(path, self.base.form, RuntimeConfig(precision="f32", compiled_cache=False))
            theirs = list(network.infer(rgb).values())
        for tensor, other in zip(ours, theirs, strict=True):
            difference = float(np.abs(tensor.numpy()[0] - other).max())
            if difference > SAME_AS_BASE * max(1.0, float(np.abs(other).max())):
                raise BadInput(
                    f"{self.base.name} cannot be a base: torch and OpenVINO differ by {difference:.2g} on it; export "
                    "it anew with opset 11 or later, or choose another base"
                )

    def train(self, store: PictureStore, tell: Callable[[Any], None], stop: Callable[[], bool], *, resume: bool) -> Any:
        """Take steps until the budget is spent, or `stop` returns True. Returns the last state."""
        from velum.train.trainer import (  # noqa: PLC0415 - of an extra
            Trainer,
            TrainingOptions,
            TrainingState,
            load_state,
            save_state,
        )

        request, sampler = self.run.request, self._sampler(store)
        options = TrainingOptions(
            request.steps, request.seconds, request.seed, request.batch, sampler.side, request.rate, request.device
        )
        state = load_state(self.folder, request.device) if resume else TrainingState()

        def look(progress: Any) -> None:
            if progress.is_look:
                self.folder.add_look(_look_values(progress))
            tell(progress)

        def keep(state: Any) -> None:
            save_state(self.folder, state)
            if state.best is not None and state.best_step == state.step:
                best = graph.with_weights(self.model, state.best)
                self.folder.write_bytes("model.onnx", best.SerializeToString())

        trainer = Trainer(
            self.model, self.offer, self.base.form, sampler, self.prepared.parts.held_out, options, self.host, keep,
            look, stop,
        )  # fmt: skip
        return trainer.run(state)

    def _sampler(self, store: PictureStore) -> CropSampler:
        """Return what draws crops of the pictures to train with, of the size of the base's input."""
        request, size = self.run.request, self.base.form.size_wh
        side = request.side if size is None else size[0]
        scale = self.head.sizes[0] / self.offer.effort["balanced"].image.min_side
        return CropSampler(
            self.prepared.parts.train, self.run.labels, store, side, scale, request.seed, self.base.form.pad,
            draws_masks=self.head.task == "segment",
        )  # fmt: skip

    def finish(self, store: PictureStore) -> Finished:
        """Make the model of the best state so far. Raises `BadInput` where there is none yet."""
        if not self.folder.model.is_file():
            raise BadInput(
                f"{self.folder.path} has no model yet: the training ended before its first look at the held-out "
                f"pictures; go on with 'velum train resume {self.folder.path}'"
            )
        finisher = Finisher(
            self.folder, self.run, self.base, self.offer, self.base.form, self.prepared.parts.held_out, store,
            self.host, self.limits, self._torch_outputs(),
        )  # fmt: skip
        return finisher.finish()

    def _torch_outputs(self) -> Callable[[Any], Sequence[Any]] | None:
        if importlib.util.find_spec("torch") is None:
            return None
        import torch  # noqa: PLC0415 - of an extra

        from velum.train.torch_network import TorchNetwork  # noqa: PLC0415 - with it

        network = TorchNetwork(onnx.load(self.folder.model))

        def run(batch: Any) -> list[Any]:
            with torch.no_grad():
                return [output.numpy() for output in network(torch.from_numpy(batch))]

        return run

    def _offer(self) -> ImportedModel:
        sides = [
            min(box.xyxy[2] - box.xyxy[0], box.xyxy[3] - box.xyxy[1])
            for picture in self.prepared.parts.train
            for box in picture.objects
        ]
        smallest = float(np.clip(np.quantile(sides, SMALL_SHARE), *SMALLEST_OBJECTS[self.head.task]))
        # Pixels of the closest look must be above 0; with 1, images are not enlarged beyond `min_side`.
        look = Look(THRESHOLD, round(smallest, 1), round(smallest, 1), 1)
        closer = replace(look, min_side=round(smallest / 1.5, 1))
        usual = asdict(output_formats.family(self.base.family).input)
        form = {key: value for key, value in asdict(self.base.form).items() if value != usual[key]}
        return ImportedModel(
            name=self.folder.name, path=self.folder.model, family=self.base.family, labels=self.run.labels,
            threshold=THRESHOLD, licence=self.base.licence, input=MappingProxyType(form), origin="velum train",
            copyright=self.base.copyright, sizes=self.head.sizes,
            effort={"balanced": Looks(look, look), "thorough": Looks(closer, closer)},
        )  # fmt: skip


def _look_values(progress: Any) -> dict[str, Any]:
    """Return the entry of the training folder for a look at the held-out pictures."""
    score = progress.score
    return {
        "step": progress.step, "share": round(progress.share, 4), "loss": round(progress.loss, 5),
        "measure": score.measure, "score": round(score.mean, 5),
        "by_label": {label: round(value, 5) for label, value in score.by_label.items()},
        "seconds": round(progress.seconds, 1),
    }  # fmt: skip


def normalisation_facts(form: output_formats.Input) -> dict[str, str]:
    """Return the normalisation of an input as `velum.locate.normalization` reads it from a file's metadata."""
    numbers = {"mean_values": form.mean, "scale_values": [1 / number for number in form.scale]}
    facts = {key: " ".join(f"{number:.9g}" for number in values) for key, values in numbers.items()}
    return {**facts, **({"reverse_input_channels": "true"} if form.order == "rgb" else {})}
