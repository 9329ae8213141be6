"""Jobs, models and videos on the page, in a browser, against a service of its own process."""

import io
import re
from typing import Any

import av
import numpy as np
import pytest
from tests.ui.test_page import AXE, checked, hidden_in, picture

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def clip(frames: int = 20) -> dict[str, Any]:
    """A short video of moving colours."""
    data = io.BytesIO()
    base = np.indices((96, 128)).sum(axis=0).astype(np.uint8)
    with av.open(data, "w", format="mp4") as container:
        stream = container.add_stream("libx264", 25, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for index in range(frames):
            pixels = np.dstack([np.roll(base, index, 1), base, 255 - base])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24")))
        container.mux(stream.encode(None))
    return {"name": "clip.mp4", "mimeType": "video/mp4", "buffer": data.getvalue()}


def looked_over(page: Any) -> None:
    """Nothing that keeps anyone from using it, where axe-core is here (npm ci)."""
    if AXE.exists():
        checked(page)


def test_jobs_are_listed_looked_at_and_deleted(page: Any) -> None:
    hidden_in(page, picture("mine.png"))
    page.get_by_role("link", name="Jobs").click()
    row = page.get_by_role("listitem").filter(has_text="mine.png").first
    row.get_by_text("Done").wait_for()
    with page.expect_download() as download:
        row.get_by_role("button", name="Download mine.png").click()
    assert download.value.suggested_filename == "mine.hidden.png"
    looked_over(page)
    before = page.get_by_role("listitem").filter(has_text="mine.png").count()
    row.get_by_role("button", name="Delete mine.png").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.wait_for_function(
        "n => [...document.querySelectorAll('velum-jobs li')].filter((li) => /mine/.test(li.textContent)).length < n",
        arg=before,
    )
    page.get_by_label("Show").select_option("cancelled")
    page.get_by_role("heading", name="No such jobs").wait_for()


def test_who_is_in_a_video_is_left_visible_and_hidden_again(page: Any) -> None:
    hidden_in(page, clip())
    page.get_by_role("link", name="Look at clip.mp4").click()
    track = page.get_by_role("checkbox", name="Face 1")
    track.wait_for()
    page.get_by_role("status").filter(has_text="1 hidden, 0 left visible").wait_for()
    looked_over(page)
    page.get_by_role("button", name="On one frame").click()
    page.get_by_text("Frame 2 of 20").wait_for()
    track.uncheck()
    page.get_by_role("button", name="Undo").click()
    assert track.is_checked()
    page.get_by_role("button", name="Redo").click()
    page.get_by_role("button", name="Hide it this way").click()
    page.get_by_text("Done: the picture shows your corrections.").last.wait_for(timeout=60_000)
    job = page.url.rpartition("/")[2]
    assert page.request.get(f"/v1/jobs/{job}/report").json()["tracks"] == []
    page.get_by_text("Nothing was found.").wait_for()


def test_models_are_listed(page: Any) -> None:
    page.goto("/#/models")
    row = page.get_by_role("row").filter(has_text="centerface")
    row.get_by_text("default").wait_for()
    assert page.get_by_role("row").count() > 5
    looked_over(page)


def test_only_pages_that_are_there_are_linked(page: Any) -> None:
    page.goto("/")
    links = page.get_by_role("navigation").get_by_role("link")
    links.first.wait_for()
    assert links.all_inner_texts() == ["Hide", "Jobs", "Models"]
    for link in links.all():
        link.click()
        page.get_by_role("heading", level=1).first.wait_for()
        assert re.search(r"\w", page.get_by_role("main").inner_text())
