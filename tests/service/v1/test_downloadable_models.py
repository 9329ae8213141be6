"""Only models that can be downloaded are offered: sources are checked now and then, in a thread of its own."""

import threading
from pathlib import Path
from zipfile import ZipFile

import pytest

from velum import Engine
from velum.locate.registry import find
from velum.plugins import RuntimeConfig
from velum.service.v1.capabilities import VALID_SECONDS, Capabilities, Obtainable
from velum.service.v1.plans import Plans


class Servers:
    """Stands in for the servers of weights."""

    def __init__(self, *, up: bool) -> None:
        self.up, self.asked = up, 0
        self.free = threading.Event()

    def __call__(self, url: str) -> bool:
        self.asked += 1
        assert self.free.wait(20)
        return self.up


def settled(obtainable: Obtainable, name: str) -> bool | None:
    obtainable.can_download(find(name))
    for thread in threading.enumerate():
        if thread.name == "velum-obtainable":
            thread.join(20)
    return obtainable.can_download(find(name))


def test_availability_of_models_is_checked_in_the_background_and_again_later() -> None:
    servers, now = Servers(up=True), [0.0]
    obtainable = Obtainable(RuntimeConfig(), servers, lambda: now[0])
    assert obtainable.can_download(find("lpd-yunet")) is None
    servers.free.set()
    assert settled(obtainable, "lpd-yunet") is True
    asked = servers.asked
    servers.up = False
    assert settled(obtainable, "lpd-yunet") is True
    assert servers.asked == asked
    now[0] += VALID_SECONDS + 1
    assert settled(obtainable, "lpd-yunet") is False
    assert obtainable.can_download(find("centerface")) is True, "it comes from a package index"


def test_offline_a_model_in_a_bundle_counts_as_available(tmp_path: Path) -> None:
    held = find("yunet")
    with ZipFile(tmp_path / "velum_weights-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"velum_weights/velum_weights/{held.stored_name}", bytes(held.size))
    obtainable = Obtainable(RuntimeConfig(offline=True, bundles=tmp_path), Servers(up=False))
    assert obtainable.can_download(held) is True
    assert obtainable.can_download(find("centerface")) is False


def test_offline_no_model_counts_as_available() -> None:
    obtainable = Obtainable(RuntimeConfig(offline=True), Servers(up=True))
    assert obtainable.can_download(find("centerface")) is False


LABELS_THAT_CAN_BE_FOUND = [
    ((), {"code"}),
    (("centerface",), {"code", "face"}),
    (("ppocr-det",), {"code", "text", "license_plate"}),  # text of a plate's shape takes the place of plates
    (("lpd-yunet-2022",), {"code", "license_plate"}),
]


@pytest.mark.parametrize(("installed", "labels"), LABELS_THAT_CAN_BE_FOUND)
def test_a_label_is_obtainable_where_anything_that_finds_it_can_run(
    installed: tuple[str, ...], labels: set[str]
) -> None:
    host = RuntimeConfig(offline=True)
    plans = Plans(None, Engine(host=host))
    offered = Capabilities(host, plans, Obtainable(host), lambda model: model.name in installed)
    listed = {label["label"]: label for label in offered.labels()}
    assert {name for name, label in listed.items() if label["obtainable"]} == labels
    assert all(label["obtainable"] is False for name, label in listed.items() if name not in labels)
    assert listed["text"]["here"] is ("ppocr-det" in installed)
