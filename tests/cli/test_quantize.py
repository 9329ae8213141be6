"""`velum models quantize` prints the gain in speed and the lost detections of a faster copy."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from velum.cli.models import app
from velum.errors import BadInput
from velum.locate import registry
from velum.locate.quantize import QuantizationTrial, Quantized, Share


def trial(precision: str, ms: float, again: int) -> QuantizationTrial:
    shares = {"0-16": Share(again, 3), "16-32": Share(0, 0), "32-96": Share(0, 0), "96-": Share(1, 1)}
    return QuantizationTrial(precision, ms, shares, 2, 0.25)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(3):
        Image.fromarray(np.full((20, 30 + index, 3), 90, np.uint8)).save(folder / f"{index}.png")
    return folder


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The arguments that the command passes on; the work itself has tests of its own."""
    asked: dict[str, Any] = {}

    def fake(name: str, host: Any, pictures: Any, **options: Any) -> Quantized:
        asked.update(options, name=name, widths=[one().width for one in pictures])
        sys.stdout.write("what a library prints")
        return Quantized(registry.find("yunet"), (trial("f32", 20, 3), trial("i8+bf16", 8.04, 2)), 3, held_back=False)

    monkeypatch.setattr("velum.locate.quantize.quantize", fake)
    return asked


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["quantize", *arguments])


def test_uses_every_image_of_the_folder_and_passes_options_on(asked: dict[str, Any], photos: Path) -> None:
    result = run("yunet", "--images", str(photos), "--name", "quick", "--preset", "performance", "--replace")
    assert result.exit_code == 0
    assert asked.pop("say")
    assert asked == {
        "name": "yunet", "widths": [30, 31, 32], "new_name": "quick", "preset": "performance", "replace_old": True,
    }  # fmt: skip


def test_prints_a_table_that_compares_with_the_original_model(
    asked: dict[str, Any], photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    head, exact, smaller, last = run("yunet", "--images", str(photos)).stdout.splitlines()
    assert head.split()[:4] == ["arithmetic", "ms", "found", "again"]
    assert exact.split() == ["f32", "20.0", "4/4", "2", "0.25", "3/3", "-", "-", "1/1"]
    assert smaller.split() == ["i8+bf16", "8.0", "3/4", "2", "0.25", "2/3", "-", "-", "1/1"]
    assert last == "yunet: made from yunet, compared on 3 images, the same as for calibration"


def test_prints_only_json_on_standard_output(asked: dict[str, Any], photos: Path) -> None:
    answer = json.loads(run("yunet", "--images", str(photos), "--json").stdout)
    assert (answer["name"], answer["pictures"], answer["held_back"]) == ("yunet", 3, False)
    assert [one["again"] for one in answer["trials"]] == [4, 3]


def test_names_the_mistake_in_an_option(asked: dict[str, Any], photos: Path, tmp_path: Path) -> None:
    assert isinstance(run("yunet", "--images", str(tmp_path / "nowhere")).exception, BadInput)
    wrong = run("yunet", "--images", str(photos), "--preset", "fast")
    assert wrong.exit_code == 2
    assert "must be mixed or performance" in wrong.stderr
