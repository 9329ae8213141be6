"""Touch, the clipboard, and a proxy between the page and the service."""

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.ui.conftest import watched
from tests.ui.proxy import proxied
from tests.ui.test_page import hidden_in, looked_at, picture, rendered, spot
from tests.ui.test_review import looked_at as video_looked_at
from tests.ui.test_review import spot as spot_of_video

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

REGIONS = "document.querySelector('velum-editor').history.now.length"
SCALE = "document.querySelector('velum-viewer').view.scale"


@pytest.fixture
def touched(browser: Any, service: str) -> Iterator[Any]:
    """A page on a screen that is touched."""
    yield from watched(browser, service, has_touch=True)


class Fingers:
    """Touches by number, in pixels of the page."""

    def __init__(self, page: Any) -> None:
        self._session = page.context.new_cdp_session(page)
        self._down: dict[int, tuple[float, float]] = {}

    def put(self, number: int, at: tuple[float, float]) -> None:
        kind = "touchMove" if number in self._down else "touchStart"
        self._down[number] = at
        self._send(kind)

    def lift(self, *numbers: int) -> None:
        for number in numbers:
            del self._down[number]
        self._send("touchEnd")

    def _send(self, kind: str) -> None:
        points = [{"x": x, "y": y, "id": number} for number, (x, y) in self._down.items()]
        self._session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


@pytest.mark.exhaustive
def test_one_finger_draws_and_two_fingers_zoom(touched: Any) -> None:
    page = touched
    hidden_in(page, picture())
    looked_at(page, "one.png")
    page.get_by_role("button", name="Correct").click()
    page.get_by_role("button", name="Draw a box").click()
    fingers = Fingers(page)
    fingers.put(1, spot(page, 100, 100))
    fingers.put(1, spot(page, 140, 130))
    fingers.lift(1)
    assert page.evaluate(REGIONS) == 2, "one finger draws"
    before = page.evaluate(SCALE)
    for name in ("Draw a box", "Paint", "Draw an outline", "Select, move, resize"):
        page.get_by_role("button", name=name).click()
        fingers.put(1, spot(page, 120, 60))
        fingers.put(1, spot(page, 122, 64))
        fingers.put(2, spot(page, 160, 100))
        fingers.put(1, spot(page, 110, 50))
        fingers.put(2, spot(page, 180, 120))
        fingers.lift(2)
        fingers.put(1, spot(page, 100, 40))
        fingers.lift(1)
        assert page.evaluate(REGIONS) == 2, name
    assert page.evaluate(SCALE) > 1.2 * before, "two fingers zoom"
    assert page.evaluate("document.querySelector('velum-editor').way.length") == 0


@pytest.mark.exhaustive
def test_a_second_finger_does_not_draw(touched: Any, job_of_clip: str) -> None:
    page = touched
    video_looked_at(page, job_of_clip)
    page.get_by_role("button", name="Draw").tap()
    page.get_by_label("How long before and after").select_option("In this frame only")
    fingers = Fingers(page)
    fingers.put(1, spot_of_video(page, 100, 100))
    fingers.put(1, spot_of_video(page, 120, 120))
    fingers.put(2, spot_of_video(page, 200, 150))
    fingers.put(2, spot_of_video(page, 220, 180))
    fingers.lift(2)
    fingers.lift(1)
    page.get_by_role("heading", name="1 track hidden").wait_for()
    fingers.put(1, spot_of_video(page, 100, 100))
    fingers.put(1, spot_of_video(page, 140, 130))
    fingers.lift(1)
    page.get_by_role("heading", name="2 tracks hidden").wait_for()


@pytest.mark.exhaustive
def test_an_image_is_pasted_from_the_clipboard(page: Any) -> None:
    page.goto("/")
    page.locator(".pill").first.wait_for()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate(
        """async (data) => {
            const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
            const image = new Blob([bytes], { type: 'image/png' });
            await navigator.clipboard.write([new ClipboardItem({ 'image/png': image })]);
        }""",
        base64.b64encode(picture()["buffer"]).decode(),
    )
    page.keyboard.press("Control+v")
    page.locator(".files li").wait_for()
    page.locator(".go button").click()
    page.locator(".files .badge").wait_for()


@pytest.mark.exhaustive
def test_the_whole_page_works_under_a_path_of_a_proxy(browser: Any, service: str) -> None:
    with proxied(service, "/tools/velum/") as (address, strays):
        for page in watched(browser, address):
            page.goto(address)
            page.locator(".pill").first.wait_for()
            page.locator(".drop input").first.set_input_files(picture())
            page.locator(".go button").click()
            page.locator(".files .badge").wait_for()
            looked_at(page, "one.png")
            page.get_by_role("button", name="Correct").click()
            page.get_by_role("button", name="Add a box in the middle").click()
            rendered(page)
            with page.expect_download() as got:
                page.get_by_role("button", name="Download").click()
            assert not np.asarray(Image.open(got.value.path()).convert("RGB"))[8:22, 13:27].any()
            for name in ("Jobs", "Review", "Models"):
                page.get_by_role("link", name=name, exact=True).click()
                page.get_by_role("heading", level=1).wait_for()
        assert strays == []
