"""The page as people use it, from beginning to end, in a browser, with a service in its own process."""

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image, ImageDraw
from tests.rows import exhaustive
from tests.ui.conftest import Locked, served, watched

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]
AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"


def picture(name: str = "one.png", width: int = 320, height: int = 240) -> dict[str, Any]:
    """A picture as a browser is handed it: colours that differ everywhere."""
    ramp = np.indices((height, width)).transpose(1, 2, 0) % 200
    pixels = np.dstack([ramp, ramp.sum(axis=2) % 255]).astype(np.uint8)
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG")
    return {"name": name, "mimeType": "image/png", "buffer": data.getvalue()}


def hidden_in(page: Any, *files: Any, how: str = "Black") -> None:
    page.goto("/")
    page.locator(".drop input").first.set_input_files(list(files))
    page.get_by_role("radio", name=how).check()
    page.get_by_role("button", name=re.compile(r"Hide in \d+ file")).click()
    page.get_by_role("heading", name=f"{len(files)} of {len(files)} done").wait_for()


def looked_at(page: Any, name: str) -> None:
    page.get_by_role("link", name=f"View {name}").click()
    page.locator("velum-editor h2").wait_for()


def result(page: Any) -> Any:
    """The finished picture, as an array."""
    job = page.url.rpartition("/")[2]
    answer = page.request.get(f"/v1/jobs/{job}/result")
    assert answer.ok, answer.text()
    return np.asarray(Image.open(io.BytesIO(answer.body())).convert("RGB")).astype(int)


def spot(page: Any, x: float, y: float) -> tuple[float, float]:
    """Where a pixel of the picture is on the screen."""
    box = page.locator("velum-viewer").bounding_box()
    view = page.evaluate("document.querySelector('velum-viewer').view")
    return box["x"] + view["x"] + x * view["scale"], box["y"] + view["y"] + y * view["scale"]


def drag(page: Any, *ways: tuple[float, float]) -> None:
    points = [spot(page, *way) for way in ways]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=8)
    page.mouse.up()


def rendered(page: Any) -> None:
    page.get_by_role("button", name="Apply", exact=True).click()
    page.get_by_text("Done: the image shows your corrections.").last.wait_for()


@pytest.mark.exhaustive
def test_files_are_hidden_and_downloaded_as_one_zip(page: Any) -> None:
    hidden_in(page, picture("one.png"), picture("two.png"))
    with page.expect_download() as download:
        page.get_by_role("button", name="Download all (zip)").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == ["one.hidden.png", "two.hidden.png"]
        pixels = np.asarray(Image.open(archive.open("one.hidden.png")).convert("RGB"))
    assert not pixels[8:22, 13:27].any(), "the face is black"
    with page.expect_download() as single:
        page.get_by_role("button", name="Download one.png").click()
    assert single.value.suggested_filename == "one.hidden.png"


@pytest.mark.exhaustive
def test_the_effort_is_part_of_the_plan(page: Any) -> None:
    page.goto("/")
    page.get_by_label("How closely to look").select_option(
        label="Thorough: finds the most, takes several times as long"
    )
    page.locator("input[type=file]").first.set_input_files(picture())
    with page.expect_request("**/v1/jobs") as sent:
        page.get_by_role("button", name="Hide in 1 file").click()
    assert sent.value.post_data_json["plan"]["effort"] == "thorough"
    page.get_by_role("link", name="View one.png").wait_for()


@pytest.mark.exhaustive
def test_everything_works_by_keyboard_alone(page: Any) -> None:
    page.goto("/")
    page.locator(".pill").first.wait_for()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose files").focus()
        page.keyboard.press("Enter")
    chooser.value.set_files(picture())
    go = page.get_by_role("button", name="Hide in 1 file")
    go.wait_for()
    assert go.evaluate("e => e === document.activeElement"), "what is next has the focus"
    page.keyboard.press("Enter")
    page.get_by_role("link", name="View one.png").wait_for()
    page.get_by_role("link", name="View one.png").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Correct").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Add a box in the middle").focus()
    page.keyboard.press("Enter")
    before = page.evaluate("document.querySelector('velum-editor').history.now.at(-1).xyxy")
    for key in ("ArrowRight", "ArrowDown", "Shift+ArrowRight"):
        page.keyboard.press(key)
    x0, y0, x1, y1 = before
    after = page.evaluate("document.querySelector('velum-editor').history.now.at(-1).xyxy")
    assert after == [x0 + 1, y0 + 1, x1 + 2, y1 + 1]
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    assert page.evaluate("document.querySelector('velum-editor').history.now.at(-1).xyxy") == before
    page.keyboard.press("Delete")
    page.get_by_role("heading", name="1 face hidden").wait_for()


@pytest.mark.exhaustive
def test_corrections_change_the_result(page: Any) -> None:
    sent = picture()
    original = np.asarray(Image.open(io.BytesIO(sent["buffer"]))).astype(int)
    hidden_in(page, sent)
    looked_at(page, "one.png")
    page.get_by_role("button", name="Correct").click()
    page.get_by_role("checkbox", name="Hide Face 1").uncheck()
    page.get_by_role("button", name="Draw a box").click()
    drag(page, (100, 100), (140, 130))
    page.get_by_role("button", name="Draw an outline").click()
    for way in ((200, 40), (240, 40), (220, 80), (200, 40)):
        page.mouse.click(*spot(page, *way))
    page.get_by_role("button", name="Paint").click()
    drag(page, (60, 180), (100, 200))
    assert page.evaluate("document.querySelector('velum-editor').history.now.length") == 4
    rendered(page)
    made = result(page)
    assert (made[8:22, 13:27] == original[8:22, 13:27]).all(), "what was switched off is as it was"
    assert not made[104:126, 104:136].any(), "the box is black"
    assert not made[50, 220].any(), "the outline's inside is black"
    assert made[75, 203].any(), "what is outside of it, but in its box, is not"
    assert not made[190, 80].any(), "what was painted is black"
    job = page.url.rpartition("/")[2]
    kept = page.request.get(f"/v1/jobs/{job}/regions").json()["frames"][0]["regions"]
    assert [(one["found"], one.get("off", False)) for one in kept] == [("detected", True), *[("manual", False)] * 3]
    page.reload()
    page.get_by_role("heading", name="3 faces hidden").wait_for()
    page.get_by_text("1 left visible").wait_for()


@pytest.mark.exhaustive
def test_one_region_is_hidden_by_a_technique_of_its_own(page: Any) -> None:
    sent = picture()
    original = np.asarray(Image.open(io.BytesIO(sent["buffer"]))).astype(int)
    hidden_in(page, sent)
    looked_at(page, "one.png")
    page.get_by_role("button", name="Correct").click()
    page.get_by_role("button", name="Draw a box").click()
    drag(page, (100, 100), (140, 132))
    page.get_by_label("How it is hidden").select_option("Mosaic")
    page.get_by_label("Strength").fill("0.5")
    rendered(page)
    made = result(page)
    assert not made[8:22, 13:27].any(), "the other one is black as ever"
    cells = {tuple(colour) for row in made[104:128, 104:136] for colour in row}
    assert 1 < len(cells) <= 9, "a coarse mosaic of the box and its margin"
    assert (made[150:, 180:] == original[150:, 180:]).all()
    job = page.url.rpartition("/")[2]
    kept = page.request.get(f"/v1/jobs/{job}/regions").json()["frames"][0]["regions"]
    assert [one.get("technique") for one in kept] == [None, "pixelate(degree=0.5)"]
    page.reload()
    page.get_by_role("button", name="Correct").click()
    page.get_by_role("button", name="Face 2").click()
    assert page.get_by_label("How it is hidden").input_value() == "pixelate"
    page.get_by_label("How it is hidden").select_option("As the plan says")
    assert page.evaluate("document.querySelector('velum-editor').history.now.map(r => r.technique ?? '')") == ["", ""]
    page.get_by_role("button", name="Undo").click()
    assert page.get_by_label("How it is hidden").input_value() == "pixelate"


@pytest.mark.exhaustive
def test_regions_are_moved_resized_and_switched_together(page: Any) -> None:
    hidden_in(page, picture())
    looked_at(page, "one.png")
    page.get_by_role("button", name="Correct").click()
    now = "document.querySelector('velum-editor').history.now.map(r => [...r.xyxy, r.on])"
    drag(page, (20, 15), (120, 115))
    assert page.evaluate(now) == [[110, 105, 130, 125, True]]
    drag(page, (130, 125), (150, 165))
    assert page.evaluate(now) == [[110, 105, 150, 165, True]]
    page.get_by_role("button", name="Draw a box").click()
    drag(page, (200, 100), (240, 150))
    page.get_by_role("button", name="Leave visible").click()
    page.get_by_role("button", name="Same for 1 similar one").click()
    assert [one[4] for one in page.evaluate(now)] == [False, False]
    page.get_by_text("All regions are switched off").wait_for()
    page.get_by_role("button", name="Undo").click()
    assert [one[4] for one in page.evaluate(now)] == [True, False]
    page.get_by_role("button", name="Redo").click()
    assert [one[4] for one in page.evaluate(now)] == [False, False]


@pytest.mark.exhaustive
def test_before_and_after_are_compared_down_to_single_pixels(page: Any) -> None:
    hidden_in(page, picture())
    looked_at(page, "one.png")
    viewer = "document.querySelector('velum-viewer')"
    assert page.evaluate(f"{viewer}.mode") == "compare"
    page.get_by_role("slider", name="How much of the original is shown").fill("0.25")
    assert page.evaluate(f"{viewer}.split") == 0.25
    hold = page.get_by_role("button", name="Hold to see the original").bounding_box()
    page.mouse.move(hold["x"] + 9, hold["y"] + 9)
    page.mouse.down()
    assert page.evaluate(f"{viewer}.mode") == "before"
    page.mouse.up()
    assert page.evaluate(f"{viewer}.mode") == "compare"
    page.locator("velum-viewer canvas").last.focus()
    for _ in range(30):
        page.keyboard.press("+")
    assert page.evaluate(f"{viewer}.view.scale") == 48
    page.keyboard.press("0")
    assert page.evaluate(f"{viewer}.view.scale") < 4


def test_corrections_are_kept_by_the_server_and_a_conflict_is_reported(page: Any, browser: Any, service: str) -> None:
    hidden_in(page, picture())
    looked_at(page, "one.png")
    address = page.url
    page.get_by_role("button", name="Correct").click()
    page.get_by_role("checkbox", name="Hide Face 1").uncheck()
    page.get_by_role("link", name="Back to all files").click()
    page.get_by_role("heading", name="1 of 1 done").wait_for()
    page.go_back()
    page.get_by_text("The image does not show your corrections yet.").wait_for()
    for other in watched(browser, service):
        other.goto(address)
        other.get_by_text("1 left visible").wait_for()
        other.get_by_role("button", name="Correct").click()
        other.get_by_role("button", name="Add a box in the middle").click()
        other.get_by_text(re.compile("^Saved ")).wait_for()
        page.get_by_role("button", name="Correct").click()
        page.get_by_role("checkbox", name="Hide Face 1").check()
        page.get_by_text("Which ones should stand?").wait_for()
        page.get_by_role("button", name="Keep mine").click()
        page.get_by_text(re.compile("^Saved ")).wait_for()
        other.reload()
        other.get_by_role("heading", name="1 face hidden").wait_for()
    assert all("412" in one for one in page.complaints)
    # Corrections that are stored but could not be rendered are nobody else's.
    page.get_by_role("checkbox", name="Hide Face 1").uncheck()
    page.route("**/render", lambda route: route.fulfill(status=503, json={"code": "Busy", "detail": "wait"}))
    page.get_by_role("button", name="Apply", exact=True).click()
    page.get_by_text("The server is busy.").wait_for()
    page.unroute("**/render")
    page.reload()
    page.get_by_text("The image does not show your corrections yet.").wait_for()
    page.get_by_role("button", name="Correct").click()
    page.get_by_role("button", name="Add a box in the middle").click()
    page.get_by_text(re.compile("^Saved ")).wait_for()
    page.get_by_role("button", name="Undo").click()
    page.get_by_text("The image does not show your corrections yet.").wait_for()
    rendered(page)
    page.get_by_text("Which ones should stand?").wait_for(state="hidden")
    assert result(page)[8:22, 13:27].any(), "the face that was left visible"
    assert all("412" in one or "503" in one for one in page.complaints)
    page.complaints.clear()


def test_work_goes_on_while_the_service_is_away(page: Any) -> None:
    hidden_in(page, picture())
    looked_at(page, "one.png")
    page.get_by_role("button", name="Correct").click()
    page.context.set_offline(True)
    page.get_by_role("checkbox", name="Hide Face 1").uncheck()
    page.get_by_text("Connection lost.").wait_for()
    page.get_by_text("Not saved yet").wait_for()
    page.get_by_role("link", name="Back to all files").click()
    page.get_by_role("dialog").get_by_text("Your corrections could not be saved yet").wait_for()
    page.get_by_role("button", name="Stay").click()
    page.context.set_offline(False)
    page.get_by_text(re.compile("^Saved ")).wait_for()
    page.get_by_text("Connection lost.").wait_for(state="hidden")
    page.reload()
    page.get_by_text("1 left visible").wait_for()
    page.complaints.clear()


def test_every_page_is_shown_before_a_file_is_approved_and_any_label_can_be_drawn(page: Any) -> None:
    pages = [Image.new("RGB", (320, 240), colour) for colour in ("#a33", "#3a3")]
    data = io.BytesIO()
    pages[0].save(data, "TIFF", save_all=True, append_images=pages[1:])
    hidden_in(page, {"name": "two.tif", "mimeType": "image/tiff", "buffer": data.getvalue()})
    looked_at(page, "two.tif")
    page.get_by_text(re.compile("Original kept until")).wait_for()
    before = page.locator(".kept").inner_text()
    page.get_by_role("button", name="Keep longer").click()
    page.wait_for_function("before => document.querySelector('.kept').innerText !== before", arg=before)
    page.goto(f"{page.url}/queue")
    page.get_by_text("1 more page to look at.").wait_for()
    approve = page.get_by_role("button", name=re.compile("^Approve"))
    assert approve.is_disabled()
    page.get_by_role("button", name="Next page").click()
    page.get_by_text("Page 2 of 2").wait_for()
    page.wait_for_function("() => !document.querySelector('velum-approve button').disabled")
    page.get_by_role("button", name="Correct").click()
    page.get_by_label("What you draw is").select_option("Number plate")
    page.get_by_role("button", name="Draw a box").click()
    drag(page, (100, 100), (140, 130))
    page.get_by_role("heading", name="1 face and 1 number plate hidden").wait_for()
    assert approve.is_disabled(), "the result lacks a correction"
    rendered(page)
    assert page.evaluate("document.querySelector('velum-viewer').mode") == "after", "all of the result is shown"
    job = page.url.split("jobs/")[1].split("/")[0]
    file = Image.open(io.BytesIO(page.request.get(f"/v1/jobs/{job}/result").body()))
    file.seek(1)
    assert not np.asarray(file.convert("RGB"))[104:126, 104:136].any(), "hidden as the plan hides"
    report = page.request.get(f"/v1/jobs/{job}/report").json()
    assert [region["label"] for region in report["hidden"]] == ["face", "face", "license_plate"]
    page.get_by_role("button", name="Previous page").click()
    page.wait_for_function("() => !document.querySelector('velum-approve button').disabled")


def test_no_image_is_downloaded_without_the_corrections(page: Any) -> None:
    hidden_in(page, picture())
    looked_at(page, "one.png")
    page.get_by_role("button", name="Correct").click()
    page.get_by_role("button", name="Draw a box").click()
    drag(page, (100, 100), (140, 130))
    page.get_by_role("button", name="Download").click()
    page.get_by_role("heading", name="The file does not have the corrections yet").wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Download").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Apply and download").click()
    made = np.asarray(Image.open(download.value.path()))
    assert not made[104:126, 104:136].any(), "the box is black"
    page.get_by_text("The image does not show your corrections yet.").wait_for(state="hidden")
    page.get_by_role("button", name="Correct").click()
    page.get_by_role("checkbox", name="Hide Face 1").uncheck()
    page.get_by_role("link", name="Back to all files").click()
    page.get_by_role("button", name="Download one.png").click()
    with page.expect_download() as again:
        page.get_by_role("button", name="Apply and download").click()
    assert np.asarray(Image.open(again.value.path()))[8:22, 13:27].any(), "the draft is in the file"


@pytest.mark.exhaustive
def test_downloads_from_the_lists_contain_corrections_of_others(page: Any) -> None:
    hidden_in(page, picture())
    page.goto("/#/jobs")
    job = page.request.get("/v1/jobs?limit=1").json()["jobs"][0]["id"]
    box = {"label": "face", "xyxy": [100, 100, 140, 130]}
    regions = page.request.get(f"/v1/jobs/{job}/regions").json()
    regions["frames"] = [{"index": 0, "regions": [box]}]
    assert not page.request.get(f"/v1/jobs/{job}").json()["corrections_pending"]
    assert page.request.put(f"/v1/jobs/{job}/regions", data=regions).ok
    assert page.request.get(f"/v1/jobs/{job}").json()["corrections_pending"]
    page.get_by_role("button", name="Download one.png").first.click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Apply and download").click()
    assert not np.asarray(Image.open(download.value.path()))[104:126, 104:136].any()
    assert not page.request.get(f"/v1/jobs/{job}").json()["corrections_pending"]


def test_an_unknown_number_of_regions_is_not_shown_as_zero(page: Any) -> None:
    page.route(re.compile("/report$"), lambda route: route.abort())
    hidden_in(page, picture())
    page.get_by_text("Done, but the report could not be read").wait_for()
    assert not page.get_by_text("Nothing found").count()
    page.complaints.clear()


@pytest.mark.exhaustive
def test_the_service_decides_which_files_can_be_chosen(page: Any) -> None:
    types = {"images": [".png", ".xyz"], "videos": [".mp4"], "containers": [".zip"]}
    page.route(re.compile("/v1/file-types$"), lambda route: route.fulfill(json=types))
    page.goto("/")
    page.locator(".drop input[accept='.png,.xyz,.mp4,.zip']").wait_for(state="attached")
    page.locator(".drop input").first.set_input_files([{"name": "one.xyz", "mimeType": "", "buffer": b"."}])
    page.get_by_role("button", name="Hide in 1 file").wait_for()


@pytest.mark.exhaustive
def test_errors_of_the_service_are_shown(page: Any) -> None:
    page.goto("/")
    page.locator(".drop input").first.set_input_files(
        [
            {"name": "broken.jpg", "mimeType": "image/jpeg", "buffer": b"no picture"},
            {"name": "a.txt", "mimeType": "text/plain", "buffer": b"."},
        ]
    )
    page.get_by_text("1 file was left out").wait_for()
    page.get_by_text("This is no photo, video, document or archive.").wait_for()
    page.get_by_role("button", name="Hide in 1 file").click()
    page.locator(".files .bad").wait_for()
    page.get_by_role("button", name="Try again").wait_for()
    page.goto("/#/jobs/" + "0" * 32)
    page.get_by_text("This job does not exist").wait_for()
    assert all("404" in one for one in page.complaints)
    page.complaints.clear()


@pytest.mark.exhaustive
def test_a_key_is_asked_for_and_stored_nowhere(browser: Any, locked: Locked) -> None:
    key = locked.key("anna", "anonymize", "review")
    for page in watched(browser, locked.address):
        page.goto("/")
        page.get_by_label("Key", exact=True).fill("velum_wrong")
        page.get_by_role("button", name="Sign in").click()
        page.get_by_text("This key is not accepted").wait_for()
        page.get_by_label("Key", exact=True).fill(key)
        page.get_by_role("button", name="Sign in").click()
        hidden_in_signed(page)
        assert page.evaluate("[localStorage.length, sessionStorage.length]") == [0, 0]
        assert all("401" in one for one in page.complaints)
        page.complaints.clear()


def hidden_in_signed(page: Any) -> None:
    page.locator(".pill").first.wait_for()
    page.locator(".drop input").first.set_input_files(picture())
    page.get_by_role("button", name="Hide in 1 file").click()
    page.get_by_role("link", name="View one.png").click()
    page.get_by_role("heading", name="1 face hidden").wait_for()


@pytest.mark.parametrize(
    ("scheme", "width", "locale"), [("dark", 360, "de"), *exhaustive([("light", 1280, "en"), ("dark", 3840, "en")])]
)
def test_the_pages_pass_the_accessibility_check(
    browser: Any, service: str, scheme: str, width: int, locale: str
) -> None:
    if not AXE.exists():
        pytest.skip("axe-core is not here: npm ci")
    more = {"color_scheme": scheme, "locale": locale, "bypass_csp": True}
    for page in watched(browser, service, **more):
        page.set_viewport_size({"width": width, "height": 800})
        page.goto("/")
        page.locator(".pill").first.wait_for()
        checked(page)
        page.locator(".drop input").first.set_input_files(picture())
        page.locator(".go button").click()
        page.locator(".files .badge").wait_for()
        checked(page)
        page.locator(".files a").click()
        page.locator(".regions").wait_for()
        checked(page)
        page.locator("[data-name=correct]").click()
        page.locator("[data-name^=region-]").first.click()
        checked(page)


def checked(page: Any) -> None:
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    assert not found, json.dumps([(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found])
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out sideways"


def test_the_page_works_under_a_path_of_a_proxy(service: str) -> None:
    start = urlopen(service).read().decode()
    assert not re.search(r'(src|href)="/', start)


@pytest.mark.real
@pytest.mark.exhaustive
def test_five_people_in_a_photograph_are_hidden(browser: Any, shared: Path, tmp_path: Path) -> None:
    for address in served(tmp_path):
        for page in watched(browser, address):
            hidden_in(
                page,
                str(shared / "media" / "faces" / "five_scouts.jpg"),
                str(shared / "media" / "faces" / "negative_dogs.jpg"),
            )
            page.get_by_text("Nothing found: please check").wait_for()
            looked_at(page, "five_scouts.jpg")
            page.get_by_role("heading", name="5 faces hidden").wait_for()
            page.get_by_role("button", name="Correct").click()
            page.get_by_role("checkbox").first.uncheck()
            rendered(page)
            page.get_by_role("heading", name="4 faces hidden").wait_for()


@pytest.fixture(scope="module")
def large() -> dict[str, Any]:
    image = Image.new("RGB", (6000, 4000), "#9ab")
    draw = ImageDraw.Draw(image)
    for n in range(900):
        draw.ellipse(
            (n * 37 % 6000, n * 53 % 4000, n * 37 % 6000 + 180, n * 53 % 4000 + 180), fill=(n % 255, n * 7 % 255, 90)
        )
    data = io.BytesIO()
    image.save(data, "JPEG", quality=85)
    return {"name": "large.jpg", "mimeType": "image/jpeg", "buffer": data.getvalue()}


@pytest.mark.exhaustive
def test_one_of_200_regions_on_24_megapixels_can_be_dragged(page: Any, large: dict[str, Any]) -> None:
    hidden_in(page, large)
    looked_at(page, "large.jpg")
    job = page.url.rpartition("/")[2]
    file = page.request.get(f"/v1/jobs/{job}/regions").json()
    boxes = [[n % 20 * 290 + 60, n // 20 * 390 + 60, n % 20 * 290 + 260, n // 20 * 390 + 300] for n in range(200)]
    file["frames"] = [{"index": 0, "regions": [{"label": "face", "xyxy": box} for box in boxes]}]
    assert page.request.put(f"/v1/jobs/{job}/regions", data=file).ok
    page.reload()
    page.get_by_role("heading", name="200 faces hidden").wait_for()
    page.get_by_role("button", name="Correct").click()
    page.wait_for_timeout(500)
    drag(page, *((150 + n * 100, 180 + n * 40) for n in range(12)))
    now = page.evaluate("document.querySelector('velum-editor').history.now.map(r => r.xyxy)")
    assert [one for one, was in zip(now, boxes, strict=True) if one != was] == [now[0]]
    assert abs(now[0][0] - boxes[0][0] - 1100) <= 10
