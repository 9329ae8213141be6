"""One client reads every variant of the inference APIs, and refuses incomplete responses."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from velum.bmw.client import Description, InferenceApi
from velum.errors import BadPlan, Unavailable
from velum.locate.labels import covers, exact
from velum.net import ANYWHERE
from velum.net.client import FormFile, HttpClient, ServerResponse
from velum.plan import Rule
from velum.spec import PartSpec

from .fake_inference_api import (
    DETECTING,
    PROFILES,
    SEGMENTING,
    Reply,
    Shown,
    StubInference,
    dumps,
    painted,
    voc_palette,
)

PNG = b"\x89PNG of a kind"
LABELS = ("person", "car", "traffic light", "")


@pytest.fixture(scope="module")
def peers() -> Iterator[HttpClient]:
    peers = HttpClient(ANYWHERE)
    yield peers
    peers.close()


class Canned(HttpClient):
    """Returns the same response to each request, without a server."""

    def __init__(self, answer: ServerResponse) -> None:
        self.answer = answer

    def check(self, url: str) -> None: ...

    def get(self, url: str) -> ServerResponse:
        return self.answer

    def post(self, url: str, upload: FormFile, fields: Mapping[str, str] | None = None) -> ServerResponse:
        return self.answer


def answering(body: bytes, status: int = 200) -> InferenceApi:
    return InferenceApi("http://peer/", Canned(ServerResponse(status, body)))


@pytest.mark.parametrize("profile", PROFILES)
def test_describes_the_models_of_every_variant(profile: str, peers: HttpClient) -> None:
    with StubInference(profile, labels=LABELS) as stub:
        api = InferenceApi(stub.url, peers)
        assert api.models() == ("yolo",)
        known = api.describe("yolo")
    segments = profile in SEGMENTING
    assert known.labels == LABELS
    assert known.kind == ("segmentation" if segments else "detection")
    assert known.stated == PROFILES[profile].type
    assert known.palette == (tuple(voc_palette(4)) if segments else None)
    assert known.merged == (profile == "OVS")


@pytest.mark.parametrize("profile", DETECTING)
def test_reads_the_boxes_of_every_detection_variant(profile: str, peers: HttpClient) -> None:
    with StubInference(profile, [Shown("person", (10.5, 20.25, 50.5, 80.0)), Shown("car", (-3, 0, 9, 9))]) as stub:
        finds = InferenceApi(stub.url, peers).detect("yolo", PNG, "image.png", "image/png")
    assert [(find.label, find.percent) for find in finds] == [("person", 93.1), ("car", 93.1)]
    edges = (10.5, 20.25, 50.5, 80.0) if profile == "YGPU" else (10, 20, 50, 80)
    assert [find.ltrb for find in finds] == [edges, (-3, 0, 9, 9)]


@pytest.mark.parametrize("profile", PROFILES)
def test_sends_images_as_every_variant_expects_them(profile: str, peers: HttpClient) -> None:
    path = "inference" if profile in SEGMENTING else "predict"
    with StubInference(profile, replies={f"/models/yolo/{path}": Reply.failed("enough")}) as stub:
        api = InferenceApi(stub.url.rstrip("/"), peers)
        with pytest.raises(Unavailable, match="enough"):
            if profile in SEGMENTING:
                api.mask(
                    "yolo", PNG, "image.png", "image/png", size=(4, 4), description=Description(("a",), "segmentation")
                )
            else:
                api.detect("yolo", PNG, "image.png", "image/png")
        (asked,) = stub.asked
    (part,) = asked.parts
    assert asked.path == f"/models/yolo/{path}"
    assert part.content == PNG
    assert part.headers["content-type"] == "image/png"
    assert part.headers["content-disposition"] == 'form-data; name="input_data"; filename="image.png"'


@pytest.mark.parametrize("profile", ["YCPU", "YGPU"])
@pytest.mark.parametrize("unloaded", [None, Reply.of(None)], ids=["model not found", "labels are null"])
def test_loads_models_once_when_the_server_hides_them_until_then(
    profile: str, unloaded: Reply | None, peers: HttpClient
) -> None:
    with StubInference(profile) as stub:
        api = InferenceApi(stub.url, peers)
        if unloaded is not None:
            stub.replies["/models/yolo/labels"] = unloaded
            with pytest.raises(Unavailable, match="no list of labels in None"):
                api.describe("yolo")
            del stub.replies["/models/yolo/labels"]
        else:
            assert api.describe("yolo").labels == ("person", "car")
        assert stub.paths().count("GET /load") == 1
        assert api.describe("yolo").labels == ("person", "car")
        assert stub.paths().count("GET /load") == 1


@pytest.mark.parametrize(
    ("listing", "names"),
    [
        ({"models": ["a", "b"]}, ("a", "b")),
        ({"models": {"a": "ca2c0a4b-5d12-4a8b-9c0d-1b6a52f0b8e1"}}, ("a",)),
        (["a"], ("a",)),
        ({"models": []}, ()),
    ],
    ids=["a list", "an object with hashes", "names alone", "none"],
)
@pytest.mark.parametrize("wrapped", [True, False], ids=["in an envelope", "bare"])
def test_reads_the_list_of_models_in_every_form(listing: Any, names: tuple[str, ...], wrapped: bool) -> None:
    body = Reply.of(listing).body if wrapped else dumps(listing)
    assert answering(body).models() == names


@pytest.mark.parametrize(
    ("stated", "kind"),
    [
        ("detection", "detection"),
        ("Detection", "detection"),
        ("segmentation", "segmentation"),
        ("instance_segmentation", "segmentation"),
        ("semantic", "segmentation"),
        ("classification", "classification"),
    ],
)
def test_derives_the_kind_from_the_type_of_a_model(stated: str, kind: str, peers: HttpClient) -> None:
    with StubInference("GLU", replies={"/models/yolo/config": Reply.of({"type": stated})}) as stub:
        known = InferenceApi(stub.url, peers).describe("yolo")
    assert (known.kind, known.stated) == (kind, stated)


def test_a_palette_is_optional(peers: HttpClient) -> None:
    with StubInference("GLU") as stub:
        for reply in (Reply.detail(404, "Not Found"), Reply.of([1, 2]), Reply.of("no"), Reply.of([0, 0, 256])):
            stub.replies["/models/yolo/palette"] = reply
            assert InferenceApi(stub.url, peers).describe("yolo").palette is None


def test_the_error_for_an_unknown_model_lists_the_known_ones(peers: HttpClient) -> None:
    with (
        StubInference("TFC") as stub,
        pytest.raises(Unavailable, match=rf"{stub.url} has no model 'nope'; it has yolo"),
    ):
        InferenceApi(stub.url, peers).describe("nope")


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("a b/../c?d#e%", "/models/a%20b%2F..%2Fc%3Fd%23e%25/predict"),
        ("größe", "/models/gr%C3%B6%C3%9Fe/predict"),
        ("...", "/models/.../predict"),
    ],
)
def test_escapes_model_names_in_paths(model: str, path: str, peers: HttpClient) -> None:
    with StubInference("OVD", model=model) as stub:
        api = InferenceApi(stub.url, peers)
        assert api.detect(model, PNG, "image.png", "image/png") == ()
        assert api.describe(model).labels
        assert stub.asked[0].path == path


@pytest.mark.parametrize("model", ["", ".", "..", "a\nb", "\ud800"])
def test_refuses_model_names_that_no_path_can_hold(model: str) -> None:
    with pytest.raises(Unavailable, match="is not allowed"):
        answering(b"{}").detect(model, PNG, "image.png", "image/png")


@pytest.mark.parametrize(
    "url",
    [
        "http://u:secret@127.0.0.1/?x",
        "http://127.0.0.1/?x",
        "http://127.0.0.1/#x",
        "ftp://127.0.0.1/",
        "peer:80",
        "http://",
    ],
)
def test_refuses_malformed_addresses(url: str, peers: HttpClient) -> None:
    with pytest.raises(BadPlan) as caught:
        InferenceApi(url, peers)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("profile", PROFILES)
def test_reports_the_failures_of_every_variant(profile: str, peers: HttpClient) -> None:
    known = Description(("a",), "segmentation")
    with StubInference(profile) as stub:
        api = InferenceApi(stub.url, peers)
        for model, picture in (("nope", PNG), ("yolo", b"no picture")):
            with pytest.raises(Unavailable, match=rf"{stub.url} gave no usable answer to models/{model}/"):
                if profile in SEGMENTING:
                    api.mask(model, picture, "image.png", "image/png", size=(4, 4), description=known)
                else:
                    api.detect(model, picture, "image.png", "image/png")


def boxes(**changed: Any) -> bytes:
    """Return a list of a correct box and a changed one; None leaves a key out."""
    edges = {"left": 1, "top": 2, "right": 3, "bottom": 4}
    good = {"ObjectClassName": "person", "ObjectClassId": 0, "confidence": 50.0, "coordinates": edges}
    bad: dict[str, Any] = {**good, "coordinates": dict(edges)}
    for key, value in changed.items():
        where = bad["coordinates"] if key in edges else bad
        where.pop(key) if value is None else where.update({key: value})
    return json.dumps({"bounding-boxes": [good, bad]}).encode()


MALFORMED = {
    "no list": dumps({"boxes": []}),
    "null": Reply.of(None).body,
    "a list of segments": Reply.of([{"class_name": "pad", "bbox": [1, 2, 3, 4]}]).body,
    "boxes are an object": dumps({"bounding-boxes": {}}),
    "a box is a string": dumps({"bounding-boxes": ["person"]}),
    "a box is null": dumps({"bounding-boxes": [None]}),
    "success is false": dumps({"data": {"bounding-boxes": []}, "error": "", "success": False}),
    "success is the word false": dumps({"data": {"bounding-boxes": []}, "error": "", "success": "False"}),
    "an error and no word on success": dumps({"data": {"bounding-boxes": []}, "error": "no"}),
    "success without data": dumps({"success": True}),
    "HTML": b"<html>404</html>",
    "empty": b"",
    "not UTF-8": b"\xff\xfe\x00",
    "nested too deep": b"[" * 100_000 + b"]" * 100_000,
    "nested as deep as can be": b'{"bounding-boxes":' * 900 + b"1" + b"}" * 900,
    "no name": boxes(ObjectClassName=None),
    "name is a number": boxes(ObjectClassName=3),
    "no coordinates": boxes(coordinates=None),
    "coordinates are a list": boxes(coordinates=[1, 2, 3, 4]),
    "no left": boxes(left=None),
    "no bottom": boxes(bottom=None),
    "an edge is a string": boxes(top="2"),
    "an edge is true": boxes(top=True),
    "an edge is NaN": boxes(right=float("nan")),
    "an edge is infinite": boxes(right=float("inf")),
    "an edge is -infinite": boxes(left=float("-inf")),
    "an edge is beyond floats": boxes(right=10**400),
    "an edge is an object": boxes(right={}),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
def test_refuses_incomplete_responses(body: bytes) -> None:
    with pytest.raises(Unavailable, match="http://peer/ gave no usable answer to models/yolo/predict: ") as caught:
        answering(body).detect("yolo", PNG, "image.png", "image/png")
    assert len(str(caught.value)) < 1000


UNUSUAL = {
    "data without success": dumps({"data": json.loads(boxes())}),
    "data, no error, no success": dumps({"data": json.loads(boxes()), "error": None}),
    "success is a word": dumps({"data": json.loads(boxes()), "error": "", "success": "true"}),
    "success is null": dumps({"data": json.loads(boxes()), "success": None}),
    "no id": boxes(ObjectClassId=None), "an id that is none": boxes(ObjectClassId="3"),
    "no confidence": boxes(confidence=None), "confidence is NaN": boxes(confidence=float("nan")),
    "confidence is a word": boxes(confidence="high"), "confidence is 'nan'": boxes(confidence="nan"),
    "confidence is a list": boxes(confidence=[1]), "confidence is beyond floats": boxes(confidence=10**400),
}  # fmt: skip


@pytest.mark.parametrize("body", UNUSUAL.values(), ids=UNUSUAL.keys())
def test_reads_unusual_responses_that_the_original_reads(body: bytes) -> None:
    _, last = answering(body).detect("yolo", PNG, "image.png", "image/png")
    assert (last.label, last.ltrb) == ("person", (1, 2, 3, 4))
    assert last.percent in {50.0, 100.0}, "what cannot be read counts as certain: it must not be left out"


@pytest.mark.parametrize("status", [200, 201, 202, 206])
def test_accepts_every_status_from_200_to_299(status: int) -> None:
    assert len(answering(boxes(), status).detect("yolo", PNG, "image.png", "image/png")) == 2
    known = Description(("a", "b"), "segmentation")
    body = painted(np.eye(4, dtype=np.uint8), voc_palette(2))
    ids = answering(body, status).mask("m", PNG, "image.png", "image/png", size=(4, 4), description=known)
    assert set(ids.values) == {0, 1}


@pytest.mark.parametrize("status", [204, 300, 400, 404, 500])
def test_refuses_boxes_with_a_status_of_failure(status: int) -> None:
    with pytest.raises(Unavailable, match=f"status {status}"):
        answering(b"" if status == 204 else boxes(), status).detect("yolo", PNG, "image.png", "image/png")


@pytest.mark.parametrize(
    ("body", "percent", "ltrb"),
    [
        (boxes(confidence="0.998"), 0.998, (1, 2, 3, 4)),
        (boxes(left=-5.5, right=1e9), 50, (-5.5, 2, 1e9, 4)),
        (boxes(left=9, right=3, bottom=1e308), 50, (9, 2, 3, 1e308)),
        (Reply.of(json.loads(boxes())).body, 50, (1, 2, 3, 4)),
    ],
    ids=["confidence as a string", "beyond the picture", "inverted and huge", "in an envelope"],
)
def test_reads_boxes_beyond_the_image_and_inverted_ones_unchanged(
    body: bytes, percent: float, ltrb: tuple[float, ...]
) -> None:
    good, odd = answering(body).detect("yolo", PNG, "image.png", "image/png")
    assert list(good.ltrb) == [1, 2, 3, 4]
    assert (odd.percent, *odd.ltrb) == (percent, *ltrb)


KEYS = [
    "data", "error", "success", "models", "bounding-boxes", "coordinates", "left", "top", "right", "bottom",
    "ObjectClassName", "ObjectClassId", "confidence", "type",
]  # fmt: skip
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("person"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)
EDGE = st.integers(-10, 10) | st.floats() | ANYTHING
BOX = st.fixed_dictionaries(
    {
        "ObjectClassName": st.just("person"), "ObjectClassId": st.just(0), "confidence": st.floats(0, 100) | ANYTHING,
        "coordinates": st.fixed_dictionaries(dict.fromkeys(("left", "top", "right", "bottom"), EDGE)),
    }
)  # fmt: skip


@given(st.lists(BOX | ANYTHING, max_size=3), st.booleans())
def test_returns_every_box_or_fails(answered: list[Any], wrapped: bool) -> None:
    value = {"bounding-boxes": answered}
    api = answering(json.dumps({"data": value, "error": "", "success": True} if wrapped else value).encode())
    try:
        finds = api.detect("yolo", PNG, "image.png", "image/png")
    except Unavailable:
        return
    assert len(finds) == len(answered)


@given(ANYTHING | st.binary(), st.sampled_from([200, 300, 404, 500]))
def test_any_response_is_read_or_raises_unavailable(answered: Any, status: int) -> None:
    body = answered if isinstance(answered, bytes) else json.dumps(answered).encode()
    api = answering(body, status)
    known = Description(("a", "b"), "segmentation", (0, 0, 0, 9, 9, 9))
    for ask in (
        api.models,
        lambda: api.describe("person"),
        lambda: api.detect("person", PNG, "image.png", "image/png"),
        lambda: api.mask("person", PNG, "image.png", "image/png", size=(3, 3), description=known),
    ):
        with contextlib.suppress(Unavailable):
            ask()


@pytest.mark.parametrize(
    ("label", "written"),
    [
        ("person", "=person"),
        ("", "="),
        ("license_plate", "=license_plate"),
        ("License-Plate", "=%4cicense%2d%50late"),
        ("traffic light", "=traffic%20light"),
        ("a: b -> c", "=a%3a%20b%20%2d%3e%20c"),
        ("100%", "=100%25"),
        ("a__b", "=a_%5fb"),
        ("straße", "=stra%c3%9fe"),
        ("\ud800", "=%ed%a0%80"),
        ("歩行者", "=歩行者"),
    ],
)
def test_escapes_labels_so_that_a_rule_can_name_them(label: str, written: str) -> None:
    assert exact(label) == written
    rule = Rule(exact(label), PartSpec("fixed"), PartSpec("blacken"))
    assert Rule.parse(str(rule)) == rule


LABEL = st.text(max_size=6) | st.text("aA_- :>%=\n", max_size=6) | st.sampled_from(["person", "People", "car", "van"])


@given(LABEL, LABEL)
@settings(deadline=None)
def test_an_escaped_label_matches_only_itself(one: str, other: str) -> None:
    assert covers(exact(one), exact(other)) == (one == other)
    assert not covers(one, exact(other)) or one.strip().startswith("=")
    Rule(exact(one), PartSpec("fixed"), PartSpec("blacken"))
