"""Labels without a localizer get default models."""

from pathlib import Path

import pytest

from velum.errors import BadPlan
from velum.locate import registry
from velum.locate.labels import covered_labels
from velum.locate.registry import FINDERS, findings, rules_for
from velum.parts import names
from velum.plugins import RuntimeConfig
from velum.spec import PartSpec

BLUR = PartSpec("blur")


@pytest.fixture
def host(tmp_path: Path) -> RuntimeConfig:
    return RuntimeConfig(models=tmp_path)


def test_every_default_model_exists_and_finds_its_label() -> None:
    for label, chosen in FINDERS.items():
        for name in chosen:
            if name in registry.catalog():
                assert covered_labels(label, registry.find(name).labels)
            else:
                assert name in names("velum.localizers")


@pytest.mark.parametrize(
    ("labels", "rules"),
    [
        (["face"], ["face: centerface -> blur"]),
        (["Faces", "car"], ["face: centerface -> blur", "car: yolox-s -> blur"]),
        (["number plate"], ["license_plate: lpd-yunet -> blur"]),
    ],
)
def test_labels_alone_become_rules_with_default_models(
    host: RuntimeConfig, labels: list[str], rules: list[str]
) -> None:
    assert [str(rule) for rule in rules_for(labels, BLUR, host)] == rules


def test_every_stand_in_exists_and_finds_the_same_labels(host: RuntimeConfig) -> None:
    for model in registry.catalog().values():
        for spec in model.instead:
            other = registry.model_of(spec, host)
            assert other is not None, "its weights can be had as any others"
            if spec.name in registry.catalog():
                assert covered_labels(model.labels[0], other.labels)
    plates = registry.find("lpd-yunet").instead
    assert [str(spec) for spec in plates] == ["lpd-yunet-2022", "text(shape='plate')"]


def test_models_that_the_user_added_come_first(monkeypatch: pytest.MonkeyPatch, host: RuntimeConfig) -> None:
    mine = registry.find("yunet")
    monkeypatch.setattr(registry, "added_models", lambda host: {"mine": mine})
    assert [str(rule.locate) for rule in rules_for(["face"], BLUR, host)] == ["mine"]
    ((chosen, others),) = [models for label, *models in findings(host) if label == "face"]
    assert chosen == ("mine",)
    assert "centerface" in others


def test_a_label_that_no_model_finds_is_refused(host: RuntimeConfig) -> None:
    with pytest.raises(BadPlan, match="no model finds 'unicorn'"):
        rules_for(["unicorn"], BLUR, host)


def test_every_label_has_a_localizer(host: RuntimeConfig) -> None:
    found = {label: chosen for label, chosen, _ in findings(host)}
    assert found.keys() >= FINDERS.keys()
    assert all(found.values())
