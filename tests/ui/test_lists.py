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
    page.reload()
    page.locator("velum-jobs.grid tbody tr").first.wait_for()
    page.get_by_role("button", name="List", exact=True).click()
    card.get_by_role("link").click()
    page.wait_for_function(_DRAWN)
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
