"""Archives and documents on the page, in a browser, with a service in its own process."""

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.ui.test_page import AXE, checked, hidden_in, picture

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def archive(**members: bytes) -> dict[str, Any]:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        for name, content in members.items():
            file.writestr(name.replace("_", "."), content)
    return {"name": "trip.zip", "mimeType": "application/zip", "buffer": data.getvalue()}


def test_an_archive_is_looked_at_member_by_member_and_approved(page: Any) -> None:
    one, two = picture()["buffer"], picture(width=200)["buffer"]
    hidden_in(page, archive(one_png=one, notes_txt=b"x", two_png=two))
    page.get_by_text("2 faces hidden").wait_for()
    page.get_by_role("link", name="View trip.zip").click()
    page.get_by_role("heading", name="2 faces hidden").wait_for()
    page.get_by_text("1 unchanged").click()
    page.get_by_text("notes.txt").wait_for()
    page.goto(f"{page.url}/queue")
    approve = page.get_by_role("button", name=re.compile("^Approve"))
    page.locator("li.seen").get_by_role("button", name="one.png").wait_for()
    assert approve.is_disabled(), "one picture was not shown"
    page.get_by_role("button", name="one.png").focus()
    page.keyboard.press("ArrowDown")
    page.wait_for_function("() => !document.querySelector('velum-approve button').disabled")
    assert page.evaluate("document.querySelector('velum-viewer').width") == 200
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "trip.hidden.zip"
    with zipfile.ZipFile(download.value.path()) as result:
        assert Image.open(result.open("two.png")).convert("L").crop((13, 8, 27, 22)).getextrema() == (0, 0)
    approve.click()
    page.get_by_text("1 approved").wait_for()


@pytest.mark.exhaustive
def test_the_pictures_of_a_pdf_are_named_by_page(page: Any) -> None:
    pytest.importorskip("pikepdf")
    data = io.BytesIO()
    pages = [Image.open(io.BytesIO(picture()["buffer"])).convert("RGB") for _ in range(2)]
    pages[0].save(data, "PDF", save_all=True, append_images=pages[1:])
    hidden_in(page, {"name": "scan.pdf", "mimeType": "application/pdf", "buffer": data.getvalue()})
    page.get_by_role("link", name="View scan.pdf").click()
    page.get_by_role("button", name="page 2, image 1").click()
    page.get_by_text("2 of 2").wait_for()
    if AXE.exists():
        checked(page)


@pytest.mark.exhaustive
def test_a_video_in_an_archive_is_played_beside_its_original_and_then_approved(page: Any, clip: Path) -> None:
    hidden_in(page, archive(clip_webm=clip.read_bytes()))
    page.get_by_role("link", name="View trip.zip").click()
    page.get_by_role("heading", name="1 face hidden").wait_for()
    page.goto(f"{page.url}/queue")
    approve, play = page.get_by_role("button", name=re.compile("^Approve")), page.get_by_label("Play", exact=True)
    approve.wait_for()
    page.locator("velum-film button.primary:not([disabled])").wait_for()
    page.wait_for_function("() => [...document.querySelectorAll('velum-film video')].every((e) => e.readyState > 1)")
    page.get_by_text("Frame 1 of 20. Hidden here: Face").wait_for()
    page.get_by_role("button", name="Original", exact=True).click()
    play.click()
    page.wait_for_function("() => document.querySelectorAll('velum-film video')[1].ended")
    assert approve.is_disabled(), "the result was not seen"
    page.get_by_role("button", name="Side by side").click()
    page.get_by_label("Position").fill("7")
    page.get_by_text("Frame 8 of 20").wait_for()
    if AXE.exists():
        checked(page)
    play.click()
    page.wait_for_function("() => !document.querySelector('velum-approve button').disabled")


@pytest.mark.exhaustive
def test_pages_of_a_pdf_are_made_pictures(page: Any) -> None:
    pytest.importorskip("pikepdf")
    data = io.BytesIO()
    Image.new("RGB", (300, 200), "white").save(data, "PDF", resolution=100)
    page.goto("/")
    page.locator(".drop input").first.set_input_files(
        [{"name": "scan.pdf", "mimeType": "application/pdf", "buffer": data.getvalue()}]
    )
    page.get_by_label("Pixels an inch").wait_for(state="hidden")
    page.get_by_label("Pages of PDFs").select_option(label="As pictures")
    page.get_by_text("text can no longer be selected or searched").wait_for()
    page.get_by_label("Pixels an inch").select_option(label="300")
    page.get_by_role("button", name="Hide in 1 file").click()
    page.get_by_role("link", name="View scan.pdf").click()
    page.get_by_role("button", name="page 1").wait_for()
    page.locator("li.seen").wait_for()
    report = page.request.get(f"/v1/jobs/{page.url.rpartition('/')[2]}/report").json()
    sizes = [(member["width"], member["height"]) for member in report["members"] if member["name"] == "page 1"]
    assert sizes == [pytest.approx((900, 600), abs=2)]


@pytest.mark.exhaustive
def test_what_cannot_be_hidden_is_refused_with_the_name_of_the_member(page: Any) -> None:
    page.goto("/")
    page.locator(".drop input").first.set_input_files([archive(drawing_emf=b"\1\0\0\0")])
    page.get_by_role("button", name="Hide in 1 file").click()
    page.locator(".files .bad summary").click()
    page.get_by_text("drawing.emf").wait_for()


@pytest.mark.exhaustive
def test_topics_of_a_log_are_chosen(page: Any, tmp_path: Path) -> None:
    logs = pytest.importorskip("tests.media.archive.logs", reason="pip install mcap rosbags")
    odd = logs.Told("/odd", "sensor_msgs/msg/Image", logs.START_NS, logs.raw(0, "bayer_rggb8"))
    page.goto("/")
    page.locator(".drop input").first.set_input_files([logs.mcap(tmp_path / "drive.mcap", [*logs.drive(3), odd])])
    page.get_by_role("button", name="Choose topics of drive.mcap").click()
    assert page.get_by_role("checkbox", name="/odd").is_disabled()
    page.get_by_text("bayer_rggb8").wait_for()
    page.get_by_role("checkbox", name="/rear/image").uncheck()
    if AXE.exists():
        checked(page)
    page.get_by_role("button", name="Choose", exact=True).click()
    page.get_by_role("button", name="Hide in 1 file").click()
    page.get_by_role("link", name="View drive.mcap").click()
    page.get_by_text("2 left out").click()
    page.get_by_role("listitem").filter(has_text="/rear/image").wait_for()
    page.get_by_role("listitem").filter(has_text="/odd").wait_for()
    page.get_by_role("button", name="/front/compressed").wait_for()
