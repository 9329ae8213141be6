"""Lists of files on the page: as a grid, and with small pictures; in a browser, with a service in its own process."""

from typing import Any

import pytest
from tests.ui.test_page import AXE, checked, hidden_in, looked_at, picture

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

_DRAWN = """() => {
    const crop = document.querySelector('velum-crop canvas');
    return crop && crop.getContext('2d').getImageData(44, 44, 1, 1).data[3] === 255;
}"""


def test_files_are_shown_as_a_grid_and_regions_by_what_they_show(page: Any, job_of_clip: str) -> None:
    hidden_in(page, picture("tiled.png"))
    page.goto("/#/jobs")
    page.get_by_role("button", name="Grid", exact=True).click()
    card = page.locator("tr").filter(has_text="tiled.png").first
    picture_of = card.locator("velum-thumbnail")
    picture_of.locator("img").wait_for()
    assert picture_of.bounding_box()["width"] > 150
    picture_of.hover()
    page.locator("velum-thumbnail.original").wait_for()
    page.mouse.move(0, 0)
    page.locator("velum-thumbnail.original").wait_for(state="detached")
    card.get_by_role("checkbox").focus()
    page.keyboard.press("Tab")
    page.locator("velum-thumbnail.original").wait_for()
    page.keyboard.press("Tab")
    page.locator("velum-thumbnail.original").wait_for(state="detached")
    page.reload()
    page.locator("velum-jobs.grid tbody tr").first.wait_for()
    page.get_by_role("button", name="List", exact=True).click()
    card.get_by_role("link").click()
    page.wait_for_function(_DRAWN)
    page.goto(f"/#/review/{job_of_clip}")
    page.get_by_role("heading", name="1 track hidden").wait_for()
    page.wait_for_function(_DRAWN)


_FIRST_FRAME_LOST = """(() => {
    const add = EventTarget.prototype.addEventListener;
    let lost = 1;
    HTMLVideoElement.prototype.addEventListener = function (name, ...rest) {
        if (name !== 'seeked' || this.isConnected || lost-- <= 0) add.call(this, name, ...rest);
    };
})()"""


@pytest.mark.exhaustive
def test_a_frame_that_does_not_come_in_time_is_tried_again(page: Any, job_of_clip: str) -> None:
    page.add_init_script(_FIRST_FRAME_LOST)
    page.goto(f"/#/review/{job_of_clip}")
    page.get_by_role("heading", name="1 track hidden").wait_for()
    page.wait_for_function(_DRAWN)


@pytest.mark.exhaustive
def test_the_grid_is_accessible(page: Any, job_of_clip: str) -> None:
    for at in ("/#/jobs", "/#/review"):
        page.goto(at)
        page.get_by_role("button", name="Grid", exact=True).click()
        page.locator("tbody tr").first.wait_for()
        if AXE.exists():
            checked(page)


@pytest.mark.exhaustive
def test_regions_to_doubt_come_first(page: Any) -> None:
    hidden_in(page, picture())
    looked_at(page, "one.png")
    page.get_by_role("button", name="Correct").click()
    page.get_by_role("button", name="Add a box in the middle").click()
    assert [text.split("\n")[0] for text in page.locator(".regions button").all_inner_texts()] == ["Face 1", "Face 2"]


def test_the_picture_of_a_video_is_zoomed_to_a_track(page: Any, job_of_clip: str) -> None:
    page.goto(f"/#/review/{job_of_clip}")
    page.locator(".regions button").first.click()
    page.wait_for_function("() => document.querySelector('velum-stage video').readyState >= 2")
    before = page.locator("velum-stage").bounding_box()["width"]
    page.keyboard.press("z")
    assert page.locator("velum-stage").bounding_box()["width"] > 1.4 * before
    page.get_by_role("group", name="Zoom of the picture").get_by_role("button", name="Fit").click()
    assert page.locator("velum-stage").bounding_box()["width"] == before
    page.locator("velum-stage").hover()
    page.keyboard.down("Control")
    page.mouse.wheel(0, -200)
    page.keyboard.up("Control")
    page.wait_for_function(
        "width => document.querySelector('velum-stage').getBoundingClientRect().width > 2 * width", arg=before
    )


@pytest.mark.exhaustive
def test_the_activity_lists_who_did_what(page: Any) -> None:
    hidden_in(page, picture("done.png"))
    page.goto("/#/review")
    page.get_by_role("link", name="Activity").click()
    page.locator(".activity li").filter(has_text="done.png").filter(has_text="handed in").first.wait_for()
    if AXE.exists():
        checked(page)
    page.get_by_role("link", name="done.png").first.click()
    page.locator("velum-editor h2").wait_for()
