"""How to normalise pixel values for a network: from the user's options or from the file's metadata.

A network gets `(value - mean) * scale`, where values are from 0 to 255, and mean and scale are for red, green and blue.
Users and files state the divisor instead of `scale`, as training tools and OpenVINO's converter do.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from velum.errors import BadInput, BadPlan
from velum.locate.output_formats import Signature

Rgb3 = tuple[float, float, float]

NORMALISATIONS: Mapping[str, tuple[Rgb3, Rgb3]] = MappingProxyType({
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "unit": ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
    "symmetric": ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
})  # fmt: skip
"""Name -> mean and divisor, which give values from 0 to 255, from 0 to 1, from -1 to 1, and those of ImageNet."""

_NUMBER = r"-?\d+(?:\.\d*)?(?:[eE]-?\d+)?"


def input_for(mean: Rgb3 | None, divisor: Rgb3 | None, name: str | None) -> dict[str, Any]:
    """Return the fields `mean` and `scale` of `Input` for a user's options; an empty dict without options.

    Raises `BadPlan` for an unknown name, a name together with numbers, and numbers out of range.
    """
    if name is not None:
        if mean or divisor:
            raise BadPlan(f"normalise {name!r} already sets mean and scale; give it alone, or --mean and --scale")
        if name not in NORMALISATIONS:
            raise BadPlan(
                f"normalise is {name!r}; it must be one of {', '.join(NORMALISATIONS)}, or give --mean and --scale"
            )
        mean, divisor = NORMALISATIONS[name]
    if mean is None and divisor is None:
        return {}
    mean, divisor = mean or (0.0, 0.0, 0.0), divisor or (1.0, 1.0, 1.0)
    if not all(0 < number <= 1000 for number in divisor):
        raise BadPlan(f"scale is {_join(divisor)}; values are divided by it, so it must be above 0 and at most 1000")
    if not all(-1000 <= number <= 1000 for number in mean):
        raise BadPlan(f"mean is {_join(mean)}; it must be from -1000 to 1000")
    if any(mean) and max(map(abs, mean)) <= 1 and max(divisor) <= 1:
        raise BadPlan(
            f"mean {_join(mean)} and scale {_join(divisor)} are for values from 0 to 1; give them for values from "
            "0 to 255, each times 255, or --normalise imagenet"
        )
    return {"mean": mean, "scale": (1 / divisor[0], 1 / divisor[1], 1 / divisor[2])}


def parse_rgb(text: str, option: str) -> Rgb3:
    """Return three numbers written as `123.7,116.3,103.5`, or one for all three. Raises `BadPlan`."""
    match = re.fullmatch(rf"\s*({_NUMBER})(?:[,\s]+({_NUMBER})[,\s]+({_NUMBER}))?\s*", text)
    if match is None:
        raise BadPlan(f"{option} is {text!r}; write the numbers for red, green and blue as 123.675,116.28,103.53")
    first, *rest = (float(number) for number in match.groups() if number is not None)
    return (first, rest[0], rest[1]) if rest else (first, first, first)


def stated_input(signature: Signature, file: str) -> dict[str, Any]:
    """Return the fields `mean`, `scale` and `order` of `Input` that a file's metadata states; `file` names the file.

    The keys are those of OpenVINO's Model API, `mean_values`, `scale_values` and `reverse_input_channels`, unless the
    file says that they are built into the network, and `mean` and `std`, as other training tools write them. Options of
    OpenVINO's converter are already built in. Raises `BadInput` when the numbers cannot be read.
    """
    facts = {key.removeprefix("model_info "): value for key, value in signature.metadata.items()}
    if {"conversion.mean_values", "conversion.scale_values"} & facts.keys():
        return _fields((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    if facts.get("embedded_processing", "").lower() == "true":
        return _fields((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    mean = _parse_stated(facts, ("mean_values", "mean"), file)
    divisor = _parse_stated(facts, ("scale_values", "std"), file)
    if mean is None and divisor is None:
        return {}
    mean, divisor = mean or (0.0, 0.0, 0.0), divisor or (1.0, 1.0, 1.0)
    if max(map(abs, mean)) <= 1 and max(divisor) <= 1 and any(mean):  # for values from 0 to 1
        mean, divisor = _multiply(mean, 255), _multiply(divisor, 255)
    if not all(number > 0 for number in divisor):
        raise BadInput(f"{file} states the scale {_join(divisor)}, by which nothing can be divided; give --normalise")
    if "reverse_input_channels" not in facts:
        return _fields(mean, divisor)
    # Model API reads images as BGR. Where it does not reverse the channels, the numbers are for blue, green, red.
    if facts["reverse_input_channels"].lower() in {"true", "yes", "1"}:
        return _fields(mean, divisor) | {"order": "rgb"}
    return _fields(mean[::-1], divisor[::-1]) | {"order": "bgr"}


def _fields(mean: Rgb3, divisor: Rgb3) -> dict[str, Any]:
    return {"mean": mean, "scale": (1 / divisor[0], 1 / divisor[1], 1 / divisor[2])}


def _parse_stated(facts: Mapping[str, str], keys: tuple[str, ...], file: str) -> Rgb3 | None:
    text = next((facts[key] for key in keys if facts.get(key)), None)
    if text is None:
        return None
    numbers = [float(number) for number in re.findall(_NUMBER, text)]
    if len(numbers) not in {1, 3}:
        raise BadInput(
            f"{file} states {keys[0]} as {text[:60]!r}, which are not three numbers; give --mean and --scale"
        )
    return (numbers[0], numbers[-2], numbers[-1]) if len(numbers) == 3 else (numbers[0], numbers[0], numbers[0])


def _multiply(numbers: Rgb3, factor: float) -> Rgb3:
    return numbers[0] * factor, numbers[1] * factor, numbers[2] * factor


def _join(numbers: Rgb3) -> str:
    return ",".join(f"{number:g}" for number in numbers)
