"""The responses of each profile, byte by byte."""

import io
import json
import re
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx2
import numpy as np
import pytest
from PIL import Image
from tests.bmw.inference_server.factories import DISC, HASH, HEIGHT, REGIONS, WIDTH, client, encoded, host, png
from tests.media.image.bombs import encoded as heavy
from tests.media.image.bombs import scanned_black

from velum.bmw.inference_server.endpoints import Capacity
from velum.bmw.inference_server.images import voc_palette
from velum.bmw.inference_server.profiles import PROFILES
from velum.errors import PluginFault
from velum.frame import Frame
from velum.limits import Limits
from velum.region import Box, Region

DETECTION = ("openvino-detection", "yolo", "yolo-gpu", "tensorflow")
SEGMENTATION = ("openvino-segmentation", "gluoncv")
LOADING = ("yolo", "yolo-gpu", "tensorflow", "gluoncv")

BOXES = {
    "openvino-detection": '{"bounding-boxes":['
    '{"ObjectClassName":"face","ObjectClassId":1,"confidence":93.1,'
    '"coordinates":{"left":10,"right":30,"top":5,"bottom":25}},'
    '{"ObjectClassName":"plate","ObjectClassId":2,"confidence":50.0,'
    '"coordinates":{"left":0,"right":11,"top":0,"bottom":11}},'
    '{"ObjectClassName":"plate","ObjectClassId":2,"confidence":25.0,'
    '"coordinates":{"left":20,"right":40,"top":15,"bottom":30}}]}',
    "yolo": '{"bounding-boxes":['
    '{"ObjectClassName":"face","ObjectClassId":0,"confidence":93.1,'
    '"coordinates":{"left":10,"right":30,"top":5,"bottom":25}},'
    '{"ObjectClassName":"plate","ObjectClassId":1,"confidence":50.0,'
    '"coordinates":{"left":0,"right":11,"top":0,"bottom":11}},'
    '{"ObjectClassName":"plate","ObjectClassId":1,"confidence":25.0,'
    '"coordinates":{"left":20,"right":40,"top":15,"bottom":30}}]}',
    "yolo-gpu": '{"bounding-boxes":['
    '{"ObjectClassId":0,"ObjectClassName":"face","confidence":93.1,'
    '"coordinates":{"left":10.0,"top":5.0,"right":30.0,"bottom":25.0}},'
    '{"ObjectClassId":1,"ObjectClassName":"plate","confidence":50.0,'
    '"coordinates":{"left":0,"top":0,"right":11.0,"bottom":11.0}},'
    '{"ObjectClassId":1,"ObjectClassName":"plate","confidence":25.0,'
    '"coordinates":{"left":20.0,"top":15.0,"right":40,"bottom":30}}]}',
    "tensorflow": '{"bounding-boxes":['
    '{"ObjectClassName":"face","confidence":93.1,"coordinates":{"left":10,"top":5,"right":30,"bottom":25},'
    '"ObjectClassId":1},'
    '{"ObjectClassName":"plate","confidence":50.0,"coordinates":{"left":0,"top":0,"right":11,"bottom":11},'
    '"ObjectClassId":2},'
    '{"ObjectClassName":"plate","confidence":25.0,"coordinates":{"left":20,"top":15,"right":40,"bottom":30},'
    '"ObjectClassId":2}]}',
}

PALETTE = "[0,0,0,128,0,0,0,128,0]"


def enveloped(data: str) -> str:
    return f'{{"data":{data},"error":"","success":true}}'


def failed(text: str) -> str:
    return f'{{"data":null,"error":"{text}","success":false}}'


def detail(text: str) -> str:
    return f'{{"detail":"{text}"}}'


GETS = [
    *((name, "models", enveloped('{"models":["fake"]}')) for name in PROFILES if name != "openvino-segmentation"),
    ("openvino-segmentation", "models", enveloped(f'{{"models":{{"fake":"{HASH}"}}}}')),
    *((name, "load", f'{{"fake":"{HASH}"}}') for name in PROFILES),
    *((name, "models/fake/load?force=true", enveloped("null")) for name in LOADING),
    *((name, "models/fake/labels", enveloped('["face","plate"]')) for name in DETECTION),
    *((name, "models/fake/labels", enveloped('["background","face","plate"]')) for name in SEGMENTATION),
    *((name, "models/fake/palette", enveloped(PALETTE)) for name in SEGMENTATION),
    *(
        (name, "models/fake/config", enveloped(f'{{"framework":"{word}","type":"detection","network":"fake"}}'))
        for name, word in zip(DETECTION, ("openvino", "yolo", "yolo", "tensorflow"), strict=True)
    ),
    (
        "openvino-segmentation", "models/fake/config",
        enveloped('{"classes":3,"type":"segmentation","classesname":["background","face","plate"]}'),
    ),
    (
        "gluoncv", "models/fake/config",
        enveloped(
            '{"type":"segmentation","nclasses":3,"backbone":"fake","model":"fake",'
            '"classesname":["background","face","plate"]}'
        ),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "path", "body"), GETS)
def test_lists_models_labels_and_configurations_as_the_original(name: str, path: str, body: str) -> None:
    answer = client(name).get(f"/{path}")
    assert (answer.status_code, answer.text) == (200, body)
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("name", DETECTION)
@pytest.mark.parametrize("called", ["fake", HASH])
def test_returns_the_boxes_of_each_variant(name: str, called: str) -> None:
    with client(name) as server:
        answer = server.post(f"/models/{called}/predict", files={"input_data": ("a.png", png(), "image/png")})
        assert (answer.status_code, answer.text) == (200, enveloped(BOXES[name]))
        answer = server.post("/detect", files={"image": png()}, data={"model": called})
        assert (answer.status_code, answer.text) == (200, BOXES[name])
        files = [("input_data", ("a/b.png", png())), ("input_data", ("c.png", png()))]
        answer = server.post(f"/models/{called}/predict_batch", files=files)
        both = ",".join(f'{BOXES[name][:-1]},"ImageName":"{file}"}}' for file in ("a/b.png", "c.png"))
        assert (answer.status_code, answer.text) == (200, enveloped(f"[{both}]"))


def test_accepts_a_form_part_without_content_type() -> None:
    body = (
        b'--x\r\nContent-Disposition: form-data; name="input_data"; filename="input_data"\r\n\r\n'
        + png()
        + b"\r\n--x--\r\n"
    )
    headers = {"content-type": "multipart/form-data; boundary=x"}
    with client("openvino-detection") as server:
        answer = server.post("/models/fake/predict", content=body, headers=headers)
    assert answer.text == enveloped(BOXES["openvino-detection"])


@pytest.mark.parametrize("name", ["yolo", "yolo-gpu", "tensorflow", "gluoncv"])
def test_lists_the_hashes_of_labels(name: str) -> None:
    server = client(name)
    labels = server.post("/get_labels", data={"model": "fake"}).json()
    listed = server.get("/models/fake/labels").json()["data"]
    assert list(labels) == listed
    assert all(
        re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", one)
        for one in labels.values()
    )
    assert labels == client(name).post("/get_labels", data={"model": HASH}).json()


def test_returns_the_outlines_of_objects() -> None:
    with client("gluoncv") as server:
        answer = server.post("/models/fake/predict", files={"input_data": png()})
        assert answer.text.startswith(
            '{"data":[{"class_name":"face","ObjectClassId":1,"bbox":[10,5,30,25],'
            '"segment":[10,5,10,24,29,24,29,5],"confidence":"0.931"},'
            '{"class_name":"plate","ObjectClassId":2,"bbox":[0,0,11,11],"segment":['
        )
        raw = server.post("/detect", files={"image": png()}, data={"model": "fake"})
        assert raw.json() == answer.json()["data"]


def test_groups_boxes_by_label() -> None:
    with client("openvino-segmentation") as server:
        answer = server.post("/models/fake/detect", files={"input_data": png()})
        assert answer.text == '{"face":["10","5","30","25"],"plate":[["0","0","11","11"],["20","15","40","30"]]}'
    three = [Region(Box(n, 0, n + 1, 1), "face") for n in range(3)]
    with client("openvino-segmentation", host(three)) as server:
        answer = server.post("/models/fake/detect", files={"input_data": png()})
        assert answer.text == '{"face":[[["0","0","1","1"],["1","0","2","1"]],["2","0","3","1"]]}'
    with client("openvino-segmentation", host([])) as server:
        assert server.post("/models/fake/detect", files={"input_data": png()}).text == "{}"


@pytest.mark.parametrize("name", SEGMENTATION)
def test_returns_the_mask_of_each_variant(name: str) -> None:
    with client(name) as server:
        answer = server.post("/models/fake/inference", files={"input_data": png()})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/jpg"
    assert {"content-length", "etag", "last-modified"} <= answer.headers.keys()
    image = Image.open(io.BytesIO(answer.content))
    assert (image.format, image.mode, image.size) == ("PNG", "P", (WIDTH, HEIGHT))
    assert answer.content[24:26] == bytes((2, 3))  # bits, and colours from a palette: IHDR (PNG, 11.2.1)
    assert image.getpalette("RGB") == json.loads(PALETTE)
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[15:30, 20:40] = 2
    expected[:11, :11][DISC] = 2
    expected[5:25, 10:30] = 1  # the surest on top
    np.testing.assert_array_equal(np.asarray(image), expected)


@pytest.mark.parametrize(("classes", "bits"), [(2, 1), (4, 2), (5, 4), (16, 4), (17, 8), (256, 8)])
def test_mask_has_as_many_bits_as_its_classes_need(classes: int, bits: int) -> None:
    labels = [f"{n:03}" for n in range(1, classes)]
    last = [Region(Box(3, 4, 9, 9), labels[-1])]
    with client("gluoncv", host(last, labels)) as server:
        png_ = server.post("/models/fake/inference", files={"input_data": png()}).content
        assert server.get("/models/fake/palette").json()["data"] == list(voc_palette(classes))
    assert png_[24] == bits
    assert np.asarray(Image.open(io.BytesIO(png_)))[4:9, 3:9].tolist() == [[classes - 1] * 6] * 5


DRAWN = [
    *((name, "predict_image", "image/jpg", "RGB") for name in DETECTION),
    ("gluoncv", "predict_image", "image/jpg", "RGBA"),
    ("openvino-segmentation", "image_segmentation", "image/png", "RGB"),
]


@pytest.mark.parametrize(("name", "call", "kind", "mode"), DRAWN)
def test_draws_detections_on_the_image(name: str, call: str, kind: str, mode: str) -> None:
    with client(name) as server:
        answer = server.post(f"/models/fake/{call}", files={"input_data": ("../../x.sh", png())})
    assert answer.headers["content-type"] == kind
    image = Image.open(io.BytesIO(answer.content))
    assert (image.format, image.mode, image.size) == ("PNG", mode, (WIDTH, HEIGHT))
    drawn, before = np.asarray(image.convert("RGB")), np.asarray(Image.open(io.BytesIO(png())))
    assert (drawn[20, 10] != before[20, 10]).any()
    assert (drawn[:4, 32:] == before[:4, 32:]).all()


@pytest.mark.parametrize("name", PROFILES)
def test_does_not_serve_calls_of_other_variants(name: str) -> None:
    server = client(name)
    missing = {"models/fake/palette"} if name in DETECTION else set()
    assert {path for path in ("models/fake/palette",) if server.get(f"/{path}").status_code == 404} == missing
    answer = server.get("/nothing")
    assert (answer.status_code, answer.text) == (404, '{"detail":"Not Found"}')
    answer = server.post("/models")
    assert (answer.status_code, answer.text) == (405, '{"detail":"Method Not Allowed"}')
    assert server.head("/models").status_code == 405
    answer = server.get("/models/")
    assert (answer.status_code, answer.headers["location"], answer.content) == (307, "http://testserver/models", b"")


ODD = "Internal Server Error"
FAILURES = [
    # profile, failure, status, body
    ("openvino-detection", "no model", 404, failed("Model not found: Model x not found")),
    ("openvino-detection", "no facts", 404, failed("Model not found: Model x not found")),
    ("openvino-detection", "no picture", 400, failed("Invalid input data: corrupted image")),
    ("openvino-detection", "fault", 500, failed("unexpected server error")),
    ("openvino-detection", "bug", 500, failed("unexpected server error")),
    ("openvino-segmentation", "no model", 300, detail("unexpected server error")),
    ("openvino-segmentation", "no facts", 404, detail("something went wrong! please check if the model exist")),
    ("openvino-segmentation", "no picture", 300, detail("unexpected server error")),
    ("openvino-segmentation", "fault", 300, detail("unexpected server error")),
    ("openvino-segmentation", "bug", 300, detail("unexpected server error")),
    *((name, "no model", 200, failed("Model not found")) for name in ("yolo", "yolo-gpu", "tensorflow", "gluoncv")),
    *((name, "no facts", 200, failed("Model not found")) for name in ("yolo", "yolo-gpu")),
    *((name, "no facts", 500, ODD) for name in ("tensorflow", "gluoncv")),
    *(
        (name, "no picture", 200, failed("Invalid input data: corrupted image"))
        for name in ("yolo", "yolo-gpu", "tensorflow")
    ),
    *((name, "fault", 200, failed("unexpected server error")) for name in ("yolo", "yolo-gpu", "tensorflow")),
    *((name, "bug", 200, failed("unexpected server error")) for name in ("yolo", "yolo-gpu", "tensorflow")),
    *(("gluoncv", failure, 500, ODD) for failure in ("no picture", "fault", "bug")),
]  # fmt: skip


def fault(_: Frame) -> Sequence[Region]:
    raise PluginFault("the network is gone")


def bug(_: Frame) -> Sequence[Region]:
    raise ZeroDivisionError


@pytest.mark.parametrize(("name", "failure", "status", "body"), FAILURES)
def test_answers_failures_as_each_variant_does(name: str, failure: str, status: int, body: str) -> None:
    of = host({"fault": fault, "bug": bug}.get(failure, REGIONS))
    call = "predict" if name != "openvino-segmentation" else "inference"
    with client(name, of) as server:
        if failure == "no facts":
            answer = server.get("/models/x/labels")
            assert server.get("/models/x/config").content == answer.content
        else:
            model = "x" if failure == "no model" else "fake"
            data = b"not a picture" if failure == "no picture" else png()
            answer = server.post(f"/models/{model}/{call}", files={"input_data": data})
    assert (answer.status_code, answer.text) == (status, body)
    kind = "text/plain; charset=utf-8" if body == ODD else "application/json"
    assert answer.headers["content-type"] == kind


def test_reports_an_unlisted_label_as_a_fault() -> None:
    with client("openvino-detection", host(labels=["face"])) as server:
        assert server.post("/models/fake/predict", files={"input_data": png()}).status_code == 500


@pytest.mark.parametrize(
    ("data", "message", "kind"),
    [
        ({}, "field required", "value_error.missing"),
        ({"input_data": "text"}, "Expected UploadFile, received: <class 'str'>", "value_error"),
    ],
)
def test_refuses_a_form_without_the_image_file(data: dict[str, str], message: str, kind: str) -> None:
    answer = client("yolo").post("/models/fake/predict", data=data)
    entry = f'{{"loc":["body","input_data"],"msg":"{message}","type":"{kind}"}}'
    assert (answer.status_code, answer.text) == (422, f'{{"detail":[{entry}]}}')


def test_names_every_missing_field_and_reads_booleans() -> None:
    server = client("yolo")
    entries = server.post("/detect").json()["detail"]
    assert [entry["loc"] for entry in entries] == [["body", "model"], ["body", "image"]]
    answer = server.get("/models/fake/load", params={"force": "maybe"})
    assert answer.json() == {"detail": [{
        "loc": ["query", "force"], "msg": "value could not be parsed to a boolean", "type": "type_error.bool",
    }]}  # fmt: skip


def test_hides_labels_until_load_is_called() -> None:
    server = client("yolo", wait_for_load=True)
    assert server.get("/models/fake/labels").text == failed("Model not found")
    assert server.get("/models/fake/config").text == failed("Model not found")
    assert server.get("/models").status_code == 200
    server.get("/load")
    assert server.get("/models/fake/labels").text == enveloped('["face","plate"]')


# The picture as a viewer shows it: 30 wide, 40 high, the face at its top. Stored, it lies on its side.
@pytest.mark.parametrize(
    ("orientation", "stored"),
    [(1, (2, 3, 12, 8)), (3, (28, 22, 38, 27)), (6, (3, 18, 8, 28)), (8, (32, 2, 37, 12))],
)
def test_models_get_the_upright_image_and_clients_get_edges_of_the_stored_one(
    orientation: int, stored: tuple[int, int, int, int]
) -> None:
    seen = []

    def top(frame: Frame) -> Sequence[Region]:
        seen.append((frame.width, frame.height))
        return [Region(Box(2, 3, 12, 8), "face", mask=np.arange(50).reshape(5, 10) > 0)]

    exif = Image.Exif()
    exif[0x0112] = orientation
    photo = encoded(Image.new("RGB", (WIDTH, HEIGHT)), "JPEG", exif=exif)
    with client("gluoncv", host(top)) as server:
        answer = server.post("/models/fake/predict", files={"input_data": photo})
        mask = server.post("/models/fake/inference", files={"input_data": photo})
        drawn = server.post("/models/fake/predict_image", files={"input_data": photo})
    assert seen[0] == ((WIDTH, HEIGHT) if orientation < 5 else (HEIGHT, WIDTH))
    assert tuple(answer.json()["data"][0]["bbox"]) == stored
    plane = np.asarray(Image.open(io.BytesIO(mask.content)))
    assert plane.shape == (HEIGHT, WIDTH)
    x0, y0, x1, y1 = stored
    assert (plane.sum(), plane[y0:y1, x0:x1].sum()) == (49, 49)
    assert Image.open(io.BytesIO(drawn.content)).size == (WIDTH, HEIGHT)


def test_clips_detections_to_the_image() -> None:
    wide = [Region(Box(-5, -5, 5, 5), "face", mask=np.ones((10, 10), bool)), Region(Box(90, 0, 99, 9), "face")]
    with client("tensorflow", host(wide)) as server:
        boxes = server.post("/models/fake/predict", files={"input_data": png()}).json()["data"]["bounding-boxes"]
    assert [box["coordinates"] for box in boxes] == [{"left": 0, "top": 0, "right": 5, "bottom": 5}]


TOO_MUCH = [("yolo", "envelope"), ("openvino-segmentation", "detail"), ("gluoncv", "envelope")]


@pytest.mark.parametrize(("name", "form"), TOO_MUCH)
def test_refuses_uploads_and_images_above_the_limits(name: str, form: str) -> None:
    call = "predict" if name != "openvino-segmentation" else "inference"

    def stream() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="input_data"; filename="a"\r\n\r\n'
        yield from (b"0" * 500 for _ in range(20))

    with client(name, limits=Limits(pixels=1000), capacity=Capacity(upload=8000)) as server:
        answers = [
            server.post(f"/models/fake/{call}", files={"input_data": bytes(9000)}),
            server.post(
                f"/models/fake/{call}",
                content=stream(),
                headers={"content-type": "multipart/form-data; boundary=x"},
            ),
            server.post(f"/models/fake/{call}", files={"input_data": png()}),
        ]
    for answer, word in zip(answers, ("8,000 bytes", "8,000 bytes", "1,200 pixels"), strict=True):
        assert answer.status_code == 413
        body = answer.json()
        assert word in (body["error"] if form == "envelope" else body["detail"])
        assert body.keys() == ({"data", "error", "success"} if form == "envelope" else {"detail"})


OTHER_SITES = [
    ({"origin": "https://evil.example"}, 403),
    ({"sec-fetch-site": "cross-site"}, 403),
    ({"host": "evil.example"}, 421),
    ({"host": "10.1.2.3:8081"}, 200),
    ({"origin": "http://testserver"}, 200),
    ({}, 200),
]


@pytest.mark.parametrize(("headers", "status"), OTHER_SITES, ids=str)
@pytest.mark.parametrize(("name", "key"), [("yolo", "error"), ("openvino-segmentation", "detail")])
def test_pages_of_other_sites_cannot_call_it(name: str, key: str, headers: dict[str, str], status: int) -> None:
    with client(name) as server:
        answer = server.get("/models", headers=headers)
    assert answer.status_code == status
    if status != 200:
        assert "this service" in answer.json()[key]


def test_an_image_that_takes_too_long_ends_only_its_decoder() -> None:
    with client("yolo", limits=Limits(work_seconds=1)) as server:
        answer = server.post("/models/fake/predict", files={"input_data": scanned_black(100, 7000)})
        assert (answer.status_code, answer.json()["success"]) == (413, False)
        assert "the work on the upload has 2 work_seconds" in answer.json()["error"]
        for kind in ("TIFF", "PNG"):
            assert server.post("/models/fake/predict", files={"input_data": heavy(kind)}).json()["success"]


def test_refuses_requests_once_the_queue_is_full() -> None:
    inside, go_on = threading.Semaphore(0), threading.Event()

    def slow(_: Frame) -> Sequence[Region]:
        inside.release()
        assert go_on.wait(10)
        return []

    with client("yolo", host(slow), capacity=Capacity(parallel=1, waiting=1)) as server, ThreadPoolExecutor(4) as pool:

        def ask() -> httpx2.Response:
            return server.post("/models/fake/predict", files={"input_data": png()})

        first = pool.submit(ask)
        assert inside.acquire(timeout=10)
        later = [pool.submit(ask) for _ in range(3)]
        # Two of the three find no place; what there is can still be asked while the model works.
        while sum(one.done() for one in later) < 2:
            assert server.get("/models").status_code == 200
        refused = [one.result() for one in later if one.done()]
        go_on.set()
        assert first.result().status_code == 200
        assert sorted(one.result().status_code for one in later) == [200, 429, 429]
    assert refused[0].headers["retry-after"] == "1"
    assert refused[0].json()["success"] is False
