"""The list of available methods is combined from many addresses, and no address delays another."""

import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from velum.bmw import available_methods
from velum.bmw.available_methods import ApiDirectory, AvailableMethods, RemoteModel
from velum.bmw.techniques import ListedTechnique, list_techniques
from velum.bmw.urls import Urls
from velum.errors import Unavailable
from velum.plugins import Patch, RuntimeConfig
from velum.service.admission import OWN_MODELS as URL

DET, SEG = "http://det:80/", "http://seg:80/"
YOLO, SEG1 = (
    RemoteModel("yolo", "detection", ("person", "car")),
    RemoteModel("seg1", "segmentation", ("background", "person")),
)
FACES = RemoteModel("faces", "detection", ("face",))
COMMON = [ListedTechnique(name, name) for name in ("blackening", "pixelating", "blurring")]


def directory(
    folder: Path, offers: dict[str, Sequence[RemoteModel] | Exception | threading.Event], *, strict: bool = False
) -> ApiDirectory:
    def ask(url: str) -> Sequence[RemoteModel]:
        offer = offers[url]
        if isinstance(offer, threading.Event):
            offer.wait(10)
            return (YOLO,)
        if isinstance(offer, Exception):
            raise offer
        return offer

    (folder / "url_configuration.json").write_text(json.dumps({"urls": list(offers)}))
    urls = Urls(folder, strict=strict)
    return ApiDirectory(urls, ask, COMMON, own=URL, local=lambda: (FACES,), strict=strict)


def test_lists_models_in_the_order_of_discovery() -> None:
    listed = AvailableMethods.of([(DET, [YOLO]), (SEG, [SEG1])], COMMON).to_json()
    names = ["blackening", "pixelating", "blurring"]
    assert json.dumps(listed) == json.dumps({
        "person": {"detection": {DET: ["yolo"]}, "segmentation": {SEG: ["seg1"]}, "technique": names},
        "car": {"detection": {DET: ["yolo"]}, "technique": names},
        "background": {"segmentation": {SEG: ["seg1"]}, "technique": names},
    })  # fmt: skip


def test_lists_own_models_after_those_of_inference_apis(tmp_path: Path) -> None:
    listed = directory(tmp_path, {DET: [YOLO, FACES]}).refresh().to_json()
    assert listed["face"]["detection"] == {DET: ("faces",), URL: ("faces",)}
    assert [*listed] == ["person", "car", "face"]


def test_strict_mode_lists_own_models_only_without_inference_apis(tmp_path: Path) -> None:
    assert "face" not in directory(tmp_path, {DET: [YOLO]}, strict=True).refresh().labels
    assert [*directory(tmp_path, {}, strict=True).refresh().labels] == ["face"]


def test_leaves_out_an_api_that_is_down_and_reports_it(tmp_path: Path) -> None:
    board = directory(tmp_path, {DET: Unavailable("it is down"), SEG: [SEG1]})
    assert [*board.refresh().labels] == ["background", "person", "face"]
    assert board.faults == {DET: "it is down"}


@pytest.mark.parametrize("strict", [True, False])
def test_leaves_out_only_the_model_that_cannot_be_used(tmp_path: Path, *, strict: bool) -> None:
    board = directory(tmp_path, {DET: [YOLO, RemoteModel("broken", fault="no labels")], SEG: [SEG1]}, strict=strict)
    assert {"person", "car", "background"} <= board.refresh().labels.keys()
    assert board.faults == {f"{DET} broken": "no labels"}
    board.forget_removed()


def test_strict_mode_fails_when_one_api_is_down_and_keeps_the_old_list(tmp_path: Path) -> None:
    offers: dict[str, Sequence[RemoteModel] | Exception | threading.Event] = {DET: [YOLO], SEG: [SEG1]}
    board = directory(tmp_path, offers, strict=True)
    board.start()
    before = board.current
    offers[SEG] = Unavailable("it is down")
    with pytest.raises(Unavailable, match=SEG):
        board.refresh()
    assert board.current == before
    assert "background" in before.labels
    board.close()


def test_a_slow_api_does_not_delay_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(available_methods, "WAIT_SECONDS", 0.2)
    answers = threading.Event()
    board = directory(tmp_path, {DET: answers, SEG: [SEG1]})
    assert "car" not in board.refresh().labels
    assert "longer than" in board.faults[DET]
    answers.set()
    until = time.monotonic() + 5
    while "car" not in board.now.labels and time.monotonic() < until:
        time.sleep(0.01)
    assert "car" in board.now.labels, "it is taken up when it answers"
    assert board.faults == {}


def test_queries_failed_apis_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(available_methods, "RETRY_SECONDS", 0.02)
    offers: dict[str, Sequence[RemoteModel] | Exception | threading.Event] = {DET: Unavailable("it starts")}
    board = directory(tmp_path, offers)
    board.start()
    assert "car" not in board.current.labels
    offers[DET] = [YOLO]
    until = time.monotonic() + 5
    while "car" not in board.current.labels and time.monotonic() < until:
        time.sleep(0.01)
    assert "car" in board.current.labels
    board.close()


def test_keeps_own_models_when_the_list_of_apis_is_unreadable(tmp_path: Path) -> None:
    board = directory(tmp_path, {DET: [YOLO]})
    (tmp_path / "url_configuration.json").write_text("{")
    board.start()
    assert [*board.current.labels] == ["face"]
    assert "corrupted" in board.faults["list"]
    board.close()


def test_keeps_inference_apis_when_own_models_cannot_be_listed(tmp_path: Path) -> None:
    def broken() -> Sequence[RemoteModel]:
        raise Unavailable("the catalogue is damaged")

    (tmp_path / "url_configuration.json").write_text(json.dumps({"urls": [DET]}))
    board = ApiDirectory(Urls(tmp_path), lambda url: [YOLO], COMMON, own=URL, local=broken)
    assert [*board.refresh().labels] == ["person", "car"]
    assert board.faults == {URL: "the catalogue is damaged"}


class Swap:
    """A special technique, for faces only."""

    destroys = True
    labels = frozenset({"face"})

    def hide(self, patch: Patch) -> None:
        raise NotImplementedError


class Veil:
    """A general technique with a degree."""

    destroys = False
    labels = None

    def __init__(self, degree: float = 1.0) -> None:
        self.degree = degree

    def hide(self, patch: Patch) -> None:
        raise NotImplementedError


class Needy(Veil):
    """A technique with a required option, which cannot be made without it."""

    def __init__(self, colour: str) -> None:
        super().__init__()


def test_lists_the_three_bmw_techniques_then_general_then_special_ones() -> None:
    found = list_techniques(RuntimeConfig(techniques={"Swap": Swap, "zveil": Veil, "needy": Needy}))
    assert [one.name for one in found] == ["blackening", "pixelating", "blurring", "zveil", "swap"]
    listed = AvailableMethods.of([(URL, [FACES, YOLO])], found).to_json()
    assert listed["face"]["technique"][-2:] == ["zveil", "swap"]
    assert listed["car"]["technique"][-1] == "zveil"


BLURRING, PIXELATING = ListedTechnique("blurring", "blur"), ListedTechnique("pixelating", "pixelate")
BLACKENING, SWAP = ListedTechnique("blackening", "blacken"), ListedTechnique("swap", "swap", graded=False)
DEGREES = [
    ("as asked", BLURRING, 0.25, "detection", "blur(degree=0.25, per_object=1)"),
    ("outlines count where they overlap", BLURRING, 0.25, "segmentation", "blur(degree=0.25, per_overlap=1)"),
    ("rounded up: never weaker", BLURRING, 0.12345, "detection", "blur(degree=0.124, per_object=1)"),
    ("no degree of blurring is the last", BLURRING, 1, "detection", "blur(degree=1.0, per_object=1)"),
    ("float noise is none", PIXELATING, 0.07, "detection", "pixelate(degree=0.07, per_object=1)"),
    ("the original fails here; one cell is the most", PIXELATING, 0, "detection", "pixelate(degree=1.0)"),
    ("nothing stays nothing", BLACKENING, 0, "detection", "blacken(degree=0.0)"),
    ("solid is solid", BLACKENING, 1, "detection", "blacken(degree=1.0)"),
    ("a later entry, strictly", BLACKENING, 7, "detection", "blacken(degree=1.0)"),
    ("a later entry, blurred by its degree", BLURRING, 1.5, "detection", "blur(degree=1.0, per_object=3)"),
    ("without a degree", SWAP, 0.5, "detection", "swap"),
]


@pytest.mark.parametrize(
    ("one", "degree", "kind", "use"), [row[1:] for row in DEGREES], ids=[row[0] for row in DEGREES]
)
def test_rounds_degrees_up_to_the_next_step(one: ListedTechnique, degree: float, kind: str, use: str) -> None:
    assert str(one.use(degree, kind)) == use
