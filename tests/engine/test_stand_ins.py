"""Stand-ins for models whose weights are not available: they locate, hide, and are named in a warning."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.tiny_models import TinyModels, tiny_models

from velum.engine.engine import Engine
from velum.engine.stand_ins import RETRY_SECONDS, StandIns
from velum.errors import MissingWeights, WeightsGap
from velum.locate import registry
from velum.locate.catalog_toml import read_catalog, write_models
from velum.plan import Plan
from velum.plugins import Localizer, RuntimeConfig
from velum.report import Report
from velum.spec import PartSpec
from velum.testing import FakeLocalizer

ZONE = "fixed(box=[50, 50, 60, 60], label='cat')"


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TinyModels:
    """`cats`, in whose place `dogs`, which here finds cats, and then a zone are taken."""
    tiny = tiny_models(tmp_path / "models", monkeypatch)
    text = write_models(registry.catalog().values()).replace('["dog"]', '["cat"]')
    text = text.replace('[model."cats"]', f'[model."cats"]\ninstead = ["dogs", "{ZONE}"]')
    shipped = read_catalog(text, "tiny.toml")
    monkeypatch.setattr(registry, "_shipped_catalog", lambda: shipped)
    return tiny


Hide = Callable[..., Report]


@pytest.fixture
def hide(tmp_path: Path, models: TinyModels) -> Hide:
    Image.fromarray(np.full((96, 96, 3), 255, np.uint8)).save(tmp_path / "white.png")

    def run(here: str = "", rule: str = "cat: cats -> blacken with grow=0", **plan: object) -> Report:
        files = dict(zip(("cats", "dogs"), models.files, strict=True))
        host = RuntimeConfig(
            offline=True, cache=tmp_path / "cache", models=tmp_path / "own", weights={n: files[n] for n in here.split()}
        )
        with Engine(host=host) as engine:
            return engine.hide(tmp_path / "white.png", tmp_path / "out.png", Plan.of(rule, **plan), overwrite=True)

    return run


@pytest.mark.parametrize(
    ("here", "box"),
    [
        ("cats", (0, 30, 40, 90)),
        ("cats dogs", (0, 30, 40, 90)),
        ("dogs", (20, 30, 60, 90)),
        ("", (50, 50, 60, 60)),
    ],
)
def test_the_best_available_model_takes_the_place_of_a_missing_one(hide: Hide, here: str, box: tuple[int, ...]) -> None:
    report = hide(here)
    assert [region.box.xyxy for region in report.hidden] == [box]
    if here:
        assert report.warnings == (), "another file of one family and label finds the same"
        return
    (warning,) = report.warnings
    assert "cats is not on this machine, and fetching is forbidden" in warning
    assert f"{ZONE} finds cat in its place" in warning
    assert "velum models pull cats" in warning


@pytest.mark.parametrize(
    ("rule", "plan"),
    [
        ("cat: cats(threshold=0.5) -> blacken", {}),
        ("zone: fixed -> blacken", {"keep_out": (PartSpec("cats"),)}),
    ],
    ids=["options", "keep_out"],
)
def test_an_explicitly_named_model_has_no_stand_in(hide: Hide, rule: str, plan: dict[str, object]) -> None:
    """Options are meant for one model; and where a stand-in finds too much to keep, too little is hidden."""
    with pytest.raises(MissingWeights, match="velum models pull cats"):
        hide(rule=rule, **plan)


def test_without_any_model_the_error_names_the_one_of_the_rule(hide: Hide, monkeypatch: pytest.MonkeyPatch) -> None:
    text = write_models(registry.catalog().values()).replace(f', "{ZONE}"', "")
    monkeypatch.setattr(registry, "_shipped_catalog", lambda: read_catalog(text, "tiny.toml"))
    with pytest.raises(MissingWeights, match="^cats is not on this machine.*\n.*velum models pull cats'") as caught:
        hide()
    assert [gap.model for gap in caught.value.gaps] == ["cats"]


@pytest.mark.usefixtures("models")
def test_weights_that_become_available_later_are_used(tmp_path: Path) -> None:
    """A service need not be started anew; and it does not ask the network again for every image."""
    here, asked, now = set[str](), list[str](), [0.0]

    def make(spec: PartSpec) -> Localizer:
        asked.append(spec.name)
        if spec.name not in here | {"fixed"}:
            raise MissingWeights("missing", (WeightsGap(spec.name, "file"),))
        return FakeLocalizer(())

    stand_ins = StandIns(RuntimeConfig(cache=tmp_path, models=tmp_path), lambda: now[0])
    assert stand_ins.choose(PartSpec("cats"), make).warning
    here.add("cats")
    asked.clear()
    assert stand_ins.choose(PartSpec("cats"), make).warning
    assert asked == ["fixed"]
    now[0] = RETRY_SECONDS
    assert stand_ins.choose(PartSpec("cats"), make).warning is None
    asked.clear()
    now[0] *= 3
    assert stand_ins.choose(PartSpec("cats"), make).warning is None
    assert asked == ["cats"]
