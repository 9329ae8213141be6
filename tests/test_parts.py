"""A name in a plan becomes an object; a mistake in the plan shows before any part is made."""

from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import ClassVar, Literal

import pytest

from velum import parts
from velum.errors import BadPlan, PluginFault, Unavailable
from velum.parts import make, names
from velum.plugins import RuntimeConfig
from velum.spec import PartSpec
from velum.techniques.blur import Blur

GROUP: Literal["velum.techniques"] = "velum.techniques"


@dataclass(frozen=True)
class Tinted:
    """A technique with options of every type."""

    colour: Literal["red", "blue"]
    count: int = 1
    share: float = 0.5
    on: bool = False
    box: tuple[int, ...] = ()
    word: str | None = None
    destroys: ClassVar[bool] = True
    labels: ClassVar[None] = None


HOST = RuntimeConfig(techniques={"tinted": Tinted})


def test_parts_of_velum_are_registered_like_those_of_others() -> None:
    assert names(GROUP) == ["blacken", "blur", "fill", "pixelate", "plate", "replace"]
    assert names(GROUP, HOST) == ["blacken", "blur", "fill", "pixelate", "plate", "replace", "tinted"]
    assert make(GROUP, PartSpec.parse("blur(degree=0.5)"), RuntimeConfig()) == Blur(0.5)


@pytest.mark.parametrize(
    "text",
    [
        "tinted(colour=red)",
        "tinted(colour='blue', count=3, share=1, on=true, box=[1,2,3], word=abc)",
        "tinted(colour=red, word=None)",
    ],
)
def test_options_of_the_right_type_are_accepted(text: str) -> None:
    assert isinstance(make(GROUP, PartSpec.parse(text), HOST), Tinted)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("blurr", "'blurr' is unknown; installed are blacken, blur, fill, pixelate, plate, replace"),
        ("blur(strength=1)", "no option strength; it has degree"),
        ("blur(degree='1')", "option degree of technique blur is '1'; it must be a number"),
        ("blur(degree=true)", "must be a number"),
        ("tinted", "needs colour"),
        ("tinted(colour=green)", "one of 'red', 'blue'"),
        ("tinted(colour=red, count=1.5)", "a whole number"),
        ("tinted(colour=red, on=1)", "true or false"),
        ("tinted(colour=red, box=[1,'2'])", "a list of a whole number"),
        ("tinted(colour=red, word=3)", "a string or left out"),
    ],
)
def test_a_wrong_name_or_option_says_what_is_allowed(text: str, message: str) -> None:
    with pytest.raises(BadPlan, match=message):
        make(GROUP, PartSpec.parse(text), HOST)


def test_a_name_may_be_registered_only_once() -> None:
    with pytest.raises(PluginFault, match="registered 2 times"):
        make(GROUP, PartSpec("blur"), RuntimeConfig(techniques={"blur": Tinted}))


def test_a_part_that_asks_for_the_host_gets_it() -> None:
    def factory(host: RuntimeConfig, size: int = 3) -> tuple[RuntimeConfig, int]:
        return host, size

    host = RuntimeConfig(techniques={"hosted": factory}, cache=Path("cache"))
    assert make(GROUP, PartSpec.parse("hosted(size=4)"), host) == (host, 4)
    with pytest.raises(BadPlan, match="no option host"):
        make(GROUP, PartSpec.parse("hosted(host=4)"), host)


def test_a_constructor_that_fails_is_a_fault_of_the_part() -> None:
    def factory() -> None:
        raise KeyError("lost")

    with pytest.raises(PluginFault, match="KeyError"):
        make(GROUP, PartSpec("broken"), RuntimeConfig(techniques={"broken": factory}))


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        ("no_such_package:Blur", Unavailable, "pip install"),
        ("velum.techniques.blur:NoSuchName", PluginFault, "cannot be imported"),
    ],
)
def test_a_part_that_cannot_be_imported_is_reported_with_the_cure(
    monkeypatch: pytest.MonkeyPatch, target: str, error: type[Exception], message: str
) -> None:
    point = EntryPoint("lost", target, GROUP)
    monkeypatch.setattr(parts, "_installed_parts", lambda group: {"lost": (point,)})
    with pytest.raises(error, match=message):
        make(GROUP, PartSpec("lost"), RuntimeConfig())
