"""Images over HTTP: the same format back, and nothing of the input stored or written to a disk."""

import hashlib
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient
from tests.service.factories import client, parts_of, picture, settings

from velum import Engine, Plan
from velum.annotations import Annotations
from velum.errors import BadInput
from velum.frame import Frame
from velum.media.formats import SUFFIXES, VIDEO_SUFFIXES
from velum.plugins import RuntimeConfig
from velum.region import Region
from velum.service.admission import Admission, ClientGone
from velum.service.v1.http_bodies import KINDS
from velum.service.v1.images import ImageService, digest, suffix_of
from velum.storage.scratch import ScratchDirs
from velum.testing import FakeLocalizer


def opened(data: bytes) -> np.ndarray[Any, Any]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service for all requests that leave nothing behind."""
    with client(settings(tmp_path_factory.mktemp("steady"), picture_bytes=30_000)) as api:
        yield api


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "JPEG2000"])
def test_a_picture_comes_back_in_its_own_format(steady: TestClient, kind: str) -> None:
    data = picture(kind=kind)
    answer = steady.post("/v1/images", files={"image": ("holiday.png", data, "image/png")})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == KINDS[kind]
    assert answer.headers["x-velum-hidden"] == "1"
    with Image.open(io.BytesIO(answer.content)) as image:
        assert (image.format, image.size) == (kind, (64, 48))
    assert (opened(answer.content)[16:30, 16:32] < 24).all()
    said = json.loads(answer.headers["x-velum-report"])
    assert said["input_sha256"] == hashlib.sha256(data).hexdigest()
    assert said["output_sha256"] == hashlib.sha256(answer.content).hexdigest()
    assert said["labels"] == {"face": 1}


def test_a_lossless_image_changes_only_inside_hidden_regions(tmp_path: Path) -> None:
    data = picture()
    with client(settings(tmp_path)) as api:
        answer = api.post("/v1/images", content=data, headers={"content-type": "image/png"})
    before, after = opened(data), opened(answer.content)
    assert (before[35:] == after[35:]).all()
    assert (before[:, 45:] == after[:, 45:]).all()


def test_the_response_has_a_report_where_the_client_accepts_multipart(tmp_path: Path) -> None:
    with client(settings(tmp_path)) as api:
        answer = api.post("/v1/images", files={"image": ("a.png", picture())}, headers={"accept": "multipart/mixed"})
    report, image = parts_of(answer)
    assert (report.get_content_type(), image.get_content_type()) == ("application/json", "image/png")
    values = json.loads(report.get_content())
    assert values["hidden"][0]["label"] == "face"
    assert (values["source"], values["target"]) == (None, None)
    assert hashlib.sha256(image.get_content()).hexdigest() == values["output_sha256"]


def test_nothing_of_the_input_is_written_to_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = picture(600, 400, kind="BMP")  # more than the megabyte up to which forms are usually held in memory
    mark = data[1000:1400]
    seen: list[bytes] = []

    def looked(frame: Any) -> list[Any]:
        seen.extend(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        return []

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("a temporary file was made")

    monkeypatch.setattr("tempfile._TemporaryFileWrapper", never)
    monkeypatch.setattr("tempfile.TemporaryFile", never)
    with client(settings(tmp_path, picture_bytes=1 << 24), looked) as api:
        answer = api.post("/v1/images", files={"image": ("a.bmp", data), "plan": (None, "{}")})
        assert answer.status_code == 200
        assert seen, "something else was looked at"
        assert not any(mark in content for content in seen)
    assert not [path for path in (tmp_path / "jobs" / "work").rglob("*") if path.is_file()]


def test_located_regions_are_returned_as_an_annotation_file(tmp_path: Path) -> None:
    data = picture()
    with client(settings(tmp_path)) as api:
        answer = api.post("/v1/locate", files={"image": ("a.png", data)})
    found = Annotations.from_json(answer.json())
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert [region.label for region in found.frames[0]] == ["face"]


PLANS: list[tuple[str, str, int, str]] = [
    ("a plan as JSON", '{"rules": ["zone: fixed(box=[0, 0, 9, 9]) -> blacken"]}', 200, ""),
    ("no rules", '{"rules": []}', 422, "at least one rule"),
    ("no JSON", "{", 422, "not valid JSON"),
    ("too deep", "{" * 100_000, 422, "plan"),
    ("an unknown name", "street", 422, "known are none"),
    ("an unknown localizer", '{"rules": ["face: nobody -> blur"]}', 422, "unknown"),
    ("an address", "{\"rules\": [\"face: bmw(url='http://a/', model='m') -> blur\"]}", 422, "connects to a URL"),
    ("a pattern", '{"rules": ["text: text(regex=\'(a+)+b\') -> blur"]}', 422, "only in plans of the operator"),
    ("a place", '{"rules": ["face: centerface -> paint(with_=\'/etc/passwd\')"]}', 422, "only in plans"),
]


@pytest.mark.parametrize(("plan", "status", "message"), [row[1:] for row in PLANS], ids=[row[0] for row in PLANS])
def test_a_plan_in_a_request_is_used_or_refused_with_a_reason(
    steady: TestClient, plan: str, status: int, message: str
) -> None:
    answer = steady.post("/v1/images", files={"image": ("a.png", picture())}, data={"plan": plan})
    assert answer.status_code == status
    if status != 200:
        problem = answer.json()
        assert answer.headers["content-type"] == "application/problem+json"
        assert (problem["code"], problem["instance"]) == ("BadPlan", "/v1/images")
        assert message in problem["detail"]


WRONG: list[tuple[str, dict[str, Any], int, str]] = [
    ("no image", {"files": {"other": ("a", b"x")}}, 400, "unknown fields"),
    ("image without a file", {"data": {"image": "text"}, "files": {"plan": ("p", b"{}")}}, 400, "no file 'image'"),
    ("no picture", {"files": {"image": ("a", b"nothing of the kind")}}, 422, "unknown kind"),
    ("empty", {"files": {"image": ("a", b"")}}, 422, "unknown kind"),
    ("a video", {"files": {"image": ("a", b"\0\0\0\x18ftypmp42")}}, 422, "submit a job"),
    ("damaged", {"files": {"image": ("a", picture()[:200])}}, 422, "damaged"),
    ("too large", {"files": {"image": ("a", bytes(40_000))}}, 413, "30,000 allowed"),
    ("too large, bare", {"content": bytes(40_000), "headers": {"content-type": "image/png"}}, 413, "30,000 allowed"),
    ("another kind", {"json": {}}, 415, "multipart/form-data"),
    ("no boundary", {"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400, "boundary"),
    ("broken form", {"content": b"x", "headers": {"content-type": "multipart/form-data; boundary=b"}}, 400, "form"),
]


@pytest.mark.parametrize(("sent", "status", "message"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
@pytest.mark.parametrize("path", ["/v1/images", "/v1/locate"])
def test_impossible_requests_are_refused_with_a_reason(
    steady: TestClient, path: str, sent: Any, status: int, message: str
) -> None:
    answer = steady.post(path, **sent)
    assert answer.status_code == status, answer.text
    assert message in answer.json()["detail"]
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_request_can_name_a_plan_of_the_operator(tmp_path: Path) -> None:
    plans = tmp_path / "plans"
    plans.mkdir()
    (plans / "street.toml").write_text('rules = ["face: centerface -> pixelate"]\nmetadata = ["gps"]')
    (plans / "far.json").write_text("{\"rules\": [\"face: bmw(url='http://inner/', model='m') -> blur\"]}")
    (plans / "broken.toml").write_text("rules = 3")
    (plans / "notes.txt").write_text("no plan")
    with client(settings(tmp_path, plans=plans)) as api:
        listed = api.get("/v1/plans").json()["plans"]
        assert [entry["name"] for entry in listed] == ["far", "street"]
        assert listed[1]["rules"] == [{"label": "face", "locate": "centerface", "hide": "pixelate"}]
        assert "inner" not in api.get("/v1/plans").text, "addresses are the operator's"
        used = api.post("/v1/images?plan=street", content=picture(), headers={"content-type": "image/png"})
        assert json.loads(used.headers["x-velum-report"])["plan"] == listed[1]["digest"]
        broken = api.post("/v1/images?plan=broken", content=picture(), headers={"content-type": "image/png"})
        assert "of the operator cannot be used" in broken.json()["detail"]
        outside = api.post("/v1/images?plan=../street", content=picture(), headers={"content-type": "image/png"})
        assert outside.status_code == 422


def test_plans_of_the_operator_recognise_people_where_the_settings_allow_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plans, headers = tmp_path / "plans", {"content-type": "image/png"}
    plans.mkdir()
    (plans / "staff.toml").write_text('people = { keep = { Anna = "/srv/anna.jpg" } }')
    sent = json.dumps({"people": {"keep": {"Anna": "/etc/passwd"}}})
    off, missing = (422, "is off in this service; its operator may allow it"), (503, "is not available")
    for allowed, (status, message) in ((False, off), (True, missing)):
        with client(settings(tmp_path, plans=plans, people=allowed)) as api:
            own = api.post("/v1/images", params={"plan": sent}, content=picture(), headers=headers)
            assert own.status_code == 422
            assert "a plan in a request names no photos" in own.json()["detail"]
            named = api.post("/v1/images?plan=staff", content=picture(), headers=headers)
            assert named.status_code == status
            assert message in named.json()["detail"]
            assert "/srv" not in named.text
            assert "anna" not in api.get("/v1/plans").text.lower()
    assert any("/srv/anna.jpg" in str(getattr(record, "facts", "")) for record in caplog.records)


def test_requests_beyond_the_queue_are_refused(tmp_path: Path) -> None:
    held, go = threading.Event(), threading.Event()

    def slow(_: Any) -> list[Any]:
        held.set()
        go.wait(10)
        return []

    with client(settings(tmp_path, parallel=1, queue=0), slow) as api:
        first = threading.Thread(target=api.post, args=("/v1/images",), kwargs={"files": {"image": ("a", picture())}})
        first.start()
        held.wait(10)
        answer = api.post("/v1/images", files={"image": ("a", picture())})
        go.set()
        first.join()
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (429, "Busy", "1")


def test_hiding_in_an_image_of_many_frames_ends_when_the_client_disconnects(tmp_path: Path) -> None:
    gone, located = threading.Event(), list[int]()

    def disconnect(frame: Frame) -> tuple[Region, ...]:
        located.append(frame.index)
        gone.set()
        return ()

    animation = io.BytesIO()
    first, *others = (Image.new("L", (8, 8), grey) for grey in range(100))
    first.save(animation, "GIF", save_all=True, append_images=others)
    host = RuntimeConfig(localizers={"centerface": lambda: FakeLocalizer(disconnect)})
    with Engine(host=host) as engine, pytest.raises(ClientGone):
        ImageService(engine, Admission(1, 1), ScratchDirs(tmp_path)).hide(animation.getvalue(), Plan(), gone)
    assert len(located) < 50


def test_an_internal_error_shows_no_paths_and_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "jobs").mkdir()
    for name in ("work", "store"):
        (tmp_path / "jobs" / name).write_text("in the way")
    with client(settings(tmp_path)) as api:
        answer = api.post("/v1/images", files={"image": ("a", picture())})
        jobs = api.get("/v1/jobs")
    for refusal, status in ((answer, 500), (jobs, 500)):
        assert refusal.status_code == status
        assert refusal.json()["code"] == "OutputFailed"
        assert str(tmp_path) not in refusal.text
    assert str(tmp_path) in caplog.text + str([vars(record) for record in caplog.records])


def test_capabilities_list_labels_models_and_techniques(tmp_path: Path) -> None:
    with client(settings(tmp_path)) as api:
        techniques = {technique["name"]: technique for technique in api.get("/v1/techniques").json()["techniques"]}
        models = {model["name"]: model for model in api.get("/v1/models").json()["models"]}
        labels = {label["label"]: label for label in api.get("/v1/labels").json()["labels"]}
    assert {"blacken", "blur", "pixelate"} <= techniques.keys()
    assert "degree" in techniques["blur"]["options"]
    assert models["centerface"]["default"]
    assert models["centerface"]["labels"] == ["face"]
    assert labels["face"]["chosen"] == ["centerface"]


def test_the_suffixes_of_files_that_the_service_reads_are_listed(tmp_path: Path) -> None:
    with client(settings(tmp_path)) as api:
        types = api.get("/v1/file-types").json()
    assert {".jpg", ".png", ".heic", ".webp", ".mpo"} <= set(types["images"])
    assert {".mp4", ".mov", ".vob", ".wmv", ".ogv"} <= set(types["videos"])
    assert types == {kind: sorted(set(suffixes)) for kind, suffixes in types.items()}
    assert {".zip", ".docx", ".tar.gz", ".dcm"} <= set(types["containers"])
    assert {".wav", ".mp3", ".m4a", ".ogg", ".flac", ".opus"} <= set(types["sounds"])
    assert not set(types["images"]) & set(types["videos"])
    assert not set(types["sounds"]) & {*types["videos"], *types["images"], *types["containers"]}
    assert set(SUFFIXES) | set(VIDEO_SUFFIXES) <= {*types["images"], *types["videos"]}


@pytest.mark.parametrize(
    ("start", "suffix"),
    [(b"\xff\x4f\xff\x51", ".j2k"), (b"\0\0\0\x0cjP  \r\n\x87\n", ".jp2"), (b"GIF89a", ".gif")],
    ids=["a codestream stays one", "in its container", "others by their format"],
)
def test_a_suffix_is_chosen_by_content(start: bytes, suffix: str) -> None:
    assert suffix_of(start) == suffix


def test_content_that_is_no_image_has_no_suffix() -> None:
    with pytest.raises(BadInput, match="unknown kind"):
        suffix_of(b"%PDF")


def test_the_header_of_warnings_has_a_bounded_length(tmp_path: Path) -> None:
    host = RuntimeConfig(localizers={"centerface": FakeLocalizer})
    with Engine(host=host) as engine:
        _, report = engine.hide_pixels(np.zeros((40, 40, 3), np.uint8), Plan.of("face: centerface -> blur"))
    object.__setattr__(report, "warnings", ("ü" * 300,) * 20)
    text = digest(report)
    assert text.isascii()
    assert len(text) < 3000
    assert json.loads(text)["warnings"][-1] == "more in the report"
