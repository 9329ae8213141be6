"""How many clicks and keys a review takes, in a browser, with a service in its own process."""

import re
from typing import Any

import pytest
from tests.rows import exhaustive
from tests.ui.test_page import drag, hidden_in, picture

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

_COUNT = """() => {
    window.clicks = 0;
    addEventListener('click', ({ target }) => { window.clicks += target.tagName === 'CANVAS' ? 0 : 1; }, true);
}"""


@pytest.mark.parametrize("photos", [3, *exhaustive([12])])
def test_a_corrected_photo_takes_a_click_beside_the_correction(page: Any, photos: int) -> None:
    names = [f"c{photos}-{number}.png" for number in range(photos)]
    hidden_in(page, *(picture(name) for name in names))
    page.goto("/#/jobs")
    for name in names:
        page.get_by_role("checkbox", name=f"Choose {name}").check()
    page.get_by_role("button", name="Start review").click()
    page.evaluate(_COUNT)
    page.get_by_role("button", name="Correct").click()
    page.get_by_role("button", name="Draw a box").click()
    results = []
    for number in range(photos):
        page.wait_for_function(
            "() => document.querySelector('velum-editor')?.history.now.length === 1"
            " && document.querySelector('[data-name=tool-box][aria-pressed=true]')"
        )
        drag(page, (100, 100), (140, 130))
        page.wait_for_function(
            "() => document.querySelector('velum-editor').histories[0].now.length === 2"
            " && document.querySelector('velum-approve button')?.disabled === false"
        )
        assert page.evaluate("document.querySelector('velum-viewer').mode") == "after", "the result is shown"
        job = page.url.split("jobs/")[1].split("/")[0]
        results.append(page.request.get(f"/v1/jobs/{job}/regions").json()["frames"][0]["regions"])
        page.get_by_role("button", name=re.compile("^Approve")).click()
        page.wait_for_function("job => !location.hash.includes(job)", arg=job)
        assert page.request.get(f"/v1/jobs/{job}/report").json()["reviewers"], number
    assert [len(regions) for regions in results] == [2] * photos
    clicks = page.evaluate("window.clicks")
    assert clicks == photos + 2, "one for each photo, and twice for the tool"
