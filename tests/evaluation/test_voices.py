"""Attacks on hidden sound: a network names the speaker, or can do no more than guess."""

import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
from tests.media.sound.factories import write_sound
from typer.testing import CliRunner

from velum import Engine
from velum.cli.main import app
from velum.errors import BadInput, BadPlan
from velum.evaluation.reidentification.voices import VoiceTrial, check_modes, find_recordings
from velum.locate.embedding import resemblyzer
from velum.locate.embedding.resemblyzer import NUMBERS, RATE, Resemblyzer
from velum.plugins import RuntimeConfig

Wave = npt.NDArray[np.float32]


class Loudest:
    """Tells voices apart by the frequency in which they are the loudest."""

    def embed(self, recordings: Any) -> Wave:
        spectra = [np.abs(np.fft.rfft(recording, 1 << 12))[:1024] for recording in recordings]
        return np.array([spectrum / (np.linalg.norm(spectrum) + 1e-9) for spectrum in spectra], np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten speakers with two recordings each, a tone of their own."""
    for speaker in range(10):
        (tmp_path / f"speaker{speaker}").mkdir()
        for number in range(2):
            tone = 0.3 * np.sin(np.arange(RATE // 2) * (0.1 + 0.1 * speaker) + number)
            write_sound(tmp_path / f"speaker{speaker}" / f"{number}.wav", [tone], "pcm_s16le", rate=RATE)
    return tmp_path


def test_silence_leaves_nothing_but_guessing(folder: Path) -> None:
    with Engine(host=RuntimeConfig(offline=True)) as engine:
        trial = VoiceTrial(find_recordings(folder), engine, cast("Resemblyzer", Loudest()))
        nothing, silence = trial.results(None), trial.results("silence")
    assert [(result.recording, dict(result.right)) for result in nothing] == [
        ("copy", {"network": 1.0, "network, told": 1.0}), ("other", {"network": 1.0, "network, told": 1.0})
    ]  # fmt: skip
    assert [list(result.right.values()) for result in silence] == [pytest.approx([0.1, 0.1])] * 2
    assert silence[0].row == ["silence", "copy", "10.0 %", "10.0 %", "yes"]
    assert nothing[0].row[-1] == "no"
    assert json.loads(json.dumps(silence[0].to_json()))["chance"] == 0.1


def test_too_little_to_judge_by_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "speaker3" / "1.wav").unlink()
    with pytest.raises(BadInput, match="speaker3 has fewer than two"):
        find_recordings(folder)
    with pytest.raises(BadInput, match="0 speakers"):
        find_recordings(tmp_path / "speaker1")
    with pytest.raises(BadPlan, match="allowed are silence, speech-mute"):
        check_modes(["copy"])
    result = CliRunner().invoke(app, ["strength", str(folder), "--audio", "--with", "blur"])
    assert isinstance(result.exception, BadPlan)
    assert "'blur' does not hide voices" in str(result.exception)


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Resemblyzer:
    """A network with random weights, in a file as that of the package is laid out."""
    size = resemblyzer._LSTM + 4 * 1_357_824
    rng = np.random.default_rng(0)
    path = tmp_path / "pretrained.pt"
    path.write_bytes((rng.standard_normal(size // 4 + 1) * 0.05).astype("<f4").tobytes()[:size])
    data = bytearray(path.read_bytes())
    for start in (resemblyzer._LINEAR, resemblyzer._LINEAR_BIAS, resemblyzer._LSTM):  # none of them is aligned
        count = (len(data) - start) // 4
        data[start : start + 4 * count] = (rng.standard_normal(count) * 0.05).astype("<f4").tobytes()
    path.write_bytes(data)
    monkeypatch.setattr("velum.locate.weights.fetch.ensure_local", lambda *_: path)
    return Resemblyzer(RuntimeConfig(offline=True))


def test_a_recording_has_one_vector_whatever_is_embedded_with_it(network: Resemblyzer) -> None:
    rng = np.random.default_rng(1)
    waves = [(0.1 * rng.standard_normal(count)).astype(np.float32) for count in (RATE * 2, RATE // 2, 10)]
    vectors = network.embed([*waves, np.zeros(RATE, np.float32)])
    assert vectors.shape == (4, NUMBERS)
    assert np.allclose(np.linalg.norm(vectors, axis=1), [1, 1, 0, 0], atol=1e-5)
    assert np.allclose(network.embed([waves[1]])[0], vectors[1], atol=1e-5)
    assert network.embed([]).shape == (0, NUMBERS)


def test_the_layers_are_those_of_an_lstm(network: Resemblyzer) -> None:
    values = np.random.default_rng(2).standard_normal((1, 3, 40)).astype(np.float32)
    inputs = [row.astype(np.float64) for row in values[0]]
    for of_input, of_state, bias in network._layers:
        state, cell, outputs = np.zeros(NUMBERS), np.zeros(NUMBERS), []
        for row in inputs:
            keep_in, forget, new, out = (of_input @ row + of_state @ state + bias).reshape(4, NUMBERS)
            cell = cell / (1 + np.exp(-forget)) + np.tanh(new) / (1 + np.exp(-keep_in))
            state = np.tanh(cell) / (1 + np.exp(-out))
            outputs.append(state)
        inputs = outputs
    assert np.allclose(network._run(values)[0], inputs[-1], atol=1e-4)


def test_channels_of_the_spectrogram_follow_the_pitch() -> None:
    filters = resemblyzer.mel_filters()
    assert filters.shape == (40, 201)
    peaks = []
    for hertz in (200, 1000, 4000):
        tone = np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE).astype(np.float32)
        frames = resemblyzer.spectrogram(tone, filters)
        assert len(frames) == 101
        peaks.append(int(frames.mean(axis=0).argmax()))
    assert peaks == sorted(set(peaks))
    assert peaks[1] == pytest.approx(15 / 45.25 * 41 - 1, abs=1)
