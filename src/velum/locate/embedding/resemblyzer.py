"""The network of Resemblyzer, which compares voices: 256 numbers for each recording.

The network is an LSTM of three layers after Wan, Wang, Papir and Lopez Moreno, "Generalized end-to-end loss for speaker
verification" (2018), trained by the authors of the package. It runs in NumPy: recordings are short.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from velum.errors import BadInput
from velum.locate import registry
from velum.locate.weights import fetch
from velum.plugins import RuntimeConfig

if TYPE_CHECKING:
    from numpy.typing import NDArray

MODEL = "resemblyzer"

RATE = 16_000
"""Samples per second that the network takes."""

NUMBERS = 256

_LAYERS, _CHANNELS, _HOP, _WINDOW = 3, 40, 160, 400
_FRAMES, _STEP = 160, 77
"""Frames of 10 ms that the network hears at a time, and frames from one stretch to the next."""

_BATCH, _TINY = 256, 1e-9

_LEVEL = 10 ** (-30 / 20)
"""Level to which quiet recordings are raised: -30 dBFS, as the network was trained with."""

_PAUSE_SAMPLES, _PAUSE_LEVEL = 480, 10 ** (-60 / 20)
"""Stretches of 30 ms whose level is lower, once the recording is raised, are pauses, and are left out."""

_LINEAR_BIAS, _LINEAR, _LSTM = 6699, 7731, 269_883
"""Bytes at which the tensors begin. The file is known by its hash, so that nothing in it is unpickled."""

_INPUTS, _HIDDEN, _BIASES = (0, 303_104, 827_392), (40_960, 565_248, 1_089_536), 1_351_680
"""Numbers before the matrices and the biases of each layer, after the start of the LSTM."""


class Resemblyzer:
    """Compares voices. The constructor fetches the weights."""

    def __init__(self, host: RuntimeConfig) -> None:
        """Read the weights. Raises `Unavailable` when they cannot be fetched, `BadInput` when they are damaged."""
        self.fingerprint = (model := registry.embedding_models()[MODEL]).fingerprint
        weights = fetch.ensure_local(model, host)
        self._layers, self._linear, self._bias = _read_weights(weights)
        self._filters = mel_filters()

    def embed(self, recordings: "Sequence[NDArray[np.float32]]") -> "NDArray[np.float32]":
        """Return a vector (256) of length 1 for each recording, mono sound of `RATE`; zeros where nothing is heard."""
        parts = [_stretches(recording, self._filters) for recording in recordings]
        joined = np.concatenate([np.zeros((0, _FRAMES, _CHANNELS), np.float32), *parts])
        # Many stretches at a time: matrices are multiplied once for all of them.
        states = [self._run(joined[at : at + _BATCH]) for at in range(0, len(joined), _BATCH)]
        vectors = np.maximum(
            np.concatenate([np.zeros((0, NUMBERS), np.float32), *states]) @ self._linear.T + self._bias, 0
        )
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True) + _TINY
        ends = np.cumsum([len(part) for part in parts])
        sums = [vectors[end - len(part) : end].sum(axis=0) for part, end in zip(parts, ends, strict=True)]
        return np.array([total / (np.linalg.norm(total) + _TINY) for total in sums], np.float32).reshape(-1, NUMBERS)

    def _run(self, values: "NDArray[np.float32]") -> "NDArray[np.float32]":
        """Return the last state of the last layer, (stretches, 256), of (stretches, frames, channels)."""
        state: NDArray[np.float32] = np.zeros((len(values), NUMBERS), np.float32)
        for of_input, of_state, bias in self._layers:
            state, cell = np.zeros_like(state), np.zeros_like(state)
            from_input = values @ of_input.T + bias
            outputs: NDArray[np.float32] = np.empty((*values.shape[:2], NUMBERS), np.float32)
            for at in range(values.shape[1]):
                gates: NDArray[np.float32] = from_input[:, at] + state @ of_state.T
                keep_in, forget, new, out = np.split(gates, 4, axis=1)  # the order of PyTorch's LSTM
                cell = (_sigmoid(forget) * cell + _sigmoid(keep_in) * np.tanh(new)).astype(np.float32)
                outputs[:, at] = state = np.asarray(_sigmoid(out) * np.tanh(cell), np.float32)
            values = outputs
        return state


def _sigmoid(values: "NDArray[np.float32]") -> "NDArray[np.float32]":
    halves: NDArray[np.float32] = np.tanh(0.5 * values)
    return np.asarray(0.5 + 0.5 * halves, np.float32)


def _read_weights(
    path: Path,
) -> tuple[
    list[tuple["NDArray[np.float32]", "NDArray[np.float32]", "NDArray[np.float32]"]], "NDArray[np.float32]",
    "NDArray[np.float32]",
]:  # fmt: skip
    """Return the matrices of each layer of the LSTM, and those of the last layer. Raises `BadInput`."""
    data, gates = path.read_bytes(), 4 * NUMBERS

    def tensor(start: int, rows: int, columns: int) -> "NDArray[np.float32]":
        return np.frombuffer(data, "<f4", rows * columns, start).reshape(rows, columns)

    try:
        layers = []
        for layer in range(_LAYERS):
            width = NUMBERS if layer else _CHANNELS
            of_input = tensor(_LSTM + 4 * _INPUTS[layer], gates, width)
            of_state = tensor(_LSTM + 4 * _HIDDEN[layer], gates, NUMBERS)
            layers.append((of_input, of_state, tensor(_LSTM + 4 * (_BIASES + 2 * gates * layer), 2, gates).sum(axis=0)))
        return layers, tensor(_LINEAR, NUMBERS, NUMBERS), tensor(_LINEAR_BIAS, 1, NUMBERS)[0]
    except ValueError as error:
        raise BadInput(f"{path} is too short for the weights of {MODEL}: {error}; fetch it again") from error


def _stretches(samples: "NDArray[np.float32]", filters: "NDArray[np.float32]") -> "NDArray[np.float32]":
    """Return the overlapping stretches of a recording that the network hears, (stretches, frames, channels)."""
    heard = _leave_out_pauses(samples)
    if not len(heard):
        return np.zeros((0, _FRAMES, _CHANNELS), np.float32)
    frames = spectrogram(heard, filters)
    count = max(1, round((len(frames) - _FRAMES) / _STEP) + 1)
    padded = np.pad(frames, ((0, max(0, (count - 1) * _STEP + _FRAMES - len(frames))), (0, 0)))
    return np.stack([padded[at * _STEP : at * _STEP + _FRAMES] for at in range(count)])


def _leave_out_pauses(samples: "NDArray[np.float32]") -> "NDArray[np.float32]":
    """Return the samples at the network's level, without pauses."""
    whole = len(samples) // _PAUSE_SAMPLES
    stretches = samples[: whole * _PAUSE_SAMPLES].reshape(whole, _PAUSE_SAMPLES)
    levels = np.sqrt((stretches**2).mean(axis=1)) if whole else np.zeros(0, np.float32)
    if not (levels > 0).any():
        return np.zeros(0, np.float32)
    level = float(np.sqrt((levels[levels > 0] ** 2).mean()))
    gain = max(1.0, _LEVEL / level)
    return (stretches[levels * gain > _PAUSE_LEVEL] * gain).ravel().astype(np.float32)


def spectrogram(samples: "NDArray[np.float32]", filters: "NDArray[np.float32]") -> "NDArray[np.float32]":
    """Return the power in each channel of each 10 ms, (frames, 40)."""
    padded = np.pad(samples, _WINDOW // 2)
    starts = np.arange(0, len(padded) - _WINDOW + 1, _HOP)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_WINDOW) / _WINDOW)
    power = np.abs(np.fft.rfft(padded[starts[:, None] + np.arange(_WINDOW)] * window, axis=1)) ** 2
    return (power @ filters.T).astype(np.float32)


def mel_filters() -> "NDArray[np.float32]":
    """Return triangles of equal area on the mel scale of Slaney, "Auditory toolbox" (1998): (40, 201)."""
    # Linear up to 1000 Hz, and from there 27 steps for each factor of 6.4.
    most = 15 + 27 * np.log(RATE / 2 / 1000) / np.log(6.4)
    mels = np.linspace(0, most, _CHANNELS + 2)
    edges = np.where(mels < 15, mels * 200 / 3, 1000 * 6.4 ** ((mels - 15) / 27))
    frequencies = np.linspace(0, RATE / 2, _WINDOW // 2 + 1)
    rising = (frequencies - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - frequencies) / np.diff(edges)[1:, None]
    triangles = np.maximum(0, np.minimum(rising, falling))
    return (triangles * (2 / (edges[2:] - edges[:-2]))[:, None]).astype(np.float32)
