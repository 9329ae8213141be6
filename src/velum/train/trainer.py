"""The training itself: steps, the best state so far, hard negatives, and when to stop."""

import math
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pickle import UnpicklingError
from typing import Any

import numpy as np
import onnx
import torch

from velum.atomic import publish
from velum.errors import BadInput, Unavailable
from velum.locate.import_model import ImportedModel
from velum.locate.output_formats import Input
from velum.locate.runtime import to_tensor
from velum.plugins import RuntimeConfig
from velum.train import graph
from velum.train.bases import HEADS
from velum.train.crops import Crop, CropSampler, HardNegative
from velum.train.labels import LabelledPicture
from velum.train.measure import (
    HARD_SCORE,
    LEAST_SCORE,
    MASK_LEVEL,
    HeldOutScore,
    Trial,
    count_masks,
    hard_negatives,
    measure,
    measure_masks,
)
from velum.train.run_folder import RunFolder
from velum.train.torch_network import TorchNetwork, Weights

LOOKS = (0.1, 0.4, 0.7, 0.9, 1.0)
"""Progress at which the network is measured on the held-out pictures."""

MINING = (0.25, 0.55)
"""Progress from which hard negatives are mined, together with the look that comes then."""

MINED_PICTURES = 48
MOST_HARD = 200

WARM_UP = 20
"""Steps over which the rate rises."""

MOST_AVERAGED = 0.99
"""Share of the former average in the average of the weights, at most."""

GRADIENT = 10.0
"""Norm that the gradient is cut to."""


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """How long and how to train: until `steps` are done, or `seconds` have passed."""

    steps: int | None = None
    seconds: float | None = None
    seed: int = 1
    batch: int = 6
    side: int = 288
    rate: float = 5e-4
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a training is. `share`: from 0 to 1; `score`: of the last look, None before the first."""

    step: int
    share: float
    loss: float
    seconds: float
    score: HeldOutScore | None
    best: float
    is_look: bool = False

    @property
    def seconds_left(self) -> float:
        """Expected seconds to the end."""
        return self.seconds * (1 - self.share) / self.share if self.share else 0.0


@dataclass(slots=True)
class TrainingState:
    """All that a training needs to continue: weights, their average, moments of the optimizer, and the best average."""

    step: int = 0
    seconds: float = 0.0
    weights: Weights | None = None
    average: Weights | None = None
    optimizer: dict[str, Any] | None = None
    best: Weights | None = None
    best_score: float = -1.0
    best_step: int = 0
    looks: int = 0
    hard: list[Any] = field(default_factory=list)


@dataclass(slots=True)
class Trainer:
    """Trains one network. `stop` is called before each step, and `keep` with the state after each look."""

    model: onnx.ModelProto
    offer: ImportedModel
    form: Input
    sampler: CropSampler
    held_out: Sequence[LabelledPicture]
    options: TrainingOptions
    host: RuntimeConfig
    keep: Callable[[TrainingState], None]
    tell: Callable[[Progress], None]
    stop: Callable[[], bool]
    _kept_step: int = field(default=-1, init=False)

    def run(self, state: TrainingState) -> TrainingState:
        """Train from `state` to the end, or until `stop` returns True, and return the last state.

        Raises `Unavailable` when the device is missing, and `BadInput` when the loss is NaN or infinite.
        """
        self._set_up()
        network = TorchNetwork(self.model, self.options.device)
        if state.weights is not None:
            network.load(state.weights)
        optimizer = torch.optim.AdamW(list(network.trained.values()), self.options.rate, weight_decay=1e-4)
        if state.optimizer is not None:
            optimizer.load_state_dict(state.optimizer)
        average = {name: torch.from_numpy(values) for name, values in (state.average or network.weights()).items()}
        loss_of, self.sampler.hard = HEADS[self.offer.family].loss(), list(state.hard)
        began, before = time.monotonic(), state.seconds
        losses: deque[float] = deque(maxlen=20)
        base: HeldOutScore | None = None
        score: HeldOutScore | None = None
        # A training that goes on for longer than was asked at first looks again at the shares of the longer one.
        state.looks = sum(self._share(state) >= at for at in LOOKS)
        if state.weights is None:  # the base may know the label already, and a few pictures can make it worse
            base = self._look(network, optimizer, average, state, 0.0)
        while (share := self._share(state)) < 1 and not self.stop():
            losses.append(self._step(network, optimizer, loss_of, state.step, share))
            state.step += 1
            _average(average, network, state.step)
            state.seconds = before + time.monotonic() - began
            share = self._share(state)
            if base is not None:  # the loss of the first step is that of the base
                self.tell(Progress(0, share, losses[0], state.seconds, base, state.best_score, is_look=True))
                base = None
            is_look = share >= LOOKS[min(state.looks, len(LOOKS) - 1)]
            if is_look:
                score = self._look(network, optimizer, average, state, share)
                state.seconds = before + time.monotonic() - began
            self.tell(Progress(state.step, share, _recent(losses), state.seconds, score, state.best_score, is_look))
        if state.step != self._kept_step and self.stop():
            share = self._share(state)
            score = self._look(network, optimizer, average, state, share)
            self.tell(
                Progress(state.step, share, _recent(losses), state.seconds, score, state.best_score, is_look=True)
            )
        return state

    def _set_up(self) -> None:
        if self.options.device == "cuda" and not torch.cuda.is_available():
            raise Unavailable("torch finds no NVIDIA GPU; use --device cpu, or install torch for CUDA and its driver")
        torch.manual_seed(self.options.seed)
        random.seed(self.options.seed)
        if self.host.threads:
            torch.set_num_threads(self.host.threads)

    def _share(self, state: TrainingState) -> float:
        """Return the finished share of the training, by steps or by time."""
        if self.options.steps is not None:
            return min(1.0, state.step / self.options.steps)
        return min(1.0, state.seconds / (self.options.seconds or 1.0))

    def _step(self, network: TorchNetwork, optimizer: Any, loss_of: Any, step: int, share: float) -> float:
        rate = self.options.rate * min(1.0, (step + 1) / WARM_UP) * (0.02 + 0.98 * (1 + math.cos(math.pi * share)) / 2)
        for group in optimizer.param_groups:
            group["lr"] = rate
        crops = self.sampler.batch(step, self.options.batch)
        loss = loss_of(network(self._tensor(crops)), crops)
        value = float(loss.detach())
        if not np.isfinite(value):
            raise BadInput(
                f"the loss is no number any more at step {step}: the rate {self.options.rate:g} is too high for this "
                "base; choose a lower --rate. The best state so far is kept"
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(network.trained.values()), GRADIENT)
        optimizer.step()
        return value

    def _tensor(self, crops: Sequence[Crop]) -> Any:
        batch = np.concatenate([to_tensor(crop.rgb, self.form) for crop in crops])
        return torch.from_numpy(batch).to(self.options.device).contiguous(memory_format=torch.channels_last)

    def _look(
        self, network: TorchNetwork, optimizer: Any, average: dict[str, Any], state: TrainingState, share: float
    ) -> HeldOutScore:
        """Measure the average of the weights on the held-out pictures, mine hard negatives, and keep the state."""
        mean = {name: tensor.numpy().copy() for name, tensor in average.items()}
        with Trial(self.offer, graph.with_weights(self.model, mean), self.host) as trial:
            score = self._measure(trial)
            due = sum(share >= at for at in MINING) > sum(LOOKS[state.looks - 1] >= at for at in MINING if state.looks)
            if due and share < 1:
                self._mine(trial, state)
        if score.mean >= state.best_score:
            state.best, state.best_score, state.best_step = mean, score.mean, state.step
        state.looks = sum(share >= at for at in LOOKS)
        state.weights, state.average, state.optimizer = network.weights(), mean, optimizer.state_dict()
        self._kept_step = state.step
        self.keep(state)
        return score

    def _measure(self, trial: Trial) -> HeldOutScore:
        labels, store = self.sampler.labels, self.sampler.store
        if self.sampler.draws_masks:
            return measure_masks(count_masks(trial.probabilities(self.held_out, store), self.held_out, labels))
        return measure(trial.find(self.held_out, store, LEAST_SCORE), self.held_out, labels)

    def _mine(self, trial: Trial, state: TrainingState) -> None:
        pictures = self.sampler.pictures
        order = np.random.default_rng([self.options.seed, state.step]).permutation(len(pictures))
        chosen = sorted(int(index) for index in order[:MINED_PICTURES])
        level = MASK_LEVEL if self.sampler.draws_masks else HARD_SCORE
        detections = trial.find([pictures[index] for index in chosen], self.sampler.store, level)
        state.hard = hard_negatives(detections, pictures, chosen, MOST_HARD)
        self.sampler.hard = list(state.hard)


def _recent(losses: deque[float]) -> float:
    """Return the mean loss of the last steps."""
    return sum(losses) / max(1, len(losses))


def _average(average: dict[str, Any], network: TorchNetwork, step: int) -> None:
    """Move the average of the weights towards them: quickly at first, then slowly."""
    share = min(MOST_AVERAGED, (1 + step) / (10 + step))
    with torch.no_grad():
        for name, tensor in average.items():
            tensor.mul_(share).add_(network.trained[name].cpu(), alpha=1 - share)


def save_state(folder: RunFolder, state: TrainingState) -> None:
    """Write all that is needed to continue. Raises `OutputFailed`."""

    def tensors(weights: Any) -> Any:
        return None if weights is None else {name: torch.from_numpy(values) for name, values in weights.items()}

    value = {
        "step": state.step, "seconds": state.seconds, "looks": state.looks, "optimizer": state.optimizer,
        "weights": tensors(state.weights), "average": tensors(state.average), "best": tensors(state.best),
        "best_score": state.best_score, "best_step": state.best_step,
        "hard": [[place.picture, *place.xyxy] for place in state.hard],
    }  # fmt: skip
    with publish(folder.state, overwrite=True) as part:
        torch.save(value, part)


def load_state(folder: RunFolder, device: str) -> TrainingState:
    """Return the state to continue from. Raises `BadInput` where there is none, or where it is damaged."""
    if not folder.state.is_file():
        return TrainingState()
    try:
        value = torch.load(folder.state, map_location=device, weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, UnpicklingError) as error:
        cause = str(error).partition("\n")[0]
        raise BadInput(f"{folder.state} is damaged: {cause}; begin anew with --replace") from error

    def arrays(weights: Any) -> Any:
        return None if weights is None else {name: tensor.cpu().numpy() for name, tensor in weights.items()}

    return TrainingState(
        value["step"], value["seconds"], arrays(value["weights"]), arrays(value["average"]), value["optimizer"],
        arrays(value["best"]), value["best_score"], value["best_step"], value["looks"],
        [HardNegative(int(place[0]), (place[1], place[2], place[3], place[4])) for place in value["hard"]],
    )  # fmt: skip
