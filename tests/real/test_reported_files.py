"""Files that people reported, on which an earlier velum failed: each is hidden in, keeps what it should, and passes.

Other tests make files of the same kinds; files of further reports are in the tests of what they are about.
"""

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from tests.rows import exhaustive
from tests.service.factories import client, settings

from velum import Engine, Plan, Report
from velum.cli.main import run

pytestmark = pytest.mark.real

ZONE = "zone: fixed(box=[4, 4, 36, 28]) -> blacken"


def hidden(source: Path, target: Path, *, verify: bool = False) -> Report:
    with Engine() as engine:
        return engine.hide(source, target, Plan.of(ZONE, verify=verify))


def streams(path: Path) -> list[tuple[str, str]]:
    with av.open(str(path)) as container:
        return [(stream.type, stream.codec_context.name) for stream in container.streams if stream.type != "video"]


SOUND = [
    ("avi-adpcm-audio/a_adpcm_ima_wav.avi", "adpcm_ima_wav", ""),
    ("mkv-camera-audio/alaw.mkv", "pcm_alaw", ""),
    ("iphone-spatial-audio/iphone_apac2.mov", "aac", "audio track 2 was left out"),
]


@pytest.mark.parametrize(("name", "codec", "left_out"), SOUND)
def test_sound_that_the_container_holds_is_copied(
    shared: Path, tmp_path: Path, name: str, codec: str, left_out: str
) -> None:
    target = tmp_path / f"out{Path(name).suffix}"
    report = hidden(shared / "cases" / name, target)
    assert streams(target) == [("audio", codec)]
    assert left_out in " ".join(report.warnings)


def test_places_in_the_subtitles_of_a_drone_are_left_out(shared: Path, tmp_path: Path) -> None:
    report = hidden(shared / "cases/drone-telemetry-subtitles/dji_sub.mp4", tmp_path / "out.mp4")
    assert [kind for kind, _ in streams(tmp_path / "out.mp4") if kind == "subtitle"] == []
    assert any("coordinates" in warning for warning in report.warnings)


PICTURES = [
    ("bmp-32-bits/v5_argb.bmp", ".bmp"), ("bmp-32-bits/v3_rgbx_bf.bmp", ".bmp"),
    ("heic-two-views/spatial_photo.heic", ".jpg"), ("jpeg-without-end/no_eoi.jpg", ".jpg"),
    ("png-large-text/big_itxt.png", ".png"),
    *exhaustive([("heic-two-views/cat.hif", ".png"), ("heic-two-views/cat.hif", ".jpg")]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "suffix"), PICTURES)
def test_pictures_with_oddities_are_hidden_in(shared: Path, tmp_path: Path, name: str, suffix: str) -> None:
    hidden(shared / "cases" / name, tmp_path / f"out{suffix}")
    with Image.open(tmp_path / f"out{suffix}") as opened:
        pixels = np.asarray(opened.convert("RGB"))
    assert pixels[8:24, 8:32].max() <= 8
    assert pixels.max() > 100, "the rest is a picture"


def test_an_avif_whose_alpha_is_stored_first_keeps_its_colours(shared: Path, tmp_path: Path) -> None:
    source = shared / "cases/avif-turns-grey/alpha_cfg_first.avif"
    hidden(source, tmp_path / "out.avif")
    with Image.open(source) as before, Image.open(tmp_path / "out.avif") as after:
        changes = np.abs(np.asarray(before.convert("RGB")).astype(int) - np.asarray(after.convert("RGB")))
    assert changes[36:].mean() < 8


@pytest.mark.parametrize(
    "name", ["verify-refuses-icc-tiff/icc_small.tif", "verify-refuses-repeated-frames/duplicate_frame.gif"]
)
def test_what_is_kept_on_purpose_is_no_leak(shared: Path, tmp_path: Path, name: str) -> None:
    hidden(shared / "cases" / name, tmp_path / f"out{Path(name).suffix}", verify=True)
    assert (tmp_path / f"out{Path(name).suffix}").is_file()


def typed(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """Run the command, and return its exit code and what it printed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["velum", *words])
        with pytest.raises(SystemExit) as ended:
            run()
    printed = capfd.readouterr()
    return int(ended.value.code or 0), printed.out + printed.err


def test_no_file_of_a_folder_is_left_out_without_a_word(
    shared: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = shared / "cases/folder-leaves-out-silently/in"
    code, printed = typed(capfd, "hide", str(folder), "-o", str(tmp_path / "out"), "--rule", ZONE)
    done = {path.stem for path in (tmp_path / "out").iterdir()}
    missing = [path.name for path in folder.iterdir() if path.stem not in done]
    assert all(name in printed for name in missing)
    assert (code != 0) == bool(missing)


MODELS = [
    ("onnx-accepted-then-fails/y8_batch4.onnx", "face", "y8-batch4"),
    ("onnx-accepted-then-fails/e2e7.onnx", "license_plate", "e2e7"),
    ("onnx-pose-and-obb/y8_pose_face.onnx", "face", "y8-pose-face"),
    ("onnx-pose-and-obb/y8_obb_plate.onnx", "license_plate", "y8-obb-plate"),
]


@pytest.mark.parametrize(("name", "label", "model"), MODELS)
def test_a_model_is_refused_or_runs(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    name: str, label: str, model: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("VELUM_MODELS", str(tmp_path / "models"))
    options = ["--labels", label] if "e2e7" in name else []
    code, printed = typed(capfd, "models", "add", str(shared / "cases" / name), *options)
    assert "object at 0x" not in printed
    if code == 0:
        picture = shared / "cases/onnx-accepted-then-fails/pic.jpg"
        regions = tmp_path / "regions.json"
        code, printed = typed(
            capfd, "locate", str(picture), "--rule", f"{label}: {model} -> blacken", "-o", str(regions)
        )
        assert (code, regions.is_file()) == (0, True), printed


def test_two_pictures_in_one_request_are_refused(shared: Path, tmp_path: Path) -> None:
    folder = shared / "cases/two-pictures-one-form"
    files = [("image", (name, (folder / name).read_bytes())) for name in ("base.jpg", "base.png")]
    with client(settings(tmp_path)) as service:
        answer = service.post("/v1/images", files=files)
    assert answer.status_code == 400
    assert "image" in answer.json()["detail"]
