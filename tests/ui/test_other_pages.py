"""The models on the page and its links, in a browser, with a service in its own process."""

from pathlib import Path
from typing import Any

import pytest
from tests.ui.conftest import served, watched
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
def test_a_missing_model_is_fetched_by_a_button(page: Any) -> None:
    listed = page.request.get("/v1/models").json()
    (model,) = (model for model in listed["models"] if model["name"] == "yunet")
    model |= {"here": False, "obtainable": True}
    asked = list[str]()

    def locate(route: Any) -> None:
        asked.append(route.request.post_data_buffer.decode("latin-1"))
        model["here"] = True
        route.fulfill(json={"frames": [{"index": 0, "regions": []}]})

    page.route("**/v1/models", lambda route: route.fulfill(json=listed))
    page.route("**/v1/locate", locate)
    page.goto("/#/models")
    page.get_by_role("button", name="Fetch yunet").click()
    page.get_by_text("yunet is on the server now.").wait_for()
    page.get_by_role("row", name="yunet").get_by_text("yes", exact=True).wait_for()
    (body,) = asked
    assert '"locate":"yunet"' in body


@pytest.mark.exhaustive
def test_only_existing_pages_are_linked(page: Any) -> None:
    page.goto("/")
    links = page.get_by_role("navigation").get_by_role("link")
    links.first.wait_for()
    assert links.all_inner_texts() == ["Hide", "Jobs", "Review", "Models", "Settings"]
    for link in links.all():
        link.click()
        page.get_by_role("heading", level=1).first.wait_for()


@pytest.mark.exhaustive
def test_the_installed_page_takes_shared_files_and_explains_a_server_that_is_away(
    browser: Any, stand_in: Path, tmp_path: Path
) -> None:
    service = served(tmp_path, PYTHONPATH=str(stand_in))
    for page in watched(browser, next(service), service_workers="allow"):
        page.goto("/")
        page.wait_for_function("() => navigator.serviceWorker.controller")
        page.evaluate("""() => {
            const form = new FormData();
            form.append('files', new File(['x'], 'holiday.png', { type: 'image/png' }));
            return fetch('share', { method: 'POST', body: form });
        }""")
        page.reload()
        page.get_by_text("holiday.png").wait_for()
        page.reload()
        page.get_by_role("button", name="Choose files").wait_for()
        assert page.get_by_text("holiday.png").count() == 0, "they are handed over once"
        service.close()
        page.goto("/#/jobs")
        page.reload()
        page.get_by_role("heading", name="The server does not answer").wait_for()
        page.get_by_role("link", name="Try again").wait_for()
        if AXE.exists():
            checked(page)
        page.complaints.clear()
