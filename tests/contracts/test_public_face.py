"""What strangers rely on: public names, errors, and the cost of an import."""

import json
import subprocess
import sys

import pytest

import velum
from velum import errors

HEAVY = {"av", "cv2", "openvino", "PIL", "fastapi", "onnxruntime", "numpy"}


def test_every_public_name_exists_and_no_other_is_public() -> None:
    assert velum.__all__ == sorted(velum.__all__)
    assert set(velum.__all__) == set(velum._HOMES)
    for name in velum.__all__:
        assert getattr(velum, name).__module__ == velum._HOMES[name]
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        velum.Nonsense  # noqa: B018 - the look-up is the test


@pytest.mark.parametrize(("old", "new"), [("Findings", "Annotations"), ("Host", "RuntimeConfig"), ("Use", "PartSpec")])
def test_an_old_name_still_works_and_names_the_new_one(old: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"velum.{old} is now called velum.{new}"):
        assert getattr(velum, old) is getattr(velum, new)


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    return {name.partition(".")[0] for name in json.loads(output.splitlines()[-1])}


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("import velum", set()),
        ("from velum import Plan; Plan.of('face: centerface -> blur')", set()),
        ("from velum import VelumError", set()),
        ("from velum.cli import main", set()),  # velum --help must come at once
    ],
)
def test_importing_velum_loads_few_modules(statement: str, allowed: set[str]) -> None:
    assert loaded_by(statement) & HEAVY <= allowed


def test_the_hierarchy_of_errors_in_the_docstring_is_the_real_one() -> None:
    drawn = [line for line in str(errors.__doc__).splitlines() if "exit " in line]
    real = errors.VelumError.__subclasses__()
    assert len(drawn) == len(real)
    for line, kind in zip(drawn, real, strict=True):
        builtin = kind.__mro__[2].__name__
        assert kind.__name__ in line
        assert f"({builtin})" in line
        assert f"exit {kind.exit_code}, HTTP {kind.http_status}" in line


def test_exit_codes_differ() -> None:
    codes = [kind.exit_code for kind in errors.VelumError.__subclasses__()]
    assert len(set(codes)) == len(codes)


def test_an_exceeded_limit_states_name_value_and_bound() -> None:
    error = velum.LimitExceeded("pixels", 300, 200, "photo.jpg")
    assert (error.limit, error.value, error.allowed) == ("pixels", 300, 200)
    assert str(error) == "photo.jpg has 300 pixels, more than the 200 allowed; raise the limit to accept it"
