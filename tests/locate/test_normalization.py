"""The normalization of a network: stated by the user or the file, in numbers or by name; never guessed."""

import numpy as np
import pytest

from velum.errors import BadInput, BadPlan
from velum.locate.normalization import input_for, parse_rgb, stated_input
from velum.locate.output_formats import Signature

IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


def test_names_and_numbers_give_the_same_normalization() -> None:
    assert input_for(*IMAGENET, None) == input_for(None, None, "imagenet")
    unit = input_for(None, None, "unit")
    assert (255 - unit["mean"][0]) * unit["scale"][0] == pytest.approx(1)
    symmetric = input_for(None, None, "symmetric")
    assert [(v - symmetric["mean"][0]) * symmetric["scale"][0] for v in (0, 255)] == pytest.approx([-1, 1])
    assert input_for(None, None, None) == {}


@pytest.mark.parametrize(
    ("mean", "scale", "name", "why"),
    [
        ((1, 1, 1), None, "unit", "already"),
        (None, None, "imagnet", "one of none, unit"),
        (None, (0, 1, 1), None, "above 0"),
        ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), None, "times 255"),
        ((9999, 0, 0), None, None, "from -1000"),
    ],
)
def test_impossible_normalizations_are_refused(
    mean: tuple[float, float, float] | None, scale: tuple[float, float, float] | None, name: str | None, why: str
) -> None:
    with pytest.raises(BadPlan, match=why):
        input_for(mean, scale, name)


def test_numbers_are_written_with_commas_or_blanks() -> None:
    assert parse_rgb("1,2.5, 3", "--mean") == parse_rgb("1 2.5 3", "--mean") == (1, 2.5, 3)
    assert parse_rgb("255", "--scale") == (255, 255, 255)
    for text in ("", "1,2", "a,b,c", "1,2,3,4", "nan,1,1"):
        with pytest.raises(BadPlan, match="--mean"):
            parse_rgb(text, "--mean")


STATED = [
    ({"mean_values": "123.675 116.28 103.53", "scale_values": "58.395 57.12 57.375"}, None, "as OpenVINO's API has it"),
    ({"model_info mean_values": "123.675 116.28 103.53", "model_info scale_values": "58.395 57.12 57.375"}, None,
     "the same in an ONNX file"),
    ({"mean": "[0.485, 0.456, 0.406]", "std": "[0.229, 0.224, 0.225]"}, None, "for values from 0 to 1"),
    ({"mean_values": "103.53 116.28 123.675", "scale_values": "57.375 57.12 58.395", "reverse_input_channels": "False"},
     "bgr", "of blue, green and red"),
    ({"mean_values": "123.675 116.28 103.53", "scale_values": "58.395 57.12 57.375", "reverse_input_channels": "True"},
     "rgb", "turned before"),
]  # fmt: skip


@pytest.mark.parametrize(("metadata", "order", "why"), STATED, ids=[one[-1] for one in STATED])
def test_the_normalization_that_a_file_states_is_used(metadata: dict[str, str], order: str | None, why: str) -> None:
    found = stated_input(Signature({}, {}, metadata), "net.onnx")
    expected = input_for(*IMAGENET, None)
    np.testing.assert_allclose(found["mean"], expected["mean"], rtol=1e-3)
    np.testing.assert_allclose(found["scale"], expected["scale"], rtol=1e-3)
    assert found.get("order") == order


@pytest.mark.parametrize(
    "metadata", [{"conversion.mean_values": "[1,2,3]"}, {"embedded_processing": "True", "mean_values": "1 2 3"}]
)
def test_normalization_inside_the_network_is_not_repeated(metadata: dict[str, str]) -> None:
    assert stated_input(Signature({}, {}, metadata), "net.xml") == input_for(None, None, "none")


def test_a_file_that_states_no_normalization_gives_none() -> None:
    assert stated_input(Signature({}, {}, {"names": "{0: 'face'}"}), "net.onnx") == {}
    with pytest.raises(BadInput, match="three numbers"):
        stated_input(Signature({}, {}, {"mean_values": "1 2"}), "net.onnx")
    with pytest.raises(BadInput, match="divided"):
        stated_input(Signature({}, {}, {"std": "0 1 1"}), "net.onnx")
