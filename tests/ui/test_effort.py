"""How many clicks and keys a review takes, in a browser, with a service in its own process."""

import re
from pathlib import Path
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
    page.route("**/draft", lambda route: (page.wait_for_timeout(400), route.continue_()))  # as on a busy machine
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


_COUNT_ROWS = """() => {
    window.rows = 0;
    new MutationObserver((all) => { window.rows += all.reduce((sum, { addedNodes }) => sum + addedNodes.length, 0); })
        .observe(document.querySelector('velum-tracks > .regions'), { childList: true });
}"""


@pytest.mark.parametrize(("tracks", "single"), [(12, 4), *exhaustive([(160, 40)])])
def test_a_track_is_decided_by_a_key_and_those_of_one_frame_together(
    page: Any, clip: Path, tracks: int, single: int
) -> None:
    hidden_in(page, clip)
    page.goto("/#/jobs")
    page.get_by_role("link", name=clip.name).first.click()
    page.get_by_role("heading", name="1 track hidden").wait_for()
    path = f"/v1/jobs/{page.url.rpartition('/')[2]}/regions"
    answer = page.request.get(path)
    many = answer.json()
    for frame in many["frames"]:
        frame["regions"] = [
            {"label": "face", "xyxy": [x, y, x + 9, y + 9], "score": 0.9, "found": "detected", "track": 1 + number}
            for number in range(tracks + single)
            if number % 10 <= frame["index"] < number % 10 + (10 if number < tracks else 1)
            for x, y in [(10 + 15 * (number % 20), 10 + 20 * (number // 20))]
        ]
    put = page.request.put(path, data=many, headers={"if-match": answer.headers["etag"]})
    assert put.ok, put.text()
    page.reload()
    page.get_by_role("heading", name=f"{tracks + single} tracks hidden").wait_for()
    page.locator(".regions button").first.click()
    page.evaluate(_COUNT_ROWS)
    for _ in range(tracks):
        page.keyboard.press("k")
    page.get_by_text(f"{single} in single frames").wait_for()
    assert page.locator("velum-tracks details[open]").count(), "the last key shows what is in single frames"
    assert page.evaluate("window.rows") <= 2 * tracks, "a key makes two rows anew, however many there are"
    page.keyboard.press("r")
    page.get_by_text("Every track is decided.").wait_for()
    page.get_by_role("heading", name=f"{tracks + single} tracks hidden, {tracks + single} decided").wait_for()
