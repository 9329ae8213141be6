"""Parts that were written for the last version of velum work on, with a warning that names the new word."""

from collections.abc import Sequence

import pytest

from velum import plugins
from velum.frame import Frame
from velum.region import Region
from velum.techniques.blur import Blur
from velum.testing import FakeLocalizer


@pytest.mark.parametrize(
    ("former", "now"), [("Host", "RuntimeConfig"), ("Graded", "TracksByScore"), ("Doubtful", "Weak")]
)
def test_a_name_of_the_last_version_still_works_with_a_warning(former: str, now: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"plugins.{former} is now called {now}"):
        assert getattr(plugins, former) is getattr(plugins, now)


class FormerTechnique:
    """Written for the last version."""

    destroys = True
    labels = None
    doubt = "it shows through"

    def hide(self, patch: plugins.Patch) -> None:
        """Do nothing."""


def test_a_property_named_as_in_the_last_version_is_read_with_a_warning() -> None:
    class Former:
        labels = frozenset({"face"})
        sure = 0.25

        def locate(self, frames: Sequence[Frame]) -> list[list[Region]]:
            return [[] for _ in frames]

        def close(self) -> None: ...

    with pytest.warns(DeprecationWarning, match=r"'sure' of Former is now called 'track_threshold'"):
        assert plugins.track_threshold_of(Former()) == 0.25
    with pytest.warns(DeprecationWarning, match=r"'doubt' of .* is now called 'warning'"):
        assert plugins.warning_of(FormerTechnique()) == "it shows through"
    assert plugins.track_threshold_of(FakeLocalizer(track_threshold=0.5)) == 0.5
    assert plugins.warning_of(Blur(0.1)) is not None
