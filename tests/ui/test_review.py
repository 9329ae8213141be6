"""Jobs, corrections of a video and approvals on the page, in a browser, with a service in its own process."""

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from tests.engine.test_follow_object import film, place
from tests.rows import exhaustive
from tests.ui.conftest import filmed
from tests.ui.test_page import AXE, hidden_in, picture

from velum.region import Box

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

_SHOWS = """brightness => {
    const video = document.querySelector('velum-stage video');
    if (video.readyState < 2 || video.seeking) return false;
    const paint = document.createElement('canvas').getContext('2d');
    paint.drawImage(video, 0, 0, 1, 1);
    const [shown, , , there] = paint.getImageData(0, 0, 1, 1).data;
    return there && Math.abs(shown - brightness) <= 4;
}"""


def shows_brightness(page: Any, brightness: int) -> None:
    """Wait until the player shows the frame of this brightness; it may seek later than the page says its number."""
    page.wait_for_function(_SHOWS, arg=brightness)


_SHOWN_IN_RESULT = """([x, y, dark]) => {
    const video = document.querySelector('velum-result video');
    if (!video.checkVisibility() || video.readyState < 2 || video.seeking) return false;
    const paint = document.createElement('canvas').getContext('2d');
    paint.drawImage(video, -x, -y);
    const [shown] = paint.getImageData(0, 0, 1, 1).data;
    return (shown < 12) === dark;
}"""


def shows_in_result(page: Any, *, x: int, y: int, dark: bool) -> None:
    """Wait until the finished video is shown, with that brightness at a pixel."""
    page.wait_for_function(_SHOWN_IN_RESULT, arg=[x, y, dark])


@pytest.fixture(scope="session")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same in an MP4, whose frames are not evenly far apart, nor stored in the order in which they are shown."""
    return filmed(tmp_path_factory.mktemp("uneven") / "clip.mp4", "libx264", pause=3)


@pytest.fixture(scope="session")
def moving(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film with a thing that moves through it."""
    return film(tmp_path_factory.mktemp("moving") / "moving.mp4")


def reviewed(page: Any, clip: Path) -> str:
    """Have the clip hidden, and open it; return the id of its job."""
    hidden_in(page, clip)
    page.goto("/#/jobs")
    page.get_by_role("link", name=clip.name).first.click()
    page.get_by_role("heading", name="1 track hidden").wait_for()
    return str(page.url.rpartition("/")[2])


def looked_at(page: Any, job: str) -> None:
    """Open a video that is hidden already; who does not render what is changed in it leaves it as it was."""
    page.goto(f"/#/review/{job}")
    page.get_by_role("heading", name="1 track hidden").wait_for()


def regions(page: Any, job: str) -> list[Any]:
    answer = page.request.get(f"/v1/jobs/{job}/regions")
    assert answer.ok, answer.text()
    return list(answer.json()["frames"])


def spot(page: Any, x: float, y: float) -> tuple[float, float]:
    box = page.locator("velum-stage").bounding_box()
    return box["x"] + x * box["width"] / 320, box["y"] + y * box["height"] / 240


def rendered(page: Any) -> None:
    page.get_by_role("button", name="Apply", exact=True).click()
    page.get_by_text("Done: the video shows your corrections.").last.wait_for()


@pytest.mark.exhaustive
def test_a_track_is_switched_off_by_a_click_and_another_is_drawn(page: Any, clip: Path) -> None:
    job = reviewed(page, clip)
    assert all(frame["regions"] for frame in regions(page, job))
    page.mouse.click(*spot(page, 20, 15))
    page.get_by_role("heading", name="0 tracks hidden, 1 left visible").wait_for()
    page.get_by_role("button", name="Draw").click()
    for _ in range(3):
        page.get_by_role("button", name="One frame forward").click()
    page.get_by_label("How long before and after").select_option("In this frame only")
    page.mouse.move(*spot(page, 100, 100))
    page.mouse.down()
    page.mouse.move(*spot(page, 140, 130), steps=5)
    page.mouse.up()
    page.get_by_role("heading", name="1 track hidden, 1 left visible").wait_for()
    for _ in range(4):
        page.get_by_role("button", name="One frame forward").click()
    page.get_by_role("button", name="Extend to here").click()
    rendered(page)
    made = regions(page, job)
    shown = [[one for one in frame["regions"] if not one.get("off")] for frame in made]
    assert [index for index, ones in enumerate(shown) if ones] == [3, 4, 5, 6, 7]
    assert np.allclose(shown[3][0]["xyxy"], [100, 100, 140, 130], atol=2)
    assert all(frame["regions"][0]["off"] for frame in made), "what was switched off is remembered"
    assert len(made) == 20, "every frame is in the file"
    film = page.request.get(f"/v1/jobs/{job}/result").body()
    (folder := clip.parent / "got").mkdir(exist_ok=True)
    (folder / "result.webm").write_bytes(film)
    with av.open(folder / "result.webm") as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert [bool(one[110:120, 110:130].max() < 16) for one in pictures] == [
        number in range(3, 8) for number in range(20)
    ]
    assert pictures[0][8:22, 13:27].mean() > 10, "what was switched off is as it was"
    page.reload()
    page.get_by_role("heading", name="1 track hidden, 1 left visible").wait_for()


@pytest.mark.exhaustive
def test_no_video_is_downloaded_without_the_corrections(page: Any, clip: Path) -> None:
    reviewed(page, clip)
    page.mouse.click(*spot(page, 20, 15))
    page.get_by_role("heading", name="0 tracks hidden, 1 left visible").wait_for()
    page.get_by_role("button", name="Download").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Apply and download").click()
    with av.open(download.value.path()) as container:
        frame = next(container.decode(video=0))
    assert frame.to_ndarray(format="rgb24")[8:22, 13:27].mean() > 10, "what was switched off is as it was"


@pytest.mark.exhaustive
def test_a_track_is_hidden_by_a_technique_of_its_own(page: Any, moving: Path) -> None:
    job = reviewed(page, moving)
    page.get_by_role("button", name=re.compile(r"^Face 1")).click()
    page.get_by_label("How it is hidden").select_option("Mosaic")
    page.get_by_label("Strength").fill("0.5")
    rendered(page)
    made = regions(page, job)
    assert {one["technique"] for frame in made for one in frame["regions"]} == {"pixelate(degree=0.5)"}
    report = page.request.get(f"/v1/jobs/{job}/report").json()
    assert {one["technique"] for one in report["tracks"]} == {"pixelate(degree=0.5)"}
    page.reload()
    page.get_by_role("button", name=re.compile(r"^Face 1")).click()
    assert page.get_by_label("How it is hidden").input_value() == "pixelate"


@pytest.mark.exhaustive
def test_a_drawn_box_is_followed_through_the_video(page: Any, moving: Path) -> None:
    job = reviewed(page, moving)
    page.get_by_role("button", name="Draw").click()
    for _ in range(20):
        page.get_by_role("button", name="One frame forward").click()
    x0, y0, x1, y1 = place(20).xyxy
    page.mouse.move(*spot(page, x0, y0))
    page.mouse.down()
    page.mouse.move(*spot(page, x1, y1), steps=5)
    page.mouse.up()
    page.get_by_text("Followed from frame 1 to ").last.wait_for()
    page.get_by_role("heading", name="2 tracks hidden").wait_for()
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("heading", name="1 track hidden").wait_for()
    page.get_by_role("button", name="Redo").click()
    rendered(page)
    made = regions(page, job)
    for index in (0, 10, 20, 40, 60):
        boxes = [Box(*one["xyxy"]) for one in made[index]["regions"] if one["xyxy"] != made[0]["regions"][0]["xyxy"]]
        inner = place(index).pad(-6, -6)
        assert any(box.join(inner) == box for box in boxes), index


@pytest.mark.exhaustive
def test_a_box_that_cannot_be_followed_covers_a_moment(page: Any, job_of_clip: str) -> None:
    looked_at(page, job_of_clip)
    page.route("**/follow", lambda route: route.fulfill(status=503, json={"code": "Busy", "detail": "Too many ask."}))
    page.get_by_role("button", name="Draw").click()
    page.mouse.move(*spot(page, 100, 100))
    page.mouse.down()
    page.mouse.move(*spot(page, 140, 130), steps=5)
    page.mouse.up()
    page.get_by_text("The object could not be followed; its box stays for 1 s before and after: ").last.wait_for()
    page.get_by_role("heading", name="2 tracks hidden").wait_for()
    page.complaints.clear()


@pytest.mark.exhaustive
@pytest.mark.parametrize("width", [400, *exhaustive([1280])])
def test_a_late_note_does_not_shift_the_layout(page: Any, job_of_clip: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    held, before = list[Any](), list[Any]()

    def hold(route: Any) -> None:
        if before:
            route.continue_()
        else:
            held.append(route)

    page.route("**/source", hold)
    with page.expect_request("**/source"):
        looked_at(page, job_of_clip)
    places = [page.locator(one) for one in ("velum-stage", "velum-timeline", ".video-side")]
    before += [place.bounding_box() for place in places]
    for route in held:
        route.continue_()
    page.get_by_text("has no time stamps for its frames").wait_for()
    assert [place.bounding_box() for place in places] == before


@pytest.mark.exhaustive
def test_an_unplayable_video_shows_a_message_in_its_place(page: Any, job_of_clip: str) -> None:
    page.route("**/source", lambda route: route.fulfill(body=b"no film", content_type="video/webm"))
    failed = {"state": "failed", "share": None, "error": "It is damaged."}
    page.route("**/preview", lambda route: route.fulfill(json=failed))
    looked_at(page, job_of_clip)
    page.locator("velum-stage").get_by_text(re.compile("cannot play.*It is damaged")).wait_for()
    box = page.locator("velum-stage").bounding_box()
    assert box["height"] == pytest.approx(box["width"] * 240 / 320, abs=1)
    page.get_by_role("button", name=re.compile("^Face 1")).click()
    page.keyboard.press("x")
    page.get_by_role("heading", name="0 tracks hidden, 1 left visible").wait_for()


@pytest.mark.exhaustive
def test_an_unplayable_video_gets_a_preview(page: Any, tmp_path: Path) -> None:
    held, seen_shade = list[Any](), list[bool]()
    page.route("**/preview", lambda route: route.continue_() if seen_shade else held.append(route))
    reviewed(page, filmed(tmp_path / "clip.avi", "mpeg4"))
    page.locator(".video-shade").wait_for()
    seen_shade.append(True)
    for route in held:
        route.continue_()
    page.locator(".video-shade").wait_for(state="detached")
    for number in range(20):
        shows_brightness(page, 20 + 10 * number)
        page.keyboard.press("ArrowRight")
    assert page.get_by_text("has no time stamps for its frames").count() == 0


@pytest.mark.exhaustive
def test_tracks_are_split_deleted_and_restored_by_keyboard(page: Any, job_of_clip: str) -> None:
    looked_at(page, job_of_clip)
    page.get_by_role("button", name=re.compile("^Face 1")).click()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    page.get_by_text("Frame 6 of 20").wait_for()
    page.get_by_role("button", name="Split here").click()
    page.get_by_role("heading", name="2 tracks hidden").wait_for()
    page.keyboard.press("Delete")
    page.get_by_role("heading", name="1 track hidden").wait_for()
    page.keyboard.press("Home")
    page.keyboard.press("n")
    page.get_by_text(re.compile("Face 2 begins")).wait_for()
    for _ in range(2):
        page.keyboard.press("Control+z")
    assert page.get_by_role("button", name="Undo").is_disabled()
    page.keyboard.press("b")
    page.get_by_role("heading", name="2 tracks hidden").wait_for()
    page.keyboard.press("x")
    page.get_by_role("heading", name="1 track hidden, 1 left visible").wait_for()


@pytest.mark.exhaustive
@pytest.mark.parametrize("kind", ["uneven", *exhaustive(["clip"])])
def test_the_shown_frame_is_the_one_whose_number_is_shown(page: Any, kind: str, request: pytest.FixtureRequest) -> None:
    if kind == "clip":
        looked_at(page, request.getfixturevalue("job_of_clip"))
    else:
        reviewed(page, request.getfixturevalue(kind))
    for number in range(20):
        shows_brightness(page, 20 + 10 * number)
        page.keyboard.press("ArrowRight")
    assert page.get_by_text("has no time stamps for its frames").count() == (kind == "clip")


@pytest.mark.exhaustive
def test_jobs_are_filtered_downloaded_and_deleted(page: Any) -> None:
    hidden_in(page, picture("kept.png"), picture("gone.png"))
    page.goto("/#/jobs")
    page.get_by_role("link", name="gone.png").wait_for()
    page.get_by_label("Search by name").fill("gone")
    assert page.get_by_role("link", name="kept.png").count() == 0
    with page.expect_download() as download:
        page.get_by_role("button", name="Download gone.png").click()
    assert download.value.suggested_filename == "gone.hidden.png"
    page.get_by_role("button", name="Delete gone.png").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_role("heading", name="No jobs match").wait_for()
    page.get_by_label("Search by name").fill("")
    page.get_by_role("link", name="kept.png").wait_for()
    page.get_by_role("row").filter(has_text="kept.png").get_by_text("kB").wait_for()
    page.get_by_label("Choose kept.png").check()
    page.get_by_role("button", name="Start review").click()
    page.get_by_role("button", name="Approve", exact=True).click()  # no other file comes next
    page.get_by_text("1 approved").last.wait_for()
    page.goto("/#/jobs")
    page.get_by_label("Search by name").fill("kept")
    page.get_by_label("Choose all").check()
    with page.expect_download() as together:
        page.get_by_role("toolbar").get_by_role("button", name="Download").click()
    assert zipfile.ZipFile(together.value.path()).namelist() == ["kept.hidden.png"]
    page.get_by_role("toolbar").get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_role("heading", name="No jobs match").wait_for()


@pytest.mark.exhaustive
def test_a_timeline_of_ten_minutes_opens(page: Any, job_of_clip: str) -> None:
    one = {"label": "face", "xyxy": [10, 10, 40, 40], "score": 0.9, "found": "detected"}
    frames = [
        {"index": at, "regions": [{**one, "track": 1 + n + 6 * (at // 300)} for n in range(6)]} for at in range(18_000)
    ]
    told = json.dumps({"format": "velum-regions/1", "width": 320, "height": 240, "models": [], "frames": frames})
    page.route(
        f"**/v1/jobs/{job_of_clip}/regions", lambda route: route.fulfill(body=told, content_type="application/json")
    )
    page.goto(f"/#/review/{job_of_clip}")
    page.get_by_role("heading", name="360 tracks hidden").wait_for()
    page.locator("velum-timeline canvas").wait_for()
    page.locator(".timeline-names").get_by_text("Faces").wait_for()
    width = "document.querySelector('.timeline-inner').clientWidth"
    whole = page.evaluate(width)
    page.get_by_role("button", name="Zoom in on the timeline").click()
    assert page.evaluate(width) == pytest.approx(1.5 * whole, abs=2)
    page.locator(".timeline-inner").hover(position={"x": whole / 2, "y": 20})
    page.keyboard.down("Control")
    page.mouse.wheel(0, -400)
    page.keyboard.up("Control")
    page.wait_for_function(f"{width} > {5 * whole}")
    page.get_by_label("Go to …").fill("6000f")
    page.keyboard.press("Enter")
    page.get_by_text("Frame 6000 of 18000").wait_for()
    assert page.evaluate("document.querySelector('velum-timeline').scrollLeft") > 0, "the frame is brought into view"


@pytest.mark.exhaustive
@pytest.mark.parametrize(("scheme", "width"), [("dark", 360), *exhaustive([("light", 1280)])])
def test_the_review_pages_pass_the_accessibility_check(page: Any, job_of_clip: str, scheme: str, width: int) -> None:
    if not AXE.exists():
        pytest.skip("axe-core is not here: npm ci")
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    for at in (f"/#/review/{job_of_clip}", "/#/jobs", "/#/review", "/#/models", "/#/settings"):
        page.goto(at)
        page.locator("velum-timeline, tbody tr, .urls, form").first.wait_for()
        if at.endswith(job_of_clip):
            page.locator(".regions button").first.click()
        page.wait_for_timeout(300)
        page.evaluate(AXE.read_text())
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{at} sticks out sideways"
        found = page.evaluate("axe.run().then(({ violations }) => violations)")
        assert not found, json.dumps([(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found])


def test_a_video_is_reviewed_track_by_track_and_approved(page: Any, clip: Path) -> None:
    hidden_in(page, picture("next.png"))
    job = reviewed(page, clip)
    page.goto("/#/review")
    page.locator(f'td a[href*="{job}"]').first.click()  # other tests leave clips of this name in the list
    page.get_by_role("heading", name="1 track hidden").wait_for()
    page.keyboard.press("b")
    rendered(page)
    page.get_by_role("heading", name="2 tracks hidden").wait_for()
    approve = page.get_by_role("button", name="Approve, next")
    approve.click()
    page.get_by_role("dialog").get_by_text("2 tracks were not decided").wait_for()
    page.keyboard.press("Escape")
    page.keyboard.press("k")  # the one that was drawn is right; on to the other
    page.get_by_role("heading", name="2 tracks hidden, 1 decided").wait_for()
    page.get_by_text(re.compile("^Saved ")).wait_for()
    page.reload()
    page.get_by_role("heading", name="2 tracks hidden, 1 decided").wait_for()
    page.get_by_role("button", name=re.compile("^Face 1")).click()
    page.get_by_role("listitem").filter(has=page.get_by_role("img", name="decided")).get_by_text("Face 2").wait_for()
    page.keyboard.press("x")
    page.get_by_role("heading", name="1 track hidden, 1 left visible, 2 decided").wait_for()
    assert approve.is_disabled(), "what was changed has to be hidden first"
    page.get_by_label("Sound of videos").select_option("Mute")
    rendered(page)
    assert page.request.get(f"/v1/jobs/{job}").json()["audio"] == "silence"
    shows_in_result(page, x=20, y=15, dark=False)
    page.get_by_role("button", name="Side by side").click()
    widths = [page.locator(one).bounding_box()["width"] for one in ("velum-stage", "velum-result")]
    assert min(widths) > 200, "both are seen"
    page.get_by_role("button", name="Original").click()
    page.keyboard.press("k")
    page.get_by_text("Every track is decided.").wait_for()
    approve.click()
    page.get_by_text("1 approved").wait_for()
    page.wait_for_url(re.compile("/queue$"))
    assert job not in page.url
    assert page.request.get(f"/v1/jobs/{job}/report").json()["reviewers"]
    page.get_by_role("button", name=re.compile("^Approve")).wait_for()


@pytest.mark.exhaustive
def test_doubtful_results_come_first_and_leave_the_list_when_approved(page: Any, clip: Path) -> None:
    job = reviewed(page, clip)
    page.keyboard.press("Delete")
    page.mouse.click(*spot(page, 20, 15))
    page.get_by_text(re.compile("^Saved ")).wait_for()
    page.get_by_role("link", name="Back to review").click()
    row = page.get_by_role("row").filter(has=page.locator(f'a[href*="{job}"]'))
    row.get_by_text("corrections not applied").wait_for()
    assert not row.get_by_role("button", name=re.compile("^Approve")).count(), "corrections would be lost"
    row.get_by_role("link", name="clip.webm", exact=True).click()
    rendered(page)
    page.get_by_role("link", name="Back to review").click()
    page.get_by_role("row").nth(1).get_by_text("nothing found").wait_for()
    page.get_by_role("row").nth(1).get_by_role("button", name="Approve clip.webm").click()
    page.get_by_text("1 approved").wait_for()
    assert page.request.get(f"/v1/jobs/{job}/report").json()["reviewers"]
    page.get_by_role("heading", name="Review").wait_for()
    for row in page.get_by_role("row").all()[1:]:
        looked = row.get_by_text(re.compile("looked at|open decision")).count()
        assert row.get_by_role("button").count() == looked, "only what was looked at can be approved here"
