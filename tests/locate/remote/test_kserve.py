import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.net.servers import Asked, Server, answering, free_port, whole

from velum.errors import BadPlan, Unavailable
from velum.frame import Frame, Plane, Role
from velum.locate.remote.kserve import Kserve
from velum.locate.remote.open_inference import BadResponse, outputs_of
from velum.net import NetworkPolicy
from velum.net.client import HttpClient, ServerResponse
from velum.parts import make
from velum.plugins import RuntimeConfig, track_threshold_of
from velum.region import Region
from velum.spec import PartSpec
from velum.testing import check_localizer

Tensors = Mapping[str, npt.NDArray[Any]]

WORDS: Mapping[np.dtype[Any], str] = {
    np.dtype(np.float32): "FP32", np.dtype(np.float16): "FP16", np.dtype(np.float64): "FP64",
    np.dtype(np.uint8): "UINT8", np.dtype(np.int32): "INT32", np.dtype(np.int64): "INT64", np.dtype(np.bool_): "BOOL",
}  # fmt: skip
DETECTIONS: Tensors = {
    "boxes": np.array([[[10, 20, 30, 60], [0, 0, 5, 5], [40, 10, 50, 30]]], np.float32),
    "scores": np.array([[0.9, 0.1, 0.6]], np.float32),
    "classes": np.array([[1, 0, 0]], np.int64),
}


@dataclass
class Model:
    """A model on a server that speaks the protocol, in JSON or in binary."""

    outputs: Tensors = field(default_factory=lambda: DETECTIONS)
    inputs: tuple[tuple[str, str, list[int]], ...] = (("images", "FP32", [1, 3, 100, 100]),)
    binary: bool = False
    most: int | None = None
    got: list[dict[str, npt.NDArray[Any]]] = field(default_factory=list)
    said: Callable[[Asked], bytes | None] = lambda asked: None
    """What the server says instead of what it should."""

    def answer(self, asked: Asked) -> bytes:
        if (given := self.said(asked)) is not None:
            return given
        if asked.target.endswith("/infer"):
            return self.inferred(asked)
        entry: Any = {
            "/v2": {"name": "stub", "version": "1", "extensions": ["binary_tensor_data"] if self.binary else []},
            "/v2/health/ready": {},
            "/v2/models/yolo": self.metadata(),
            "/v2/models/yolo/versions/2": self.metadata(),
            "/v2/models/yolo/config": self.most and {"max_batch_size": self.most},
        }.get(asked.target)
        if entry is None:
            return whole(b'{"error": "not here"}', 404, "application/json")
        return whole(json.dumps(entry).encode(), kind="application/json")

    def metadata(self) -> dict[str, Any]:
        return {
            "name": "yolo",
            "inputs": [{"name": n, "datatype": d, "shape": s} for n, d, s in self.inputs],
            "outputs": [
                {"name": n, "datatype": WORDS[t.dtype], "shape": list(t.shape)} for n, t in self.outputs.items()
            ],
        }

    def inferred(self, asked: Asked) -> bytes:
        end = int(asked.headers.get("inference-header-content-length", len(asked.body)))
        request, rest = json.loads(asked.body[:end]), asked.body[end:]
        assert asked.headers["content-type"] == ("application/octet-stream" if self.binary else "application/json")
        got = {}
        for one in request["inputs"]:
            dtype = next(dtype for dtype, word in WORDS.items() if word == one["datatype"])
            if self.binary:
                size = one["parameters"]["binary_data_size"]
                flat, rest = np.frombuffer(rest[:size], dtype), rest[size:]
            else:
                flat = np.array(one["data"], dtype)
            got[one["name"]] = flat.reshape(one["shape"])
        self.got.append(got)
        outputs, tail = [], b""
        for one in request["outputs"]:
            tensor = self.outputs[one["name"]]
            entry: dict[str, Any] = {
                "name": one["name"], "shape": list(tensor.shape), "datatype": WORDS[tensor.dtype],
            }  # fmt: skip
            if self.binary:
                assert one["parameters"] == {"binary_data": True}
                entry["parameters"] = {"binary_data_size": tensor.nbytes}
                tail += tensor.tobytes()
            else:
                entry["data"] = tensor.ravel().tolist()
            outputs.append(entry)
        head = json.dumps({"model_name": "yolo", "outputs": outputs}).encode()
        if not self.binary:
            return whole(head, kind="application/json")
        return whole(head + tail, kind="application/octet-stream", Inference_Header_Content_Length=str(len(head)))


BOXES: dict[str, Any] = {
    "labels": ("face", "person"), "boxes": "boxes", "scores": "scores", "classes": "classes", "pad": 0,
}  # fmt: skip


@contextmanager
def _served(model: Model, **options: Any) -> Iterator[tuple[Kserve, Server]]:
    with answering(model.answer) as server:
        localizer = Kserve(server.url, "yolo", host=RuntimeConfig(), **{**BOXES, **options})
        try:
            yield localizer, server
        finally:
            localizer.close()


def _frame(width: int = 100, height: int = 100) -> Frame:
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0], pixels[..., 2] = 200, 50
    return Frame.of(Plane(pixels, Role.RGB))


def _flat(found: list[Region]) -> list[tuple[str, float, tuple[int, ...]]]:
    return [(one.label, round(one.score, 2), one.box.xyxy) for one in found]


FOUND = [("person", 0.9, (10, 20, 30, 60)), ("face", 0.6, (40, 10, 50, 30))]


@pytest.mark.parametrize("binary", [False, True])
def test_boxes_come_back_in_json_and_in_binary(binary: bool) -> None:
    model = Model(binary=binary)
    with _served(model) as (localizer, server):
        assert localizer.labels == {"face", "person"}
        (found,) = localizer.locate([_frame()])
        assert _flat(found) == FOUND
        assert localizer.description["url"] == server.url
        assert localizer.description["model"] == "yolo"
    (got,) = model.got
    assert got["images"].shape == (1, 3, 100, 100)
    assert got["images"][0, :, 50, 50].tolist() == [200, 0, 50]


def test_the_plan_can_demand_binary_from_a_server_that_does_not_announce_it() -> None:
    model = Model(binary=True, said=lambda asked: whole(b"hello") if asked.target == "/v2" else None)
    with _served(model, binary=True) as (localizer, _):
        assert _flat(localizer.locate([_frame()])[0]) == FOUND


@pytest.mark.parametrize("version", ["2", 2])
def test_the_version_of_the_plan_is_requested_and_reported(version: str | int) -> None:
    with _served(Model(), version=version) as (localizer, server):
        localizer.locate([_frame()])
        assert server.asked[-1].target == "/v2/models/yolo/versions/2/infer"
        assert localizer.description["version"] == "2"


def test_a_plan_can_name_kserve() -> None:
    with answering(Model().answer) as server:
        use = PartSpec.parse(
            f"kserve(url='{server.base}', model='yolo', labels=['face', 'person'], boxes='boxes', scores='scores',"
            " classes='classes', mean=[0, 0, 0], scale=1)"
        )
        localizer = make("velum.localizers", use, RuntimeConfig())
        assert _flat(localizer.locate([_frame()])[0]) == FOUND
        assert track_threshold_of(localizer) == pytest.approx(0.45)  # half as much again as the threshold
        localizer.close()


def test_kserve_keeps_the_contract_of_localizers() -> None:
    with _served(Model()) as (localizer, _):
        check_localizer(localizer)


def test_shared_connections_are_used_and_stay_open() -> None:
    peers = HttpClient(NetworkPolicy(allow=("127.0.0.1",)))
    with answering(Model().answer) as server:
        localizer = Kserve(server.url, "yolo", host=RuntimeConfig(peers=peers), **BOXES)
        localizer.close()
        assert peers.get(server.url).status == 404
        with pytest.raises(BadPlan, match="must not be reached"):
            Kserve(server.url, "yolo", host=RuntimeConfig(peers=HttpClient(NetworkPolicy())), **BOXES)
    peers.close()


@pytest.mark.parametrize(
    ("entry", "options", "shape", "pixel"),
    [
        (("x", "FP32", [1, 3, 100, 100]), {}, (1, 3, 100, 100), [200, 0, 50]),
        (("x", "UINT8", [3, 100, 100]), {}, (3, 100, 100), [200, 0, 50]),  # no axis for a batch
        (("x", "UINT8", [-1, 100, 100, 3]), {"order": "bgr"}, (1, 100, 100, 3), [50, 0, 200]),
        (("x", "FP16", [1, -1, -1, 3]), {"size": (100, 100), "scale": 1 / 200}, (1, 100, 100, 3), [1, 0, 0.25]),
        (("x", "FP32", [1, 3, 100, 100]), {"mean": (200, 0, 0), "scale": (1, 1, 2.0)}, (1, 3, 100, 100), [0, 0, 100]),
        (("x", "FP32", [-1, -1, -1, -1]), {"size": (100, 100), "layout": "nhwc"}, (1, 100, 100, 3), [200, 0, 50]),
        (("x", "FP32", [3, 3, 100, 100]), {}, (3, 3, 100, 100), [200, 0, 50]),  # a batch of three, whatever comes
    ],
)
def test_the_input_has_the_layout_that_the_server_states(
    entry: tuple[str, str, list[int]], options: dict[str, Any], shape: tuple[int, ...], pixel: list[float]
) -> None:
    repeats = 3 if entry[2][0] == 3 and len(entry[2]) == 4 else 1
    outputs = {name: np.repeat(one, repeats, axis=0) for name, one in DETECTIONS.items()}
    model = Model(outputs, inputs=(entry,), binary=True)
    with _served(model, **options) as (localizer, _):
        assert len(localizer.locate([_frame()])) == 1
    got = model.got[0]["x"]
    assert got.shape == shape
    assert got.dtype == next(dtype for dtype, word in WORDS.items() if word == entry[1])
    view = got.reshape(shape[-3:]) if got.size == 30000 else got[-1]
    middle = view[:, 50, 50] if view.shape[0] == 3 else view[50, 50]
    assert middle.tolist() == pytest.approx(pixel, abs=1e-3)


@pytest.mark.parametrize(
    ("fit", "boxes", "units", "found"),
    [
        ("letterbox", [10, 20, 30, 40], "pixels", (40, 80, 120, 160)),
        ("stretch", [10, 20, 30, 40], "pixels", (40, 40, 120, 80)),
        ("letterbox", [0.125, 0.25, 0.5, 0.375], "relative", (50, 100, 200, 150)),
        ("stretch", [0.125, 0.25, 0.5, 0.375], "relative", (50, 50, 200, 75)),
        ("letterbox", [-5, -5, 150, 150], "pixels", (0, 0, 400, 200)),  # clipped
        ("letterbox", [10, 20, 10, 40], "pixels", (40, 80, 41, 160)),  # thin, and hidden nevertheless
        ("letterbox", [10, 60, 30, 80], "pixels", None),  # in the padding
    ],
)
def test_boxes_are_mapped_back_to_the_frame(
    fit: str, boxes: list[float], units: str, found: tuple[int, ...] | None
) -> None:
    outputs = {"boxes": np.array([boxes], np.float32), "scores": np.array([0.9], np.float32)}
    with _served(Model(outputs), fit=fit, units=units, labels=("face",), classes="") as (localizer, _):
        got = [one.box.xyxy for one in localizer.locate([_frame(400, 200)])[0]]
    assert got == ([] if found is None else [found])


@pytest.mark.parametrize(
    ("written", "row"),
    [("xyxy", [10, 20, 30, 60]), ("yxyx", [20, 10, 60, 30]), ("xywh", [10, 20, 20, 40]), ("cxcywh", [20, 40, 20, 40])],
)
def test_every_format_of_a_box_means_the_same(written: str, row: list[float]) -> None:
    outputs = {"boxes": np.array([[row]], np.float32), "scores": np.array([[0.9]], np.float32)}
    with _served(Model(outputs), format=written, labels=("face",), classes="") as (localizer, _):
        assert [one.box.xyxy for one in localizer.locate([_frame()])[0]] == [(10, 20, 30, 60)]


_ROWS = np.array([[10, 20, 30, 60, 0.9, 1], [40, 10, 50, 30, 0.6, 0], [0, 0, 0, 0, 0, -1]], np.float32)
_NOTHING: Tensors = {name: one[:, :0] for name, one in DETECTIONS.items()}
_TABLE = np.array([[20, 40, 20, 40, 0.2, 0.9], [45, 20, 10, 20, 0.6, 0.5]], np.float32)


@pytest.mark.parametrize(
    ("outputs", "options", "found"),
    [
        (  # a score for each class: more than one can be right
            {"out": _TABLE[np.newaxis]},
            {"boxes": "out", "scores": "out", "classes": "", "format": "cxcywh"},
            [FOUND[0], FOUND[1], ("person", 0.5, (40, 10, 50, 30))],
        ),
        (  # the same on its side, as YOLO has it
            {"out": np.ascontiguousarray(_TABLE.T)[np.newaxis]},
            {"boxes": "out", "scores": "out", "classes": "", "format": "cxcywh"},
            [FOUND[0], FOUND[1], ("person", 0.5, (40, 10, 50, 30))],
        ),
        (
            {"out": _ROWS[np.newaxis, np.newaxis]},
            {"boxes": "out", "scores": "out", "classes": "out"},
            FOUND,
        ),
        (  # scores in a table of their own
            {"boxes": DETECTIONS["boxes"], "scores": np.array([[[0, 0.9], [0, 0], [0.6, 0]]], np.float32)},
            {"classes": ""},
            FOUND,
        ),
        (  # the first class is none
            {**DETECTIONS, "classes": DETECTIONS["classes"] + 1},
            {"labels": ("", "face", "person")},
            FOUND,
        ),
        ({**DETECTIONS}, {"labels": ("", "person")}, FOUND[:1]),
        (_NOTHING, {}, []),
        (  # one thing, seen twice
            {
                "boxes": np.array([[10, 20, 30, 60], [11, 21, 31, 61], [12, 20, 30, 60]], np.float32),
                "scores": np.array([0.9, 0.8, 0.7], np.float32),
                "classes": np.array([1, 1, 0], np.int32),
            },
            {},
            [FOUND[0], ("face", 0.7, (12, 20, 30, 60))],
        ),
    ],
)  # fmt: skip
def test_outputs_are_read_as_the_plan_says(outputs: Tensors, options: dict[str, Any], found: list[Any]) -> None:
    for binary in (False, True):
        with _served(Model(outputs, binary=binary), **options) as (localizer, _):
            assert _flat(localizer.locate([_frame()])[0]) == found


@pytest.mark.parametrize(
    ("most", "batch", "calls"), [(None, 8, [3]), (2, 8, [2, 1]), (None, 1, [1, 1, 1]), (None, 2, [2, 1])]
)
def test_frames_are_sent_in_batches_where_the_server_takes_them(most: int | None, batch: int, calls: list[int]) -> None:
    model = Model(inputs=(("x", "UINT8", [-1, 100, 100, 3]),), most=most)

    def answer(asked: Asked) -> bytes:
        if asked.target.endswith("/infer"):
            count = json.loads(asked.body)["inputs"][0]["shape"][0]
            shift = np.arange(count, dtype=np.float32)[:, None, None]
            batched = {name: np.repeat(one, count, axis=0) for name, one in DETECTIONS.items()}
            model.outputs = {**batched, "boxes": batched["boxes"] + shift}
        return model.answer(asked)

    with answering(answer) as server:
        localizer = Kserve(server.url, "yolo", host=RuntimeConfig(), batch=batch, **BOXES)
        found = localizer.locate([_frame()] * 3)
        localizer.close()
    assert [len(got["x"]) for got in model.got] == calls
    offsets = [shift for count in calls for shift in range(count)]
    assert [one[0].box.x0 - 10 for one in found] == offsets


_MAP = np.zeros((50, 50), np.int64)
_MAP[10:20, 5:15] = 1
_MAP[30:40, 30:45] = 2
_SCORES = np.stack([kind == _MAP for kind in range(3)]).astype(np.float32)


@pytest.mark.parametrize(
    "output",
    [
        _MAP,
        _MAP[np.newaxis],
        _MAP[np.newaxis, np.newaxis].astype(np.uint8),
        _MAP.astype(np.float32),
        _SCORES,
        _SCORES[np.newaxis],
        _SCORES.transpose(1, 2, 0)[np.newaxis],
        _SCORES * 20 - 10,  # not yet through softmax
    ],
)
@pytest.mark.parametrize("binary", [False, True])
def test_a_map_becomes_regions_with_masks(output: npt.NDArray[Any], binary: bool) -> None:
    options = {"boxes": "", "scores": "", "classes": "", "mask": "map", "labels": ("", "face", "person")}
    model = Model({"map": np.ascontiguousarray(output)}, binary=binary)
    with _served(model, **options) as (localizer, _):
        found = {one.label: one for one in localizer.locate([_frame(200, 200)])[0]}
    assert found.keys() == {"face", "person"}
    box = found["face"].box
    # Four pixels a cell: at least the cells, at most a cell more.
    assert box.x0 in range(16, 21)
    assert box.y0 in range(36, 41)
    assert box.x1 in range(60, 65)
    assert box.y1 in range(80, 85)
    mask = found["face"].mask
    assert mask is None or mask[box.height // 2, box.width // 2]


def test_a_map_is_mapped_back_without_padding_and_loses_no_cell() -> None:
    cells = np.zeros((100, 100), np.int32)
    cells[10, 20] = cells[80, 20] = 1  # the second lies in the padding
    options = {"boxes": "", "scores": "", "classes": "", "mask": "map", "labels": ("", "face")}
    for size, box in (((400, 200), (80, 40, 84, 44)), ((40, 20), (8, 4, 9, 5))):
        with _served(Model({"map": cells}), **options) as (localizer, _):
            (found,) = localizer.locate([_frame(*size)])[0]
        assert found.box.x0 <= box[0]
        assert found.box.y0 <= box[1]
        assert found.box.x1 >= box[2]
        assert found.box.y1 >= box[3]
        assert found.box.width <= 3 * (box[2] - box[0])


def test_a_single_probability_map_is_one_label() -> None:
    likely = np.zeros((1, 1, 50, 50), np.float32)
    likely[..., 10:20, 5:15] = 0.8
    options = {"boxes": "", "scores": "", "classes": "", "mask": "map", "labels": ("face",)}
    with _served(Model({"map": likely}), **options) as (localizer, _):
        (found,) = localizer.locate([_frame(50, 50)])[0]
    assert found.score == pytest.approx(0.8, abs=0.01)
    assert found.box.xyxy == (5, 10, 15, 20)


def _changed(**outputs: Any) -> Tensors:
    return {**DETECTIONS, **{name: np.asarray(one) for name, one in outputs.items()}}


_F = np.float32


@pytest.mark.parametrize(
    ("outputs", "why"),
    [
        (_changed(boxes=np.zeros((1, 3, 5), _F)), r"'boxes' of shape \[1, 3, 5\]; it must be \[n, 4\]"),
        (_changed(boxes=np.zeros((2, 3, 4), _F)), r"of shape \[2, 3, 4\]"),
        (_changed(scores=np.zeros((1, 7), _F)), r"it must be \[n, 2\]"),
        (_changed(scores=np.zeros((1, 4, 2), _F)), "for 3 boxes and 2 labels"),
        (_changed(classes=np.zeros((1, 2), np.int64)), r"'classes' of shape \[1, 2\] for 3 boxes"),
        (_changed(classes=np.array([[7, 0, 0]])), "class 7 in 'classes', but there are 2 labels"),
        (_changed(classes=np.array([[-1, 0, 0]])), "class -1"),
        (_changed(classes=np.array([[0.5, 0, 0]], _F)), "not whole numbers"),
        (_changed(scores=np.array([[np.nan, 0, 0]], _F)), "scores in 'scores' that are not finite"),
        (_changed(scores=np.array([[np.inf, 0, 0]], _F)), "not finite"),
        (_changed(scores=np.array([[90, 0, 0]], _F)), "scores from 0 to 90"),
        (_changed(scores=np.array([[-3, 0, 0]], _F)), "scores from -3"),
        (_changed(boxes=np.array([[[np.nan, 0, 1, 1]] * 3], _F)), "boxes in 'boxes' that are not finite"),
        (_changed(boxes=np.array([[[0, 0, np.inf, 1]] * 3], _F)), "not finite"),
        (_changed(boxes=np.array([[[30, 0, 10, 10]] * 3], _F)), "end before they begin"),
        (_changed(boxes=np.array([[[0, 0, 9e9, 10]] * 3], _F)), "far beyond its input"),
        (_changed(boxes=np.array([[[0.1, 0.1, 0.5, 0.9]] * 3], _F)), "write units='relative'"),
        (_changed(boxes=np.array([[[0, 0, 1e300, 10]] * 3], np.float64)), "not finite"),
    ],
)
@pytest.mark.parametrize("binary", [False, True])
def test_invalid_numbers_are_an_error_and_never_an_empty_list(outputs: Tensors, why: str, binary: bool) -> None:
    with _served(Model(outputs, binary=binary)) as (localizer, server):
        with pytest.raises(Unavailable, match=why) as caught:
            localizer.locate([_frame()])
        assert f"model yolo at {server.url} answered with" in str(caught.value)


@pytest.mark.parametrize(
    ("output", "why"),
    [
        (np.full((50, 50), 9, np.int64), "class 9 in 'map', but there are 3 labels"),
        (np.full((50, 50), 255, np.uint8), "class 255"),
        (np.zeros((4, 50, 50), _F), "which has no axis of 3 labels"),
        (np.zeros((2, 3, 50, 50), _F), "a map has 2 or 3 axes"),
        (np.zeros((50,), _F), "a map has 2 or 3 axes"),
        (np.zeros((0, 50), np.int64), "a map has 2 or 3 axes"),
        (np.full((3, 50, 50), np.nan, _F), "not finite"),
        (np.full((50, 50), 0.5, _F), "not whole numbers"),
    ],
)
def test_invalid_maps_are_an_error(output: npt.NDArray[Any], why: str) -> None:
    options = {"boxes": "", "scores": "", "classes": "", "mask": "map", "labels": ("", "face", "person")}
    with _served(Model({"map": output}), **options) as (localizer, _), pytest.raises(Unavailable, match=why):
        localizer.locate([_frame()])


def _one(**more: Any) -> bytes:
    boxes = {"name": "boxes", "shape": [1, 1, 4], "datatype": "FP32", "data": [1, 2, 30, 40]}
    return json.dumps({"outputs": [{**boxes, **more}]}).encode()


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"<html>login</html>", "something that is not JSON"),
        (b"", "something that is not JSON"),
        (b"\xff\xfe", "something that is not JSON"),
        (b"[" * 100_000, "something that is not JSON"),
        (b"[]", "JSON that is not an object"),
        (b"{}", "without outputs"),
        (b'{"outputs": {}}', "without outputs"),
        (b'{"outputs": []}', "without output boxes, scores, classes"),
        (b'{"outputs": [3]}', "an output that has no name"),
        (_one(name=3), "an output that has no name"),
        (_one(), "without output scores, classes"),
        (_one(shape=None), "shape None for 'boxes'; it must be a list"),
        (_one(shape=[1, -4]), "it must be a list of up to 8 whole numbers"),
        (_one(shape=[1, 1, True]), "it must be a list of up to 8 whole numbers"),
        (_one(shape=[1] * 99), "it must be a list of up to 8 whole numbers"),
        (_one(shape=[1, 2, 4]), r"4 numbers, which are not those of shape \[1, 2, 4\]"),
        (_one(shape=[10**30]), "which are not those of shape"),
        (_one(datatype="BYTES"), "datatype 'BYTES'; it must be a number"),
        (_one(datatype=None), "datatype None"),
        (_one(data=None), "whose data are not a list of float32"),
        (_one(data="1234"), "whose data are not a list of float32"),
        (_one(data={}), "whose data are not a list of float32"),
        (_one(data=["1", "2", "3", "4"]), "whose data are not a list of float32"),
        (_one(data=[True, True, True, True]), "whose data are not a list of float32"),
        (_one(data=[[1, 2], [3]]), "lists of different lengths"),
        (_one(data=[1, 2, 3, 10**400]), "whose data are not a list of float32"),
        (_one(data=[1.5, 2, 3, 4], datatype="INT32"), "whose data are not a list of int32"),
        (_one(data=[1, 2, 3, 400], datatype="UINT8"), "do not fit uint8"),
        (_one(parameters={"binary_data_size": 16}), "of 16 bytes, of which 0 are there"),
        (_one(parameters={"binary_data_size": -1}), "of -1 bytes"),
    ],
)
def test_an_invalid_response_is_an_error(body: bytes, why: str) -> None:
    model = Model(said=lambda asked: whole(body) if asked.target.endswith("/infer") else None)
    with _served(model) as (localizer, _), pytest.raises(Unavailable, match=why):
        localizer.locate([_frame()])


@pytest.mark.parametrize("length", ["x", "-1", "99999", "9" * 5000, "1.5"])
def test_a_binary_response_with_wrong_lengths_is_an_error(length: str) -> None:
    def said(asked: Asked) -> bytes | None:
        return whole(b"{}", Inference_Header_Content_Length=length) if asked.target.endswith("/infer") else None

    told = pytest.raises(Unavailable, match="with a JSON part of")
    with _served(Model(binary=True, said=said)) as (localizer, _), told:
        localizer.locate([_frame()])


def test_bfloat16_is_understood() -> None:
    values = np.array([[10, 20, 30, 60]], np.float32)
    upper = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    listed = [
        {"name": "boxes", "shape": [1, 4], "datatype": "BF16", "parameters": {"binary_data_size": len(upper)}},
        {"name": "scores", "shape": [1], "datatype": "FP32", "data": [0.9]},
    ]
    head = json.dumps({"outputs": listed}).encode()
    given = whole(head + upper, Inference_Header_Content_Length=str(len(head)))
    model = Model(binary=True, said=lambda asked: given if asked.target.endswith("/infer") else None)
    with _served(model, labels=("face",), classes="") as (localizer, _):
        assert [one.box.xyxy for one in localizer.locate([_frame()])[0]] == [(10, 20, 30, 60)]


@given(st.binary(max_size=200), st.integers(0, 220))
def test_any_response_bytes_give_a_result_or_a_clear_error(body: bytes, cut: int) -> None:
    for headers in ({}, {"inference-header-content-length": str(cut)}):
        with pytest.raises(BadResponse):
            outputs_of(ServerResponse(200, body, "", headers), ["boxes"])


@pytest.mark.parametrize(
    ("path", "given", "why"),
    [
        ("/v2/health/ready", whole(status=400), "is not ready: its server answered 400"),
        ("/v2/models/yolo", whole(b'{"error": "no such model"}', 404), "404 .*'no such model'; check its name"),
        ("/v2/models/yolo", whole(b"<html>"), "not JSON"),
        ("/v2/models/yolo", whole(b"{}"), "has a description without inputs"),
        ("/v2/models/yolo", whole(b'{"inputs": [{"name": "x"}], "outputs": []}'), "lack a name or datatype"),
        (
            "/v2/models/yolo",
            whole(b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": "large"}]}'),
            "it must be a list of up to 8 whole numbers",
        ),
    ],
)
def test_a_server_without_the_model_is_an_error_at_once(path: str, given: bytes, why: str) -> None:
    model = Model(said=lambda asked: given if asked.target == path else None)
    with answering(model.answer) as server, pytest.raises(Unavailable, match=why):
        Kserve(server.url, "yolo", host=RuntimeConfig(), **BOXES)


def test_the_error_of_a_failing_server_quotes_its_message() -> None:
    body = b'{"error": "batch-size must be <= 1"}'
    model = Model(said=lambda asked: whole(body, 400) if asked.target.endswith("/infer") else None)
    with (
        _served(model) as (localizer, _),
        pytest.raises(Unavailable, match="answered 400 .*: 'batch-size must be <= 1'"),
    ):
        localizer.locate([_frame()])


def test_a_batch_of_the_wrong_length_is_an_error() -> None:
    model = Model(inputs=(("x", "UINT8", [-1, 100, 100, 3]),))
    with _served(model) as (localizer, _), pytest.raises(Unavailable, match="for 2 pictures"):
        localizer.locate([_frame(), _frame()])


def test_an_unreachable_server_is_an_error() -> None:
    with pytest.raises(Unavailable, match="accepted no connection"):
        Kserve(
            f"http://127.0.0.1:{free_port()}",
            "yolo",
            host=RuntimeConfig(peers=HttpClient(NetworkPolicy(("*",), attempts=1))),
            **BOXES,
        )


_SEVERAL = (("a", "FP32", [1, 3, 9, 9]), ("b", "FP32", [1, 3, 9, 9]))


@pytest.mark.parametrize(
    ("model", "options", "why"),
    [
        (Model(), {"labels": ()}, "labels of kserve are empty"),
        (Model(), {"labels": ("", "")}, "labels of kserve are empty"),
        (Model(), {"threshold": 0.0}, "threshold of kserve is 0.0"),
        (Model(), {"iou": 0.0}, "iou of kserve is 0.0"),
        (Model(), {"batch": 0}, "batch of kserve is 0"),
        (Model(), {"scores": ""}, "boxes and scores"),
        (Model(), {"boxes": ""}, "boxes and scores"),
        (Model(), {"classes": "boxes"}, "boxes and scores"),
        (Model(), {"mask": "boxes"}, "either mask or boxes"),
        (Model(), {"boxes": "dets"}, "has no output 'dets'; it has boxes, scores, classes"),
        (Model(), {"input": "x"}, "has no input 'x'; it has images"),
        (Model(inputs=_SEVERAL), {}, "has no input ''; it has a, b"),
        (Model(inputs=(("x", "BYTES", [1]),)), {}, "takes BYTES"),
        (Model(inputs=(("x", "FP16", [1, 3, 9, 9]),)), {}, "FP16, which JSON does not have; write binary=true"),
        (Model(inputs=(("x", "FP32", [1, 9]),)), {}, r"shape \[1, 9\]"),
        (Model(inputs=(("x", "FP32", [1, 1, 9, 9]),)), {}, "layout of the channels does not follow"),
        (Model(inputs=(("x", "FP32", [1, 3, 9, 3]),)), {}, "layout of the channels does not follow"),
        (Model(inputs=(("x", "FP32", [1, 3, 9, 9]),)), {"layout": "nhwc"}, "layout nhwc does not follow"),
        (Model(inputs=(("x", "FP32", [1, 3, -1, -1]),)), {}, "pictures of any size; write size="),
        (Model(inputs=(("x", "FP32", [1, 3, -1, -1]),)), {"size": (9,)}, "must be .width, height."),
        (Model(inputs=(("x", "FP32", [1, 3, 9, 9]),)), {"size": (8, 8)}, "takes 9 x 9 pixels"),
        (Model(inputs=(("x", "UINT8", [1, 3, 9, 9]),)), {"scale": 0.5}, "leave out mean and scale"),
        (Model(), {"mean": (1.0, 2.0)}, "one number or three"),
        (Model(), {"pad": 300}, "pad is 300"),
    ],
)
def test_a_plan_that_does_not_fit_the_server_is_refused_before_any_frame(
    model: Model, options: dict[str, Any], why: str
) -> None:
    with answering(replace(model).answer) as server, pytest.raises(BadPlan, match=why):
        Kserve(server.url, "yolo", host=RuntimeConfig(), **{**BOXES, **options})
    assert not any(asked.target.endswith("/infer") for asked in server.asked)


@pytest.mark.parametrize("url", ["http://h/?key=1", "http://h/#x", "http://u:p@h/", "ftp://h/", "h:8000"])
def test_an_invalid_address_is_refused(url: str) -> None:
    with pytest.raises(BadPlan):
        Kserve(url, "yolo", host=RuntimeConfig(), **BOXES)
