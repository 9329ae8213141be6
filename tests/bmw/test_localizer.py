"""A remote model as a localizer: velum hides every pixel of its regions, and publishes nothing when it fails."""

import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from velum import Engine, Plan
from velum.bmw import inference_wire
from velum.bmw import localizer as module
from velum.bmw.localizer import Bmw, region_of
from velum.errors import BadInput, BadPlan, Unavailable
from velum.frame import Frame, Orientation, Plane, Role
from velum.media.image import reader
from velum.net import ANYWHERE, NetworkPolicy
from velum.net.client import HttpClient
from velum.plugins import RuntimeConfig
from velum.region import Box
from velum.testing import check_localizer

from .fake_inference_api import DETECTING, PROFILES, SEGMENTING, Reply, Shown, StubInference

Pixels = npt.NDArray[np.uint8]
WIDTH, HEIGHT = 64, 48
CLASSES = ("background", "person", "car")


@pytest.fixture(scope="module")
def host() -> Iterator[RuntimeConfig]:
    peers = HttpClient(ANYWHERE)
    yield RuntimeConfig(peers=peers)
    peers.close()


@pytest.fixture(scope="module")
def picture() -> Pixels:
    return np.random.default_rng(5).integers(1, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)


def frame_of(pixels: Pixels, **more: Any) -> Frame:
    return Frame.of(Plane(pixels, Role.RGB), **more)


def decoded(body: bytes) -> Pixels:
    with Image.open(io.BytesIO(body)) as image:
        return np.asarray(image.convert("RGB"))


def painted_like(body: bytes) -> Pixels:
    """Return a mask for any image: the middle is of class 1."""
    height, width = decoded(body).shape[:2]
    ids = np.zeros((height, width), np.uint8)
    ids[height // 4 : height - height // 4, width // 4 :] = 1
    return ids


def asked(stub: StubInference, kind: str = "detection") -> str:
    return f"bmw(url='{stub.url}', model='{stub.model}', kind='{kind}')"


@pytest.mark.parametrize("profile", PROFILES)
def test_every_variant_passes_the_localizer_contract(profile: str, host: RuntimeConfig) -> None:
    kind: Any = PROFILES[profile].type if profile in DETECTING else "segmentation"
    with StubInference(profile, [Shown("person", (-4, 1, 9e3, 7))], painted_like, labels=CLASSES) as stub:
        part = Bmw(stub.url, "yolo", host, kind=kind)
        check_localizer(part)
        assert part.labels == {"=background", "=person", "=car"}
        assert part.description == {"url": stub.url, "model": "yolo", "kind": kind}


@pytest.mark.parametrize("profile", DETECTING)
def test_hides_exactly_the_boxes_of_every_variant(profile: str, host: RuntimeConfig, picture: Pixels) -> None:
    found = [
        Shown("person", (10.0, 5.0, 20.0, 15.0)),
        Shown("person", (50.0, 40.0, 63.0, 47.0)),
        Shown("car", (1, 1, 9, 9)),
    ]
    with StubInference(profile, found) as stub, Engine(host=host) as engine:
        done, report = engine.hide_pixels(picture, Plan.of(f"=person: {asked(stub)} -> blacken with grow=0"))
    expected = picture.copy()
    expected[5:15, 10:20] = 0
    expected[40:48, 50:64] = 0  # right and bottom stop one pixel short of the edge, the thing does not
    assert np.array_equal(done, expected)
    assert report.labels == {"=person": 2}
    assert report.models[0]["model"] == "yolo"


@pytest.mark.parametrize("profile", SEGMENTING)
def test_hides_exactly_the_masks_of_every_variant(profile: str, host: RuntimeConfig, picture: Pixels) -> None:
    ids = np.zeros((HEIGHT, WIDTH), np.uint8)
    ids[4:12, 4:20:2] = 1
    ids[40, 60] = 1  # a single pixel is a thing, too
    ids[20:30, 20:30] = 2
    with StubInference(profile, mask=ids, labels=CLASSES) as stub, Engine(host=host) as engine:
        plan = Plan.of(f"=person: {asked(stub, 'segmentation')} -> blacken with grow=0")
        done, _ = engine.hide_pixels(picture, plan)
    assert np.array_equal(done, np.where((ids == 1)[..., None], 0, picture))


def test_hides_both_objects_whose_ids_openvino_combined(host: RuntimeConfig, picture: Pixels) -> None:
    ids = np.zeros((HEIGHT, WIDTH), np.uint8)
    ids[:10, :10], ids[10:20, :10] = 3, 2  # 1 and 2 make 3
    labels = ("background", "person", "bicycle", "car")
    with StubInference("OVS", mask=ids, labels=labels) as stub, Engine(host=host) as engine:
        plan = Plan.of(f"=person: {asked(stub, 'segmentation')} -> blacken with grow=0")
        done, _ = engine.hide_pixels(picture, plan)
    assert np.array_equal(done, np.where((ids == 3)[..., None], 0, picture))


@pytest.mark.parametrize(
    ("ltrb", "expected"),
    [
        ((10, 20, 30, 40), (10, 20, 30, 40)),
        ((10.7, 20.2, 30.1, 40.9), (10, 20, 31, 41)),
        ((-5, -5, 10, 10), (0, 0, 10, 10)),
        ((90, 40, 500, 1e308), (90, 40, 100, 50)),
        ((90, 40, 99, 49), (90, 40, 100, 50)),
        ((90, 40, 98, 48), (90, 40, 98, 48)),
        ((90, 40, 98.5, 48.5), (90, 40, 100, 50)),
        ((99, 10, 99, 20), (99, 10, 100, 20)),
        ((30, 20, 10, 40), (10, 20, 30, 40)),
        ((30, 40, 10, 20), (10, 20, 30, 40)),
        ((10, 20, 10, 40), None),
        ((100, 20, 120, 40), None),
        ((-9, 20, -1, 40), None),
        ((-1e308, -1e308, 1e308, 1e308), (0, 0, 100, 50)),
    ],
    ids=[
        "as it is", "low edges down, high edges up", "negative", "beyond the picture", "clamped to the last pixel",
        "short of the last pixel", "fraction up to the last pixel", "nothing but the last pixel", "inverted",
        "inverted both ways",
        "without width", "right of the picture", "left of the picture", "huge",
    ],
)  # fmt: skip
def test_rounds_boxes_outwards_to_whole_pixels(
    ltrb: tuple[float, float, float, float], expected: tuple[int, ...] | None
) -> None:
    region = region_of(inference_wire.ApiDetection("person", 1, 50.0, ltrb), 100, 50)
    assert (region and region.box.xyxy) == expected


@given(
    st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 4), st.floats(allow_nan=False), st.integers(1, 9)
)
def test_covers_every_pixel_of_a_box(ltrb: tuple[float, float, float, float], percent: float, side: int) -> None:
    region = region_of(inference_wire.ApiDetection("person", 1, percent, ltrb), side, side)
    inside = [x for x in range(side) if ltrb[0] <= x < ltrb[2]], [y for y in range(side) if ltrb[1] <= y < ltrb[3]]
    if all(inside):
        assert region is not None
        box = region.box
        assert box.x0 <= inside[0][0]
        assert inside[0][-1] < box.x1
        assert box.y0 <= inside[1][0]
        assert inside[1][-1] < box.y1
        assert 0 <= region.score <= 1
    assert region is None or region.box.clip(side, side) == region.box


def test_sorts_by_score_and_converts_percent_to_scores(host: RuntimeConfig, picture: Pixels) -> None:
    found = [Shown("car", (1, 1, 9, 9), 20.0), Shown("person", (1, 1, 9, 9), 93.5), Shown("car", (2, 2, 9, 9), 250.0)]
    with StubInference("OVD", found) as stub:
        (regions,) = Bmw(stub.url, "yolo", host).locate([frame_of(picture)])
    assert [(region.label, region.score) for region in regions] == [("=car", 1.0), ("=person", 0.935), ("=car", 0.2)]


def test_sends_images_upright(host: RuntimeConfig, picture: Pixels) -> None:
    with StubInference("OVD") as stub:
        Bmw(stub.url, "yolo", host).locate([frame_of(picture, orientation=Orientation.from_exif(6))])
        (part,) = stub.asked[-1].parts
    assert np.array_equal(decoded(part.content), np.rot90(picture, -1))
    assert part.headers["content-type"] == "image/png"


@pytest.mark.parametrize(
    ("kind", "name", "media_type"),
    [
        ("PNG", "image.png", "image/png"),
        ("JPEG", "image.jpg", "image/jpeg"),
        ("BMP", "image.bmp", "image/bmp"),
        ("WEBP", "image.webp", "image/webp"),
    ],
)
def test_sends_the_source_file_when_it_shows_the_same_frame(
    kind: str, name: str, media_type: str, host: RuntimeConfig, picture: Pixels
) -> None:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, kind)
    with StubInference("TFC") as stub:
        Bmw(stub.url, "yolo", host).locate([frame_of(picture, encoded=out.getvalue())])
        (part,) = stub.asked[-1].parts
    assert part.content == out.getvalue()
    assert part.headers["content-type"] == media_type
    assert part.headers["content-disposition"].endswith(f'filename="{name}"')


def test_sends_other_formats_as_png(host: RuntimeConfig, picture: Pixels) -> None:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "TIFF")
    with StubInference("TFC") as stub:
        Bmw(stub.url, "yolo", host).locate([frame_of(picture, encoded=out.getvalue())])
        (part,) = stub.asked[-1].parts
    assert np.array_equal(decoded(part.content), picture)


def by_brightness(body: bytes) -> list[Shown]:
    """Return a box whose width is the first sample of the image."""
    return [Shown("person", (0, 0, int(decoded(body)[0, 0, 0]), 10))]


def test_sends_frames_concurrently_and_returns_results_in_order(host: RuntimeConfig) -> None:
    frames = [frame_of(np.full((20, 100, 3), value, np.uint8), index=value) for value in range(10, 16)]
    together = threading.Barrier(len(frames), timeout=10)

    def boxes(body: bytes) -> list[Shown]:
        together.wait()
        return by_brightness(body)

    with StubInference("YGPU", boxes) as stub:
        answers = Bmw(stub.url, "yolo", host).locate(frames)
    assert [regions[0].box.width for regions in answers] == [10, 11, 12, 13, 14, 15]


def test_threads_get_their_own_results(host: RuntimeConfig) -> None:
    widths: dict[int, list[int]] = {}
    with StubInference(
        "GLU", mask=lambda body: (np.arange(100) < decoded(body)[0, 0, 0]).astype(np.uint8)[None]
    ) as stub:
        part = Bmw(stub.url, "yolo", host, kind="segmentation")

        def ask(value: int) -> None:
            for _ in range(3):
                (regions,) = part.locate([frame_of(np.full((1, 100, 3), value, np.uint8))])
                widths.setdefault(value, []).append(next(r.box.width for r in regions if r.label == "=car"))

        threads = [threading.Thread(target=ask, args=(value,)) for value in range(20, 26)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert widths == {value: [value] * 3 for value in range(20, 26)}


def test_rules_of_one_model_share_one_inference(host: RuntimeConfig, picture: Pixels) -> None:
    with StubInference("OVD", [Shown("person", (1, 1, 5, 5)), Shown("car", (9, 9, 20, 20))]) as stub:
        plan = Plan.of(f"=person: {asked(stub)} -> blacken", f"=car: {asked(stub)} -> blur")
        with Engine(host=host) as engine:
            _, report = engine.hide_pixels(picture, plan)
        assert report.labels == {"=person": 1, "=car": 1}
        assert sum(path.startswith("POST") for path in stub.paths()) == 1


def test_fetches_the_model_description_once_and_again_after_a_while(
    host: RuntimeConfig, picture: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    with StubInference("GLU", labels=CLASSES) as stub:
        part = Bmw(stub.url, "yolo", host, kind="segmentation")
        assert not stub.asked
        for _ in range(3):
            assert part.labels
            part.locate([frame_of(picture)])
        assert stub.paths().count("GET /models/yolo/labels") == 1
        monkeypatch.setattr(module, "FRESH_SECONDS", 0.0)
        assert part.labels
        assert stub.paths().count("GET /models/yolo/labels") == 2


def test_fetches_the_description_again_when_a_mask_has_unknown_values(host: RuntimeConfig, picture: Pixels) -> None:
    ids = np.full((HEIGHT, WIDTH), 2, np.uint8)
    with StubInference("GLU", mask=ids, labels=CLASSES[:2], palette=[0] * 768) as stub:
        part = Bmw(stub.url, "yolo", host, kind="segmentation")
        assert part.labels
        stub.labels = CLASSES
        ((region,),) = part.locate([frame_of(picture)])
    assert (region.label, region.box, region.mask) == ("=car", Box(0, 0, WIDTH, HEIGHT), None)


def test_hides_mask_values_without_a_label_for_every_label(host: RuntimeConfig, picture: Pixels) -> None:
    """An example is 255, which data sets use for unknown pixels. The original leaves such pixels visible."""
    ids = np.zeros((HEIGHT, WIDTH), np.uint8)
    ids[4:8, 4:8], ids[20:30, 20:30] = 1, 255
    with StubInference("GLU", mask=ids, labels=CLASSES, palette=[0] * 768) as stub, Engine(host=host) as engine:
        plan = Plan.of(f"=person: {asked(stub, 'segmentation')} -> blacken with grow=0")
        for _ in range(2):
            done, _ = engine.hide_pixels(picture, plan)
            assert np.array_equal(done, np.where((ids > 0)[..., None], 0, picture))
        assert stub.paths().count("GET /models/yolo/labels") == 2, "asked again once, not for each picture"


@pytest.mark.parametrize(("profile", "kind"), [("OVD", "segmentation"), ("GLU", "detection"), ("GLU-T", "detection")])
def test_refuses_a_plan_with_the_wrong_kind_of_model(
    profile: str, kind: str, host: RuntimeConfig, picture: Pixels
) -> None:
    with StubInference(profile) as stub, Engine(host=host) as engine:
        with pytest.raises(BadPlan, match=rf"not {kind}; write bmw\(\.\.\., kind="):
            engine.hide_pixels(picture, Plan.of(f"=person: {asked(stub, kind)} -> blacken"))
        assert not any(path.startswith("POST") for path in stub.paths())


@pytest.mark.parametrize(
    ("use", "why"),
    [
        ("bmw(url='ftp://127.0.0.1/', model='yolo')", "not one of a web server"),
        ("bmw(url='http://10.0.0.1/', model='yolo')", "10.0.0.1"),
        ("bmw(url='http://127.0.0.1/', model='..')", "a model's name"),
        ("bmw(url='http://127.0.0.1/', model='')", "a model's name"),
        ("bmw(url='http://127.0.0.1/', model='yolo', kind='semantic')", "kind of localizer bmw is 'semantic'"),
        ("bmw(model='yolo')", "needs url"),
    ],
)
def test_reports_plan_errors_before_any_request(use: str, why: str, picture: Pixels) -> None:
    peers = HttpClient(NetworkPolicy(allow=("127.0.0.1",)))
    with Engine(host=RuntimeConfig(peers=peers)) as engine, pytest.raises(BadPlan, match=why):
        engine.hide_pixels(picture, Plan.of(f"=person: {use} -> blacken"))
    peers.close()


def test_the_error_for_an_unknown_label_lists_those_of_the_model(host: RuntimeConfig, picture: Pixels) -> None:
    with StubInference("OVD") as stub, Engine(host=host) as engine, pytest.raises(BadPlan, match="finds =car, =person"):
        engine.hide_pixels(picture, Plan.of(f"=dog: {asked(stub)} -> blacken"))


HOSTILE: dict[str, Callable[[StubInference], Any]] = {
    "boxes without a list": lambda stub: stub.replies.update({"/models/yolo/predict": Reply.of({})}),
    "a failure as success": lambda stub: stub.replies.update({"/models/yolo/predict": Reply.failed("")}),
    "HTML": lambda stub: stub.replies.update({"/models/yolo/predict": Reply(200, b"<html>", "text/html")}),
    "labels are lost": lambda stub: stub.replies.update({"/models/yolo/labels": Reply(500, b"no")}),
    "no such model": lambda stub: stub.replies.update({"/models": Reply.of({"models": []})}),
}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_publishes_nothing_when_the_server_fails(
    hostile: str, host: RuntimeConfig, picture: Pixels, tmp_path: Path
) -> None:
    source, target = tmp_path / "in.png", tmp_path / "out.png"
    Image.fromarray(picture).save(source)
    with StubInference("OVD", [Shown("person", (1, 1, 5, 5))]) as stub, Engine(host=host) as engine:
        HOSTILE[hostile](stub)
        with pytest.raises(Unavailable, match=stub.url):
            engine.hide(source, target, Plan.of(f"=person: {asked(stub)} -> blacken"))
    assert not target.exists()


def test_hides_a_photo_with_connections_of_its_own(picture: Pixels, tmp_path: Path) -> None:
    source, target = tmp_path / "in.png", tmp_path / "out.png"
    Image.fromarray(picture).save(source)
    with StubInference("YCPU", [Shown("person", (1, 1, 5, 5))]) as stub, Engine() as engine:
        engine.hide(source, target, Plan.of(f"=person: {asked(stub)} -> blacken with grow=0"))
    expected = picture.copy()
    expected[1:5, 1:5] = 0
    assert np.array_equal(np.asarray(Image.open(target)), expected)


def test_raises_unavailable_when_the_server_is_gone(host: RuntimeConfig) -> None:
    with StubInference("OVD") as stub:
        pass
    part = Bmw(stub.url, "yolo", host)
    with pytest.raises(Unavailable, match="accepted no connection"):
        _ = part.labels


def file_of(pixels: Pixels, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("profile", ["OVD", "GLU"])
def test_decodes_an_image_while_the_server_works(
    profile: str, host: RuntimeConfig, picture: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent, decoded_here = threading.Event(), threading.Event()
    in_time: dict[str, bool] = {}
    decode = reader.decode_8_bits

    def decode_when_sent(*args: Any) -> Any:
        in_time["sent before it is decoded"] = sent.wait(20)
        pixels = decode(*args)
        decoded_here.set()
        return pixels

    def answer(_: bytes) -> None:
        sent.set()
        in_time["decoded before the server answers"] = decoded_here.wait(20)

    def boxes(body: bytes) -> list[Shown]:
        answer(body)
        return [Shown("person", (1, 1, 5, 5))]

    def mask(body: bytes) -> Pixels:
        answer(body)
        return painted_like(body)

    monkeypatch.setattr(reader, "decode_8_bits", decode_when_sent)
    kind = "detection" if profile in DETECTING else "segmentation"
    with StubInference(profile, boxes, mask, labels=CLASSES) as stub, Engine(host=host) as engine:
        plan = Plan.of(f"=person: {asked(stub, kind)} -> blacken with grow=0")
        result, report = engine.hide_image_bytes(file_of(picture), plan)
        assert [path for path in stub.paths() if path.startswith("POST")] == [stub.paths()[-1]], "asked once"
    assert in_time == {"sent before it is decoded": True, "decoded before the server answers": True}
    assert report.labels == {"=person": 1}
    hidden = painted_like(file_of(picture)) > 0
    if kind == "detection":
        hidden[:] = False
        hidden[1:5, 1:5] = True
    assert np.array_equal(decoded(result), np.where(hidden[..., None], 0, picture))


TURNED = Image.Exif()
TURNED[ExifTags.Base.Orientation] = 6


@pytest.mark.parametrize(("kind", "options"), [("TIFF", {}), ("JPEG", {"exif": TURNED})], ids=["other", "turned"])
def test_sends_an_image_decoded_where_its_file_shows_another(
    kind: str, options: dict[str, Any], host: RuntimeConfig, picture: Pixels
) -> None:
    with StubInference("OVD", [Shown("person", (1, 1, 5, 5))]) as stub, Engine(host=host) as engine:
        engine.hide_image_bytes(file_of(picture, kind, **options), Plan.of(f"=person: {asked(stub)} -> blacken"))
        (part,) = stub.asked[-1].parts
    assert part.headers["content-type"] == "image/png"
    assert decoded(part.content).shape[:2] == ((HEIGHT, WIDTH) if kind == "TIFF" else (WIDTH, HEIGHT))


def test_a_damaged_image_is_refused_even_when_the_server_finds_nothing_wrong(
    host: RuntimeConfig, picture: Pixels
) -> None:
    with StubInference("OVD", [Shown("person", (1, 1, 5, 5))]) as stub, Engine(host=host) as engine:
        plan = Plan.of(f"=person: {asked(stub)} -> blacken")
        with pytest.raises(BadInput, match="damaged or truncated"):
            engine.hide_image_bytes(file_of(picture)[:-400], plan)
        stub.replies["/models/yolo/predict"] = Reply.failed("out of memory", 500)
        with pytest.raises(BadInput, match="damaged or truncated"):
            engine.hide_image_bytes(file_of(picture)[:-400], plan)
        with pytest.raises(Unavailable, match="out of memory"):
            engine.hide_image_bytes(file_of(picture), plan)
    assert not [thread for thread in threading.enumerate() if thread.name == "velum-inference"]
