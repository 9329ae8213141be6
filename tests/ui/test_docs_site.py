"""The site of `make docs` in a browser: it works from a folder, and loads nothing from other hosts."""

from pathlib import Path
from typing import Any

import pytest

BUILT = Path(__file__).parents[2] / "build/docs/html"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not BUILT.is_dir(), reason="the site is not built here; run 'make docs'"),
]


def test_search_works_in_pages_opened_from_a_folder(browser: Any) -> None:
    fetched: list[str] = []
    page = browser.new_page()
    page.on("request", lambda request: fetched.append(request.url))
    page.goto((BUILT / "index.html").as_uri())
    page.keyboard.press("Control+k")
    page.get_by_role("combobox", name="Search").fill("pixelate")
    page.get_by_role("option").first.wait_for()
    assert page.get_by_role("option").filter(has_text="Techniques").count() > 0
    assert [url for url in fetched if not url.startswith(("file:", "data:", "about:", "blob:"))] == []
