"""Every technique that is installed keeps the contract."""

import pytest

from velum.parts import make, names
from velum.plugins import RuntimeConfig
from velum.spec import PartSpec
from velum.testing import check_technique

TECHNIQUES = [
    *names("velum.techniques"),
    "blacken(degree=0.5)",
    "blur(degree=0.1)",
    "pixelate(degree=0.02)",
    "pixelate(degree=0)",
    "replace(kind=iban)",
]


@pytest.mark.parametrize("text", TECHNIQUES)
def test_every_installed_technique_keeps_the_contract(text: str) -> None:
    technique = make("velum.techniques", PartSpec.parse(text), RuntimeConfig())
    check_technique(technique, min(technique.labels or {"face"}))
