"""The models on the page and its links, in a browser, with a service in its own process."""

from typing import Any

import pytest
from tests.ui.test_page import AXE, checked

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.mark.exhaustive
def test_models_are_listed(page: Any) -> None:
    page.goto("/#/models")
    row = page.get_by_role("row").filter(has_text="centerface")
    row.get_by_text("default").wait_for()
    assert page.get_by_role("row").count() > 5
    if AXE.exists():
        checked(page)


@pytest.mark.exhaustive
def test_only_existing_pages_are_linked(page: Any) -> None:
    page.goto("/")
    links = page.get_by_role("navigation").get_by_role("link")
    links.first.wait_for()
    assert links.all_inner_texts() == ["Hide", "Jobs", "Review", "Models", "Settings"]
    for link in links.all():
        link.click()
        page.get_by_role("heading", level=1).first.wait_for()
