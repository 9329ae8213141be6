"""Pages for operators of the service: keys, inference APIs, and trying a model."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tests.bmw.fake_inference_api import StubInference
from tests.train.training_jobs import TrainingJobs
from tests.ui.conftest import Locked, served, watched
from tests.ui.test_page import AXE, checked, picture
from tests.ui.test_review import shows_brightness

from velum.settings import Settings
from velum.settings.schema import JobsSettings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.mark.exhaustive
def test_a_key_is_made_shown_once_and_revoked(browser: Any, locked: Locked) -> None:
    operator = locked.key("op", "anonymize", "operate")
    for page in watched(browser, locked.address):
        signed_in(page, operator)
        page.get_by_label("Name").fill("newsroom")
        page.get_by_label("review").check()
        page.get_by_role("button", name="Create a key").click()
        secret = page.locator(".secret").text_content()
        assert re.fullmatch(r"velum_[0-9a-f]{12}_[\w-]{43}", secret)
        row = page.get_by_role("row", name=re.compile("newsroom"))
        assert "hide, review" in row.text_content()
        page.get_by_role("link", name="Models").click()
        page.get_by_role("link", name="Settings").click()
        row.wait_for()
        assert page.locator(".secret").count() == 0
        page.get_by_role("button", name="Revoke the key of newsroom").click()
        page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
        row.get_by_text("revoked").wait_for()
        page.get_by_label("hide").uncheck()
        page.get_by_label("Name").fill("x")
        page.get_by_role("button", name="Create a key").click()
        page.get_by_text("Choose what it may do.").last.wait_for()
        page.complaints.clear()


def signed_in(page: Any, secret: str) -> None:
    page.goto("/#/settings")
    page.get_by_role("textbox", name="Key").fill(secret)
    page.get_by_role("button", name="Sign in").click()


@pytest.mark.exhaustive
def test_with_a_key_a_video_streams_and_results_are_saved(
    browser: Any,
    locked: Locked,
    clip: Path,
) -> None:
    secret = locked.key("newsdesk", "anonymize", "review")
    for page in watched(browser, locked.address):
        page.goto("/")
        page.get_by_role("textbox", name="Key").fill(secret)
        page.get_by_role("button", name="Sign in").click()
        page.locator(".drop input").first.set_input_files(clip)
        page.get_by_role("button", name=re.compile("Hide in 1 file")).click()
        page.get_by_role("heading", name="1 of 1 done").wait_for()
        page.get_by_role("link", name="Review").click()
        page.get_by_role("link", name="clip.webm", exact=True).click()
        page.get_by_role("heading", name="1 track hidden").wait_for()
        shows_brightness(page, 20)
        assert page.evaluate("document.querySelector('velum-stage video').src").startswith(locked.address)
        assert page.evaluate("document.cookie") == ""
        with page.expect_download() as got:
            page.get_by_role("button", name="Download").click()
        assert got.value.path().stat().st_size > 1000
        page.complaints.clear()  # the first request, before the key was given


@pytest.mark.exhaustive
def test_without_required_credentials_the_page_says_how_to_begin(page: Any) -> None:
    page.goto("/#/settings")
    page.get_by_role("row", name="Files in work").get_by_text(re.compile(r"\d+ waiting, \d+ running")).wait_for()
    page.get_by_role("row", name="Free disk space").wait_for()
    page.get_by_text("No key is required").wait_for()
    page.get_by_text("velum keys add NAME").wait_for()
    assert page.get_by_role("button", name="Create a key").count() == 0


@pytest.mark.exhaustive
def test_a_user_without_the_scope_operate_is_informed(browser: Any, locked: Locked) -> None:
    secret = locked.key("visitor", "anonymize")
    for page in watched(browser, locked.address):
        signed_in(page, secret)
        page.get_by_text("This needs a key with the scope operate.").wait_for()
        page.complaints.clear()


@pytest.mark.exhaustive
def test_an_inference_api_is_added_and_removed(page: Any) -> None:
    with StubInference("OVD") as api:
        page.goto("/#/settings")
        page.get_by_text("None yet.").wait_for()
        field = page.get_by_label("Address")
        field.fill("http://127.0.0.1:9/")
        page.get_by_role("button", name="Add").click()
        page.get_by_text(re.compile("wrong url format|not reachable")).last.wait_for()
        field.fill(api.url.rstrip("/"))
        page.get_by_role("button", name="Add").click()
        page.get_by_role("button", name=f"Remove {api.url}").click()
        page.get_by_text("None yet.").wait_for()


@pytest.mark.exhaustive
def test_a_model_is_tried_on_an_image(page: Any) -> None:
    page.goto("/#/models")
    page.get_by_role("heading", name="Try one").wait_for()
    page.locator("input[name=trial]").set_input_files(picture())
    page.get_by_text(re.compile(r"^1 found, in \d+ ms$")).wait_for()
    canvas = page.locator("canvas.trial")
    canvas.wait_for()
    assert canvas.get_attribute("width") == "320"
    text = {"name": "a.txt", "mimeType": "image/png", "buffer": b"no picture"}
    page.locator("input[name=trial]").set_input_files(text)
    page.locator("velum-models .note.bad").wait_for()
    page.complaints.clear()


@pytest.mark.exhaustive
def test_two_reviewers_share_a_queue_and_send_a_photo_back(browser: Any, locked: Locked) -> None:
    for page in watched(browser, locked.address):
        page.goto("/")
        page.get_by_role("textbox", name="Key").fill(locked.key("anna", "anonymize", "review"))
        page.get_by_role("button", name="Sign in").click()
        page.locator(".drop input").first.set_input_files(picture("shared.png"))
        page.get_by_role("button", name=re.compile("Hide in 1 file")).click()
        page.get_by_role("heading", name="1 of 1 done").wait_for()
        page.get_by_role("link", name="Review").click()
        row = page.get_by_role("row", name=re.compile("shared.png"))
        row.get_by_role("button", name="Take it").click()
        row.get_by_text("with anna").wait_for()
        row.get_by_role("link", name="shared.png", exact=True).click()
        page.get_by_text("0 comments").click()
        page.get_by_label("Comment, or why you send it back").fill("The sign in the back.")
        page.get_by_role("button", name="Send back").click()
        page.get_by_text("Sent back: The sign in the back.").wait_for()
        page.get_by_role("link", name="Back to review").click()
        row.get_by_text("sent back").wait_for()
        page.complaints.clear()  # the first request, before the key was given


@pytest.mark.exhaustive
@pytest.mark.skipif(find_spec("torch") is not None, reason="what the page offers where torch is missing")
def test_a_new_model_is_compared_switched_to_and_back(browser: Any, tmp_path: Path) -> None:
    places = {"VELUM_MODELS": tmp_path / "models", "VELUM_CACHE": tmp_path / "cache"}
    settings = Settings(
        models=places["VELUM_MODELS"], cache=places["VELUM_CACHE"], jobs=JobsSettings(data=tmp_path / "data")
    )
    jobs = TrainingJobs.of(settings, tmp_path / "discs")
    jobs.add_present()
    jobs.leave_state(jobs.submit())  # the service's worker makes the model of what a dead process has left
    for address in served(tmp_path, **{name: str(path) for name, path in places.items()}):
        for page in watched(browser, address):
            page.goto("/#/models")
            page.get_by_text("pip install torch").wait_for()
            assert page.get_by_role("button", name="Start training").count() == 0
            article = page.get_by_role("article", name="round")
            article.get_by_role("columnheader", name="Model in use").wait_for()
            row = article.get_by_role("row", name=re.compile("disc: found")).text_content()
            assert re.search(r"[0-3] of 4, .* \(.*\)4 of 4, 100 % \(\d+ % to 100 %\)$", row)
            if AXE.exists():
                checked(page)
            page.set_viewport_size({"width": 360, "height": 740})
            assert page.evaluate("document.documentElement.scrollWidth") <= 360
            article.get_by_role("button", name="Switch over to the new model round").click()
            article.get_by_text("in use", exact=True).wait_for()
            page.get_by_role("button", name="Switch back to the round before").click()
            article.get_by_role("button", name="Switch over to the new model round").wait_for()
            article.get_by_role("button", name="Delete the training of round").click()
            page.get_by_role("dialog").get_by_role("button", name="Delete").click()
            article.wait_for(state="detached")
        for page in watched(browser, address, locale="de-DE"):
            page.goto("/#/models")
            page.get_by_role("heading", name="Ein Modell trainieren").wait_for()


@pytest.mark.exhaustive
@pytest.mark.skipif(find_spec("torch") is None, reason="training needs torch")
def test_a_training_is_started_watched_cancelled_and_continued(browser: Any, tmp_path: Path) -> None:
    places = {"VELUM_MODELS": tmp_path / "models", "VELUM_TRAIN_FOLDERS": tmp_path / "discs"}
    jobs = TrainingJobs.of(
        Settings(models=places["VELUM_MODELS"], jobs=JobsSettings(data=tmp_path / "data")), tmp_path / "discs"
    )
    jobs.add_base()
    for address in served(tmp_path, **{name: str(path) for name, path in places.items()}):
        for page in watched(browser, address):
            page.goto("/#/models")
            page.get_by_label("Name of the model").fill("round")
            page.get_by_label("Learn from").select_option("folder")
            page.get_by_label("File or folder of the labels").fill("truth.json")
            page.get_by_label("Start from").select_option("tiny")
            page.get_by_label("Minutes").fill("1")
            page.get_by_role("button", name="Start training").click()
            article = page.get_by_role("article", name="round")
            article.get_by_text(re.compile(r"step \d+, loss \d+\.\d+ · AP50 \d\.\d+ · \d+ s left")).wait_for()
            article.get_by_role("button", name="Cancel the training of round").click()
            article.get_by_role("button", name="Continue the training of round").click()
            article.get_by_role("button", name="Cancel the training of round").click()
            article.get_by_role("button", name="Delete the training of round").wait_for()
