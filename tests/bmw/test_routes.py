"""The anonymization API as its clients see it: every path, status, header and body."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter
from starlette.testclient import TestClient
from tests.bmw.fake_inference_api import Reply, Shown, StubInference
from tests.service.factories import FACE, OWN, client, configuration, entry, picture, pixels, post
from tests.service.factories import settings as made

from velum.net import NetworkPolicy
from velum.plugins import Patch

UNEXPECTED = b'{"data":null,"error":"unexpected server error","success":false}'
CHANGE = "Some data in your configuration file need to be modified. Check the /available_methods/ endpoint"
REMOTE: dict[str, Any] = {"model_name": "yolo", "class_name": "person"}
BOX = Shown("person", (10, 8, 34, 30))


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[TestClient]:
    with client(made(tmp_path)) as it:
        yield it


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """One service for all requests that change nothing."""
    with client(made(tmp_path_factory.mktemp("steady"))) as it:
        yield it


GENERIC = [
    ("slash missing", "POST", "/anonymize", 307, b"", "http://testserver/anonymize/"),
    ("slash missing", "GET", "/available_methods", 307, b"", "http://testserver/available_methods/"),
    ("slash too many", "GET", "/list_urls/", 307, b"", "http://testserver/list_urls"),
    ("wrong method", "GET", "/anonymize/", 405, b'{"detail":"Method Not Allowed"}', None),
    ("wrong method", "POST", "/list_urls", 405, b'{"detail":"Method Not Allowed"}', None),
    ("head", "HEAD", "/list_urls", 405, b"", None),
    ("unknown path", "GET", "/nothing", 404, b'{"detail":"Not Found"}', None),
    ("query is no form", "POST", "/set_url?url=http://a/", 422,
     b'{"detail":[{"loc":["body","url"],"msg":"field required","type":"value_error.missing"}]}', None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "status", "body", "location"), [row[1:] for row in GENERIC], ids=[row[0] for row in GENERIC]
)
def test_answers_unknown_paths_and_methods_as_the_original(
    steady: TestClient, method: str, path: str, status: int, body: bytes, location: str | None
) -> None:
    answer = steady.request(method, path)
    assert (answer.status_code, answer.content, answer.headers.get("location")) == (status, body, location)


def missing(*names: str) -> bytes:
    entries = [{"loc": ["body", name], "msg": "field required", "type": "value_error.missing"} for name in names]
    return json.dumps({"detail": entries}, separators=(",", ":")).encode()


def test_refuses_forms_without_a_required_field(alone: TestClient) -> None:
    text = {"loc": ["body", "image"], "msg": "Expected UploadFile, received: <class 'str'>", "type": "value_error"}
    assert alone.post("/set_url", data={"url": ""}).content == missing("url")
    assert alone.post("/remove_url", data={"other": "x"}).content == missing("url")
    assert alone.post("/anonymize/").content == missing("image", "configuration")
    assert alone.post("/anonymize_video/").content == missing("video", "configuration")
    answer = alone.post("/anonymize/", data={"image": "x"}, files={"configuration": ("c", b"{}")})
    assert (answer.status_code, answer.json()) == (422, {"detail": [text]})


@pytest.mark.parametrize("kind", ["data", "files"])
def test_adds_lists_and_removes_addresses(tmp_path: Path, kind: str) -> None:
    def send(path: str, url: str) -> bytes:
        form: dict[str, Any] = {"data": {"url": url}} if kind == "data" else {"files": {"url": (None, url)}}
        answer = it.post(path, **form)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        return bytes(answer.content)

    with StubInference("OVD", replies={"/x/models": Reply(404, b"")}) as api, client(made(tmp_path)) as it:
        assert it.get("/list_urls").content == b'{"data":{"urls":[]},"error":"","success":true}'
        assert send("/set_url", api.url) == b'{"data":"url added successfully","error":"","success":true}'
        assert send("/set_url", api.url) == b'{"data":"url already exist","error":"","success":true}'
        assert send("/set_url", OWN) == b'{"data":"url already exist","error":"","success":true}'
        assert api.paths().count("GET /models") >= 2, "what is there already is asked all the same"
        unreachable = b'{"data":null,"error":"url trying to add is not reachable","success":false}'
        assert send("/set_url", f"{api.url}x/") == unreachable
        assert "person" in it.get("/available_methods/").json()
        assert json.loads((tmp_path / "jsonFiles/url_configuration.json").read_text()) == {"urls": [api.url]}
        assert send("/remove_url", "http://a/") == (
            b'{"data":null,"error":"url is not present in config file","success":false}'
        )
        assert send("/remove_url", api.url) == b'{"data":["url removed successfully"],"error":"","success":true}'
        assert "person" not in it.get("/available_methods/").json()
        all_removed = b'{"data":"all urls removed successfully","error":"","success":true}'
        assert it.post("/remove_all_urls").content == all_removed


BAD_URLS = [
    ("no address", "nonsense"), ("another scheme", "ftp://127.0.0.1/"), ("a file", "file:///etc/passwd"),
    ("nobody listens", "http://127.0.0.1:1/"), ("no slash at the end", "http://127.0.0.1:80"),
    ("credentials", "http://me:secret@127.0.0.1/"), ("no such port", "http://127.0.0.1:99999/"),
    ("unknown name", "http://nothing.invalid/"),
]  # fmt: skip


@pytest.mark.parametrize("url", [row[1] for row in BAD_URLS], ids=[row[0] for row in BAD_URLS])
def test_refuses_malformed_addresses(steady: TestClient, url: str) -> None:
    answer = steady.post("/set_url", data={"url": url})
    assert answer.content == (
        b'{"data":null,"error":"wrong url format. expected format: http://ip:port/","success":false}'
    )


CLOSED = NetworkPolicy()
"""What a service outside a container has: neither this machine nor private networks."""


@pytest.mark.parametrize("host", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "[::1]"])
def test_refuses_forbidden_addresses_and_names_the_setting(tmp_path: Path, host: str) -> None:
    """The message names the setting that allows them; the text of the original would suggest a mistyped address."""
    for strict in (False, True):
        with client(made(tmp_path / str(strict), [], reach=CLOSED, strict=strict)) as it:
            error = it.post("/set_url", data={"url": f"http://{host}:9/"}).json()["error"]
        if strict:
            assert error == "wrong url format. expected format: http://ip:port/"
        else:
            assert "may not reach this url" in error
            assert "VELUM_REMOTE_ALLOW" in error
            assert "VELUM_REMOTE_PRIVATE=true" in error


def test_does_not_reveal_the_ip_address_of_a_host(tmp_path: Path) -> None:
    with client(made(tmp_path, [], reach=CLOSED)) as it:
        assert "127.0.0.1" not in it.post("/set_url", data={"url": "http://localhost:9/"}).text


def test_logs_forbidden_addresses_of_the_list_at_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with StubInference("OVD") as api, client(made(tmp_path, [api.url], reach=CLOSED)) as it:
        it.get("/available_methods/")
        why = it.get("/health/ready").json()["faults"][api.url]
        it.get("/available_methods/")
        assert not api.asked
    assert "this machine itself" in why
    assert "VELUM_REMOTE_ALLOW" in why
    lines = [record.__dict__["facts"] for record in caplog.records if "inference API" in record.msg]
    assert lines == [{"url": api.url, "cause": why}], "once, not in every round"


def test_readiness_reports_only_addresses_of_the_list(tmp_path: Path) -> None:
    with StubInference("OVD") as api, StubInference("YCPU") as other, client(made(tmp_path, [])) as it:

        def reported() -> set[str]:
            return {f"{url}/" for url in it.get("/health/ready").json()["urls"]}

        it.post("/set_url", data={"url": "http://127.0.0.1:1/"})
        it.post("/set_url", data={"url": f"{other.url}elsewhere/"})
        it.post("/set_url", data={"url": api.url})
        it.post("/set_url", data={"url": f"{api.url}elsewhere/"})
        assert reported() == {api.url}
        it.post("/set_url", data={"url": other.url})
        it.post("/remove_url", data={"url": api.url})
        assert reported() == {other.url}
        it.post("/remove_all_urls")
        assert reported() == set()


def test_reports_a_corrupt_list_of_addresses(tmp_path: Path) -> None:
    chosen = made(tmp_path, [])
    (tmp_path / "jsonFiles/url_configuration.json").write_text("{")
    with client(chosen) as it:
        corrupt = b'{"data":null,"error":"Json file corrupted","success":false}'
        assert it.get("/list_urls").content == corrupt
        assert it.post("/set_url", data={"url": "http://127.0.0.1:1/"}).content == corrupt, "before the probe"
        assert it.get("/available_methods/").content == UNEXPECTED
        assert post(it, picture(), configuration()).headers["content-type"] == "image/jpeg", "own models work"
        assert it.post("/remove_all_urls").json()["success"]


def test_strict_mode_requires_the_list_of_addresses(tmp_path: Path) -> None:
    with client(made(tmp_path, strict=True)) as it:
        assert it.get("/list_urls").json()["error"] == (
            "[Errno 2] No such file or directory: '../jsonFiles/url_configuration.json'"
        )


def test_hides_with_its_own_model_without_any_inference_api(alone: TestClient) -> None:
    assert alone.get("/available_methods/").content == (
        b'{"face":{"detection":{"http://velum/":["centerface"]},"technique":["blackening","pixelating","blurring"]}}'
    )
    image = picture()
    answer = post(alone, image, configuration())
    assert answer.content.startswith(b"\x89PNG")
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["content-length"] == str(len(answer.content))
    assert answer.headers["x-velum-hidden"] == "1"
    hidden, before = pixels(answer.content), pixels(image)
    assert not hidden[FACE.box.slices].any()
    assert np.array_equal(hidden[:, 45:], before[:, 45:])


def test_applies_every_listed_technique_in_any_capitalization(alone: TestClient) -> None:
    image = picture()
    for name in ("Blackening", "PIXELATING", "blurring"):
        answer = post(alone, image, configuration(entry(anonymization_technique=name, inference_type="Detection")))
        assert not np.array_equal(pixels(answer.content)[FACE.box.slices], pixels(image)[FACE.box.slices]), name


def test_returns_jpeg_when_the_client_accepts_it(alone: TestClient, tmp_path: Path) -> None:
    for accept, start in [
        ("image/jpeg", b"\xff\xd8"), ("text/html, image/jpeg;q=0.9, */*", b"\xff\xd8"), ("*/*", b"\x89PNG"),
        ("image/png, image/jpeg", b"\x89PNG"), ("image/*", b"\x89PNG"),
    ]:  # fmt: skip
        assert post(alone, picture(), configuration(), {"accept": accept}).content.startswith(start), accept
    with client(made(tmp_path / "strict", strict=True)) as it:
        assert post(it, picture(), configuration(), {"accept": "image/jpeg"}).content.startswith(b"\x89PNG")


def test_turns_images_upright_before_detection(alone: TestClient) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    answer = post(alone, picture(64, 48, "JPEG", exif=exif), configuration())
    assert pixels(answer.content).shape == (64, 48, 3)


def test_headers_say_that_nothing_was_found(tmp_path: Path) -> None:
    with client(made(tmp_path), found=()) as it:
        answer = post(it, picture(), configuration())
    assert answer.headers["x-velum-hidden"] == "0"
    assert "nothing was found" in answer.headers["x-velum-warnings"]


BAD_REQUESTS = [
    ("no picture", b"GIF nonsense", configuration(), UNEXPECTED),
    ("nothing", b"", configuration(), UNEXPECTED),
    ("no picture comes before a bad configuration", b"x", b"{", UNEXPECTED),
    ("no picture comes before a wrong configuration", b"x", configuration(entry(class_name="x")), UNEXPECTED),
    ("no JSON", picture(), b"{",
     b'{"data":null,"error":"Invalid model configuration: Json file corrupted","success":false}'),
    ("no entries", picture(), b'{"sensitive_info":[]}', UNEXPECTED),
    ("a wrong one", picture(), configuration(entry(), entry(class_name="x")),
     json.dumps({"data": ["The label <x> in the sensitive info <2> is not supported."], "error": CHANGE,
                 "success": False}, separators=(",", ":")).encode()),
    ("a letter that UTF-8 does not have", picture(), configuration(entry(class_name="\ud800")),
     json.dumps({"data": ["The label <\ud800> in the sensitive info <1> is not supported."], "error": CHANGE,
                 "success": False}, separators=(",", ":")).encode()),
]  # fmt: skip


@pytest.mark.parametrize(
    ("image", "config", "body"), [row[1:] for row in BAD_REQUESTS], ids=[row[0] for row in BAD_REQUESTS]
)
def test_reports_bad_requests_with_status_200(steady: TestClient, image: bytes, config: bytes, body: bytes) -> None:
    answer = post(steady, image, config)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.content == body


def test_lists_and_uses_remote_models(tmp_path: Path) -> None:
    image = picture()
    with StubInference("OVD", boxes=[BOX, Shown("car", (40, 20, 60, 40))]) as det, StubInference(
        "GLU", model="seg", labels=("background", "person"), mask=np.eye(48, 64, dtype=np.uint8)
    ) as seg, client(made(tmp_path, [det.url, seg.url])) as it:  # fmt: skip
        listed = it.get("/available_methods/").json()
        assert [*listed] == ["person", "car", "background", "face"]
        assert listed["person"] == {
            "detection": {det.url: ["yolo"]}, "segmentation": {seg.url: ["seg"]},
            "technique": ["blackening", "pixelating", "blurring"],
        }  # fmt: skip
        answer = post(it, image, configuration(entry(**REMOTE), entry(**REMOTE, anonymization_technique="blurring")))
        hidden, before = pixels(answer.content), pixels(image)
        changed = (hidden != before).any(axis=2)
        assert not hidden[8:30, 10:34].any()
        assert not changed[:8].any(), "not a pixel more than the original hides"
        assert not changed[:, 34:].any()
        assert det.paths().count("POST /models/yolo/predict") == 1, "once, however many entries ask"
        masked = entry(model_name="seg", class_name="person", inference_type="segmentation")
        assert not pixels(post(it, image, configuration(masked)).content)[np.eye(48, 64, dtype=bool)].any()


@pytest.mark.parametrize("strict", [True, False])
def test_hides_many_objects_as_strongly_as_the_original(tmp_path: Path, *, strict: bool) -> None:
    """The original processes each of N boxes N times, so weak degrees hide more when there are more objects."""
    found = [Shown("person", (x, y, x + 20, y + 20)) for y in (0, 24) for x in range(0, 144, 24)]
    image = picture(150, 48)
    with StubInference("OVD", boxes=found) as api, client(made(tmp_path, [api.url], strict=strict)) as it:
        it.get("/available_methods/")

        def hidden(technique: str, degree: float, *labels: str) -> Any:
            asked = (entry(**{**REMOTE, "class_name": label}, anonymization_technique=technique,
                           anonymization_degree=degree) for label in labels)  # fmt: skip
            return pixels(post(it, image, configuration(*asked)).content)[:20, :20]

        assert hidden("blackening", 0.5, "person").max() == 0, "0.5 ** 12"
        blurred = Image.fromarray(pixels(image)[:20, :20])
        for _ in found:
            blurred = blurred.filter(ImageFilter.GaussianBlur(2.5))
        assert hidden("blurring", 0.1, "person").std() <= np.asarray(blurred).std()
        found[1:] = [Shown("car", one.ltrb) for one in found[1:]]
        before = pixels(image)[:20, :20]
        assert np.array_equal(hidden("blackening", 0.5, "person"), before // 2), "one box: once"
        twice = hidden("blackening", 0.5, "person", "person")
        assert np.array_equal(twice, before // 2 // 2), "for each of two entries"


@dataclass(frozen=True)
class White:
    """Fills persons with white."""

    destroys = True
    labels = frozenset({"person"})

    def hide(self, patch: Patch) -> None:
        for plane in patch.planes:
            plane.pixels[:] = 255


def test_applies_a_special_technique_to_its_label_from_any_model(tmp_path: Path) -> None:
    image = picture()
    with StubInference("OVD", labels=("Person", "car"), boxes=[Shown("Person", (10, 8, 34, 30))]) as api, client(
        made(tmp_path, [api.url]), techniques={"white": White}
    ) as it:  # fmt: skip
        listed = it.get("/available_methods/").json()
        assert listed["Person"]["technique"] == ["blackening", "pixelating", "blurring", "white"]
        assert "white" not in listed["car"]["technique"]
        asked = configuration(entry(**{**REMOTE, "class_name": "Person"}, anonymization_technique="White"))
        assert (pixels(post(it, image, asked).content)[8:30, 10:34] == 255).all()


def failing(api: StubInference) -> None:
    api.replies["/models/yolo/predict"] = Reply(500, b"<html>", "text/html")


@pytest.mark.parametrize("strict", [True, False])
def test_reports_a_failing_inference_api_for_each_entry(tmp_path: Path, *, strict: bool) -> None:
    with StubInference("OVD", boxes=[BOX]) as good, StubInference("YCPU", labels=("dog",), model="yolo") as bad, client(
        made(tmp_path, [good.url, bad.url], strict=strict)
    ) as it:  # fmt: skip
        it.get("/available_methods/")
        failing(bad)
        answer = post(it, picture(), configuration(entry(**REMOTE), entry(model_name="yolo", class_name="dog")))
        assert answer.json() == {
            "data": ["The model type <detection> in sensitive info <2> is not supported."], "error": CHANGE,
            "success": False,
        }  # fmt: skip
        failing(good)
        answer = post(it, picture(), configuration(entry(**REMOTE), entry(model_name="yolo", class_name="dog")))
        assert len(answer.json()["data"]) == 2, "others are asked all the same, so that all that fail are told"
        assert post(it, picture(), configuration(entry(**REMOTE))).json()["success"] is False


def test_fails_closed_when_an_inference_api_disappears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken_off(*_: object) -> Reply:
        raise ConnectionAbortedError

    with StubInference("OVD", boxes=[BOX]) as api, client(made(tmp_path, [])) as it:
        it.post("/set_url", data={"url": api.url})
        monkeypatch.setattr(api, "answer", broken_off)
        answer = post(it, picture(), configuration(entry(**REMOTE)))
        assert answer.json()["data"] == ["The model type <detection> in sensitive info <1> is not supported."]
        assert [*it.get("/available_methods/").json()] == ["face"]


def test_strict_mode_fails_the_list_when_one_api_is_down(tmp_path: Path) -> None:
    with StubInference("OVD") as api, client(made(tmp_path, [api.url, "http://127.0.0.1:1/"], strict=True)) as it:
        assert it.get("/available_methods/").content == UNEXPECTED
        assert post(it, picture(), configuration(entry(**REMOTE))).headers["content-type"] == "image/jpeg"


@pytest.mark.parametrize("strict", [True, False])
def test_leaves_out_only_the_model_that_its_server_cannot_load(tmp_path: Path, *, strict: bool) -> None:
    listed = Reply.of({"models": ["broken", "yolo"]})
    with StubInference("TFC", boxes=[BOX], replies={"/models": listed}) as api, client(
        made(tmp_path, [api.url], strict=strict)
    ) as it:  # fmt: skip
        assert it.get("/available_methods/").json()["person"]["detection"] == {api.url: ["yolo"]}
        assert f"{api.url} broken" in it.get("/health/ready").json()["faults"]
        assert post(it, picture(), configuration(entry(**REMOTE))).headers["x-velum-hidden"] == "1"


@pytest.mark.parametrize("strict", [True, False])
def test_hides_a_box_with_exchanged_edges(tmp_path: Path, *, strict: bool) -> None:
    turned = Shown("person", (34, 30, 10, 8))
    with StubInference("OVD", boxes=[turned]) as api, client(made(tmp_path, [api.url], strict=strict)) as it:
        it.get("/available_methods/")
        hidden = pixels(post(it, picture(), configuration(entry(**REMOTE))).content)
    assert not hidden[8:30, 10:34].any()


def test_starts_while_an_address_is_down(tmp_path: Path) -> None:
    with client(made(tmp_path, ["http://127.0.0.1:1/"])) as it:
        assert post(it, picture(), configuration()).headers["x-velum-hidden"] == "1"


def test_a_slow_inference_api_does_not_block_others(tmp_path: Path) -> None:
    held, arrived, goes_on = threading.Event(), threading.Semaphore(0), threading.Event()

    def found(_: bytes) -> list[Shown]:
        if held.is_set():
            arrived.release()
            goes_on.wait(20)
        return [BOX]

    with StubInference("OVD", boxes=found) as slow, StubInference("YCPU", model="quick", boxes=[BOX]) as quick, client(
        made(tmp_path, [slow.url, quick.url], parallel=1, queue=2)
    ) as it:  # fmt: skip
        it.get("/available_methods/")
        waiting = configuration(entry(**REMOTE, url=slow.url))
        post(it, picture(), waiting)
        held.set()
        answers: list[Any] = []
        threads = [threading.Thread(target=lambda: answers.append(post(it, picture(), waiting))) for _ in range(6)]
        for thread in threads:
            thread.start()
        assert arrived.acquire(timeout=10)
        for _ in range(3):
            quickly = post(it, picture(), configuration(entry(**REMOTE | {"model_name": "quick"})))
            assert quickly.headers["x-velum-hidden"] == "1"
        own = post(it, picture(), configuration())
        assert own.headers["x-velum-hidden"] == "1"
        assert all(answer.status_code == 429 for answer in answers), "the slow one still waits"
        goes_on.set()
        for thread in threads:
            thread.join()
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == [200, 200, 200, 429, 429, 429], "one place at the processor, two to wait, for each service"
        busy = next(answer for answer in answers if answer.status_code == 429)
        assert busy.json()["success"] is False
        assert busy.headers["retry-after"] == "1"


HOSTILE: list[tuple[str, Any]] = [
    ("no envelope", []), ("null", None), ("no boxes", {}), ("boxes that are none", {"bounding-boxes": 3}),
    ("box without edges", {"bounding-boxes": [{"ObjectClassName": "person"}]}),
    ("edges that are texts", {"bounding-boxes": [{
        "ObjectClassName": "person", "confidence": 1,
        "coordinates": {"left": "a", "top": 0, "right": 9, "bottom": 9}}]}),
]  # fmt: skip


@pytest.mark.parametrize("data", [row[1] for row in HOSTILE], ids=[row[0] for row in HOSTILE])
def test_returns_no_image_for_hostile_responses(tmp_path: Path, data: Any) -> None:
    with StubInference("OVD") as api, client(made(tmp_path, [api.url])) as it:
        it.get("/available_methods/")
        api.replies["/models/yolo/predict"] = Reply.of(data)
        answer = post(it, picture(), configuration(entry(**REMOTE)))
        assert answer.json()["data"] == ["The model type <detection> in sensitive info <1> is not supported."]


NUMBERS = st.integers(-200, 200) | st.floats(-1e6, 1e6) | st.sampled_from([1e308, -1e308, 10**30])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edges=st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS), max_size=4),
    broken=st.sampled_from([b"", b"<html>", b"[]", b'{"data":NaN}', b'{"success":true}', None]),
)
def test_any_response_gives_a_hidden_image_or_an_error(served: Any, edges: Any, broken: bytes | None) -> None:
    it, api = served
    boxes = [
        {"ObjectClassName": "person", "ObjectClassId": 0, "confidence": 50,
         "coordinates": dict(zip(("left", "top", "right", "bottom"), box, strict=True))}
        for box in edges
    ]  # fmt: skip
    reply = Reply.of({"bounding-boxes": boxes}) if broken is None else Reply(200, broken)
    api.replies["/models/yolo/predict"] = reply
    answer = post(it, picture(), configuration(entry(**REMOTE)))
    assert answer.status_code == 200
    if answer.headers["content-type"] != "image/jpeg":
        assert answer.json()["success"] is False
        return
    assert broken is None
    hidden = pixels(answer.content)
    for left, top, right, bottom in edges:
        x0, y0, x1, y1 = (int(max(0, min(edge, 64))) for edge in (left, top, right, bottom))
        assert not hidden[min(y0, y1) : min(max(y0, y1), 48), min(x0, x1) : max(x0, x1)].any()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, StubInference]]:
    with StubInference("OVD") as api, client(made(tmp_path_factory.mktemp("served"), [api.url])) as it:
        it.get("/available_methods/")
        yield it, api


LEAVES = st.none() | st.booleans() | st.integers(-2, 2) | st.floats() | st.text(max_size=5) | st.sampled_from(
    ["centerface", "face", "blurring", "blackening", "pixelating", "detection", "segmentation", OWN]
)  # fmt: skip
FIELDS = dict.fromkeys(entry(), LEAVES) | {"url": LEAVES}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.fixed_dictionaries({}, optional=FIELDS), max_size=3) | LEAVES)
def test_any_configuration_gives_a_hidden_image_or_an_error(served: Any, entries: Any) -> None:
    it, _ = served
    answer = post(it, picture(), json.dumps({"sensitive_info": entries}).encode())
    assert answer.status_code == 200
    if answer.headers["content-type"] == "image/jpeg":
        assert answer.headers["x-velum-hidden"] >= "1"
    else:
        assert answer.json()["success"] is False


def test_concurrent_requests_get_their_own_responses(tmp_path: Path) -> None:
    with client(made(tmp_path, parallel=2)) as it:
        answers: dict[int, bytes] = {}

        def ask(seed: int) -> None:
            name = ("blackening", "blurring")[seed % 2]
            config = configuration(entry(anonymization_technique=name))
            answers[seed] = post(it, picture(seed=seed), config).content

        threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for seed, data in answers.items():
            assert np.array_equal(pixels(data)[40:, 50:], pixels(picture(seed=seed))[40:, 50:])
            assert pixels(data)[FACE.box.slices].any() == bool(seed % 2)


def test_refuses_images_above_the_limit(tmp_path: Path) -> None:
    with client(made(tmp_path, limit={"pixels": 1000})) as it:
        answer = post(it, picture(), configuration())
    assert (answer.status_code, answer.json()["success"]) == (413, False)
    assert "pixels" in answer.json()["error"]
