"""The people of real videos and photographs on the page, decided with few clicks."""

import json
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import av
import cv2
import numpy as np
import pytest
from PIL import Image
from tests.ui.conftest import served, watched
from tests.ui.test_page import AXE
from tests.waiting import until

from velum import Annotations, Engine, Plan, RuntimeConfig
from velum.errors import Unavailable
from velum.frame import Rgb
from velum.locate import registry
from velum.locate.weights import fetch
from velum.region import Region

pytestmark = [pytest.mark.slow, pytest.mark.real, pytest.mark.exhaustive, pytest.mark.timeout(240)]

HEADS = {
    "a": ("one_portrait_full.jpg", (497, 121, 1047, 784)), "a2": ("two_outdoor_waving.jpg", (1050, 250, 1414, 726)),
    "b": ("one_studio.jpg", (507, 0, 1066, 670)), "c": ("one_standing.jpg", (344, 0, 849, 606)),
    "d": ("office_one.jpg", (410, 30, 761, 471)),
}  # fmt: skip
"""Photographs with the part that shows a head; a and a2 show one person."""

SCENES = (("a", "b"), ("c", "d"), ("b", "a2"), ("d", "c"), ("a2", "c"), ("b", "d"))
FRAMES = 3
"""Frames of a scene. In each, everybody is a track."""

WIDTH, HEIGHT, SIDE = 480, 270, 220
PERSONS = 4


def scene(shared: Path, names: tuple[str, ...]) -> Rgb:
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for index, name in enumerate(names):
        file, box = HEADS[name]
        with Image.open(shared / "media" / "faces" / file) as photo:
            head = photo.convert("RGB").crop(box).resize((SIDE, HEIGHT - 20))
        pixels[10 : HEIGHT - 10, 10 + 240 * index : 10 + 240 * index + SIDE] = np.asarray(head)
    return pixels


def _surest(faces: tuple[Region, ...], left: int, right: int) -> Region:
    return max((face for face in faces if left <= face.box.x0 < right), key=lambda face: face.score)


@pytest.fixture(scope="module")
def film(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Annotations]:
    """A film of four people in twelve tracks, and its faces."""
    try:
        for model in (registry.find("centerface"), registry.find_weights("dlib-resnet")):
            fetch.ensure_local(model, RuntimeConfig())
    except Unavailable as error:
        pytest.skip(f"the weights cannot be had: {error}")
    path, found = tmp_path_factory.mktemp("film") / "people.webm", dict[int, tuple[Region, ...]]()
    with Engine() as engine, av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx-vp9", 10, options={"crf": "10", "deadline": "realtime"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number, names in enumerate(SCENES):
            pixels = scene(shared, names)
            cv2.imwrite(str(path.with_suffix(".png")), pixels[..., ::-1])
            (faces,) = engine.locate(path.with_suffix(".png"), Plan(effort="fast")).frames.values()
            faces = tuple(_surest(faces, 240 * nth, 240 * nth + 240) for nth in range(len(names)))
            for index in range(number * FRAMES, (number + 1) * FRAMES):
                found[index] = tuple(replace(face, track=10 * number + nth) for nth, face in enumerate(faces))
                frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format="yuv420p")
                frame.pts, frame.time_base = index, Fraction(1, 10)
                container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path, Annotations(WIDTH, HEIGHT, found)


@pytest.fixture(scope="module")
def gallery_service(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service whose operator allows that people are recognised, with a plan that keeps Anna."""
    folder = tmp_path_factory.mktemp("gallery")
    Image.fromarray(scene(shared, ("a",))[:, :240]).save(folder / "anna.png")
    (folder / "staff.toml").write_text(f'[people]\nkeep = {{ Anna = "{folder}/anna.png" }}\n')
    yield from served(folder, VELUM_SERVICE_PEOPLE="true", VELUM_SERVICE_PLANS=str(folder))


def finished_job(service: str, files: dict[str, bytes], **wanted: Any) -> str:
    """Upload files, and return the id of the job that has hidden them."""

    def sent(method: str, path: str, data: bytes = b"", kind: str = "application/octet-stream") -> Any:
        request = Request(f"{service}v1/{path}", data, {"Content-Type": kind}, method=method)
        with urlopen(request, timeout=60) as answer:
            return json.loads(answer.read() or "null")

    uploads = {name: sent("POST", "uploads")["id"] for name in files}
    for name, data in files.items():
        sent("PUT", f"uploads/{uploads[name]}", data)
    made = sent("POST", "jobs", json.dumps({**uploads, **wanted}).encode(), "application/json")["id"]
    with urlopen(f"{service}v1/jobs/{made}/events", timeout=120) as events:
        assert b"event: end" in events.read()
    return str(made)


@pytest.fixture
def job(gallery_service: str, film: tuple[Path, Annotations]) -> str:
    """A job that has hidden everybody in the film."""
    path, annotations = film
    files = {"upload": path.read_bytes(), "regions": json.dumps(annotations.to_json()).encode()}
    plan = {"rules": ["face: centerface -> blacken with grow=0"]}
    return finished_job(gallery_service, files, name=path.name, plan=plan)


@pytest.fixture
def page(browser: Any, gallery_service: str) -> Iterator[Any]:
    yield from watched(browser, gallery_service, locale="en")


def visible_tracks(page: Any, job: str) -> set[int]:
    frames = page.request.get(f"/v1/jobs/{job}/regions").json()["frames"]
    return {region["track"] for frame in frames for region in frame["regions"] if region.get("off")}


def tracks_of(*names: str) -> set[int]:
    return {10 * number + nth for number, scene in enumerate(SCENES) for nth, name in enumerate(scene) if name in names}


def test_all_people_are_decided_with_few_clicks(page: Any, job: str) -> None:
    clicks = 0

    def click(name: str) -> None:
        nonlocal clicks
        clicks += 1
        page.get_by_role("button", name=name, exact=True).click()

    page.goto(f"/#/review/{job}")
    page.get_by_role("heading", name="12 tracks hidden").wait_for()
    page.get_by_text("GDPR article 9").wait_for()
    click("Group faces by person")
    page.get_by_role("heading", name="Person 4").wait_for()
    assert page.locator(".person").count() == PERSONS
    pictures = page.locator(".person .faces img")
    assert pictures.count() == 2 * len(SCENES)
    page.wait_for_function("[...document.querySelectorAll('.person .faces img')].every(img => img.naturalWidth === 96)")

    persons = page.locator(".person")
    of_a = next(index for index in range(PERSONS) if is_of(page, index, "a", "a2"))
    click(f"Leave visible: Person {of_a + 1}")
    page.get_by_role("heading", name="9 tracks hidden").wait_for()
    assert persons.nth(of_a).get_by_text("visible", exact=True).count() == 1
    click("Apply")
    page.get_by_text("Done: the video shows your corrections.").last.wait_for()
    assert clicks < PERSONS + 2
    assert visible_tracks(page, job) == tracks_of("a", "a2")
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("heading", name="12 tracks hidden").wait_for()


def is_of(page: Any, index: int, *names: str) -> bool:
    """Tell whether the tracks of a person on the page are those of the names, by what is listed of them."""
    person = page.locator(".person").nth(index)
    person.locator("summary").click()
    times = person.locator("li button:first-of-type").all_inner_texts()
    person.locator("summary").click()
    scenes = [number for number, scene in enumerate(SCENES) for name in scene if name in names]
    return sorted(times) == sorted(
        f"{_clock(FRAMES * number)} \N{EN DASH} {_clock(FRAMES * number + 2)}" for number in scenes
    )


def _clock(frame: int) -> str:
    return f"0:0{frame // 10}"


def test_a_result_that_keeps_a_person_says_what_to_know_of_that(
    page: Any, gallery_service: str, shared: Path, tmp_path: Path
) -> None:
    Image.fromarray(scene(shared, ("a2", "b"))).save(tmp_path / "two.png")
    made = finished_job(gallery_service, {"upload": (tmp_path / "two.png").read_bytes()}, name="two.png", plan="staff")
    page.goto(f"/#/jobs/{made}")
    note = page.locator(".photo-body > .note.warn")
    note.wait_for()
    assert note.inner_text().startswith("Everybody but Anna is hidden.")
    assert "GDPR article 9" in note.inner_text()
    report = page.request.get(f"/v1/jobs/{made}/report").json()
    assert sorted(decision["result"] for decision in report["people"]["decisions"]) == ["hidden", "shown"]


def hidden_photo(service: str, shared: Path, folder: Path, *names: str) -> str:
    """Hide the faces of a photograph, and return the id of the job."""
    path = folder / f"{'_'.join(names)}.png"
    Image.fromarray(scene(shared, names)).save(path)
    return finished_job(service, {"upload": path.read_bytes()}, name=path.name)


def job_state(page: Any, job: str) -> dict[str, Any]:
    return dict(page.request.get(f"/v1/jobs/{job}").json())


def shown_faces(page: Any, job: str) -> list[bool]:
    """Tell for each face of a photograph, from left to right, whether it is left visible."""
    (frame,) = page.request.get(f"/v1/jobs/{job}/regions").json()["frames"]
    return [region.get("off", False) for region in sorted(frame["regions"], key=lambda region: region["xyxy"][0])]


def test_people_of_several_files_are_decided_together(
    page: Any, gallery_service: str, job: str, shared: Path, tmp_path: Path
) -> None:
    first = hidden_photo(gallery_service, shared, tmp_path, "c", "a2")
    second = hidden_photo(gallery_service, shared, tmp_path, "a", "d")
    page.goto("/#/jobs")
    for name in ("people.webm", "c_a2.png", "a_d.png"):
        page.get_by_label(f"Choose {name}", exact=True).first.check()  # the newest
    page.get_by_role("link", name="Decide by person in 3 files").click()
    page.get_by_role("button", name="Group faces by person").click()
    page.get_by_role("heading", name="Person 4").wait_for()
    assert page.locator(".person").count() == PERSONS
    counts = page.locator(".person > p.small").all_inner_texts()
    assert sorted(counts) == ["3 faces in 1 file", "4 faces in 2 files", "4 faces in 2 files", "5 faces in 3 files"]
    of_a = counts.index("5 faces in 3 files")
    page.locator(".person").nth(of_a).locator("summary").click()
    places = page.locator(".person").nth(of_a).locator("li button:first-of-type").all_inner_texts()
    assert {"c_a2.png", "a_d.png"} < set(places)
    page.get_by_role("button", name=f"Leave visible: Person {of_a + 1}").click()
    page.get_by_role("button", name="Apply to 3 files").click()
    page.get_by_text("Done: 3 files show your decisions.").last.wait_for()
    assert shown_faces(page, first) == [False, True]
    assert shown_faces(page, second) == [True, False]
    assert visible_tracks(page, job) == tracks_of("a", "a2")

    page.get_by_role("button", name=f"Hide again: Person {of_a + 1}").click()
    page.get_by_role("button", name="Apply to 3 files").wait_for()
    until(lambda: all(job_state(page, made)["drafted"] for made in (first, second, job)))
    page.reload()
    page.get_by_role("button", name="Apply to 3 files").click()  # kept by the service
    page.get_by_text("Done: 3 files show your decisions.").last.wait_for()
    assert (shown_faces(page, first), visible_tracks(page, job)) == ([False, False], set())


def test_people_of_a_photograph_are_decided_on_its_page(
    page: Any, gallery_service: str, shared: Path, tmp_path: Path
) -> None:
    made = hidden_photo(gallery_service, shared, tmp_path, "b", "c")
    page.goto(f"/#/jobs/{made}")
    page.get_by_role("button", name="Group faces by person").click()
    page.get_by_role("heading", name="Person 2").wait_for()
    page.get_by_role("button", name="Leave visible: Person 1").click()
    page.get_by_role("heading", name="1 face hidden").wait_for()
    page.get_by_role("button", name="Apply").click()
    until(lambda: job_state(page, made)["attempts"] == 2 and job_state(page, made)["result"])
    assert sorted(shown_faces(page, made)) == [False, True]


def test_a_photo_chosen_on_the_start_page_keeps_a_person(page: Any, shared: Path, tmp_path: Path) -> None:
    for name, who in (("anna.png", ("a",)), ("two.png", ("a2", "b")), ("both.png", ("a", "b"))):
        Image.fromarray(scene(shared, who)).save(tmp_path / name)
    page.goto("/")
    page.get_by_text("Single people").click()
    page.locator(".who").get_by_text("GDPR article 9").wait_for()
    page.get_by_label("Name", exact=True).fill("Anna")
    page.locator("input[name=photo]").set_input_files(tmp_path / "anna.png")
    page.get_by_text("Anna 1 photo").wait_for()
    page.locator(".drop input").first.set_input_files([tmp_path / "two.png"])
    page.get_by_role("button", name="Hide in 1 file").click()
    page.get_by_role("link", name="View two.png").click()
    page.get_by_text("Everybody but Anna is hidden.").wait_for()
    made = page.url.rpartition("/")[2]
    assert shown_faces(page, made) == [True, False]

    page.get_by_role("link", name="Hide", exact=True).click()
    page.get_by_role("button", name="Remove Anna").click()
    page.get_by_label("Name", exact=True).fill("Anna")
    page.locator("input[name=photo]").set_input_files(tmp_path / "both.png")
    page.locator(".drop input").first.set_input_files([tmp_path / "both.png"])
    page.get_by_role("button", name="Hide in 1 file").click()
    page.get_by_text("shows 2 faces").wait_for(state="attached")
    page.complaints.clear()


def test_persons_are_split_and_merged_by_mouse_and_keyboard(page: Any, job: str) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(f"/#/review/{job}")
    page.get_by_role("button", name="Group faces by person").focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Person 4").wait_for()
    page.get_by_label("Person 1 is the same person as").select_option("2")
    page.wait_for_function("document.querySelectorAll('.person').length === 3")
    first = page.locator(".person").first
    assert first.locator(".faces img").count() == 6
    first.locator("summary").focus()
    page.keyboard.press("Enter")
    first.get_by_role("button", name="Someone else").first.click()
    page.wait_for_function("document.querySelectorAll('.person').length === 4")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    first.get_by_role("button", name="Leave visible: Person 1").focus()
    page.keyboard.press("Space")
    first.get_by_role("button", name="Hide again: Person 1").wait_for()
    assert page.evaluate("document.activeElement.dataset.key") == "keep1"
    if AXE.exists():
        page.evaluate(AXE.read_text())
        found = page.evaluate("axe.run('velum-gallery')")
        assert [rule["id"] for rule in found["violations"]] == []
