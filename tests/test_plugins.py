"""Names in a plan become objects; what is wrong is told before anything is made."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import ClassVar, Literal

import pytest

from velum import plugins
from velum.errors import BadPlan, PluginFault, Unavailable
from velum.frame import Frame
from velum.plugins import RuntimeConfig, make, names
from velum.region import Region
from velum.spec import PartSpec
from velum.techniques.blur import Blur
from velum.testing import FakeLocalizer

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


def test_ours_are_registered_like_a_strangers() -> None:
    assert names(GROUP) == ["blacken", "blur", "pixelate"]
    assert names(GROUP, HOST) == ["blacken", "blur", "pixelate", "tinted"]
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
        ("blurr", "'blurr' is unknown; installed are blacken, blur, pixelate"),
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


def test_a_name_may_be_taken_once_only() -> None:
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
def test_a_part_that_cannot_be_imported(
    monkeypatch: pytest.MonkeyPatch, target: str, error: type[Exception], message: str
) -> None:
    point = EntryPoint("lost", target, GROUP)
    monkeypatch.setattr(plugins, "_installed_parts", lambda group: {"lost": (point,)})
    with pytest.raises(error, match=message):
        make(GROUP, PartSpec("lost"), RuntimeConfig())


@pytest.mark.parametrize(
    ("former", "now"), [("Host", "RuntimeConfig"), ("Graded", "TracksByScore"), ("Doubtful", "Weak")]
)
def test_former_names_of_the_last_version_still_work_and_say_the_new_one(former: str, now: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"plugins.{former} is now called {now}"):
        assert getattr(plugins, former) is getattr(plugins, now)


class FormerTechnique(Tinted):
    """Written for the last version."""

    doubt = "it shows through"

    def hide(self, patch: plugins.Patch) -> None:
        """Do nothing."""


def test_parts_with_former_properties_are_read_and_told_the_new_ones() -> None:
    class Former:
        labels = frozenset({"face"})
        sure = 0.25

        def locate(self, frames: Sequence[Frame]) -> list[list[Region]]:
            return [[] for _ in frames]

        def close(self) -> None: ...

    with pytest.warns(DeprecationWarning, match=r"'sure' of Former is now called 'track_threshold'"):
        assert plugins.track_threshold_of(Former()) == 0.25
    with pytest.warns(DeprecationWarning, match=r"'doubt' of .* is now called 'warning'"):
        assert plugins.warning_of(FormerTechnique("red")) == "it shows through"
    assert plugins.track_threshold_of(FakeLocalizer(track_threshold=0.5)) == 0.5
    assert plugins.warning_of(Blur(0.1)) is not None
