"""Videos that browsers cannot play get a preview, which is deleted with its source."""

import io
import time
import zipfile
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import httpx2
import numpy as np
import pytest
from tests.media.image.bombs import crash_when_begun
from tests.service.factories import on_the_wire, picture, settings
from tests.service.v1.test_jobs import ended, handed_in, worked

from velum.media.video import proxy
from velum.service.v1 import requested_results

pytestmark = pytest.mark.slow

STAMPS = (0, 1, 2, 5, 6, 9, 10, 11)


def film(path: Path) -> bytes:
    """Return a film whose frames are unevenly far apart; the brightness of each tells its number."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", 10, options={"bf": "2"})
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 10)
        for number, stamp in enumerate(STAMPS):
            frame = av.VideoFrame.from_ndarray(np.full((1080, 1920, 3), 20 + 20 * number, np.uint8), "rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.read_bytes()


def waited(ask: Callable[[], Any]) -> dict[str, Any]:
    for _ in range(600):
        answer = ask()
        assert answer.status_code == 200, answer.text
        if answer.json()["state"] != "making":
            return dict(answer.json())
        time.sleep(0.05)
    raise AssertionError("it is never ready")


def test_a_preview_has_the_frames_and_times_of_its_source(tmp_path: Path) -> None:
    with on_the_wire(settings(tmp_path)) as url, httpx2.Client(base_url=url, timeout=60) as api:
        job = handed_in(api, film(tmp_path / "a.mkv"), name="a.mkv")
        early = api.get(f"{job}/preview")
        assert (early.status_code, early.json()["code"]) == (409, "Conflict")
        assert waited(lambda: api.post(f"{job}/preview")) == {"state": "ready", "share": 1.0, "error": None}
        whole = api.get(f"{job}/preview")
        assert (whole.status_code, whole.headers["content-type"]) == (200, "video/mp4")
        part = api.get(f"{job}/preview", headers={"range": "bytes=4-11"})
        assert (part.status_code, part.content) == (206, whole.content[4:12])
        assert api.head(f"{job}/preview").headers["content-length"] == str(len(whole.content))
    (tmp_path / "preview.mp4").write_bytes(whole.content)
    with av.open(str(tmp_path / "preview.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 1280, 720)
        frames = list(container.decode(video=0))
        assert not container.streams.audio
    assert [round(float(frame.time), 3) for frame in frames] == [stamp / 10 for stamp in STAMPS]
    seen = [frame.to_ndarray(format="rgb24")[300, 600, 0] for frame in frames]
    assert np.allclose(seen, [20 + 20 * number for number in range(len(STAMPS))], atol=4)
    assert not list((tmp_path / "jobs").rglob("*.mp4")), "nothing is left when the service has ended"


@pytest.mark.exhaustive
def test_videos_in_an_archive_have_previews_of_their_own(tmp_path: Path) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("in/a.mkv", film(tmp_path / "a.mkv"))
        archive.writestr("b.png", picture())
    chosen = settings(tmp_path)
    with on_the_wire(chosen) as url, httpx2.Client(base_url=url, timeout=60) as api, worked(chosen):
        job = handed_in(api, data.getvalue(), name="all.zip")
        assert ended(api, job)["result"]
        for of in ("source", "result"):
            asked = f"{job}/preview?of={of}&member=in/a.mkv"
            assert api.get(asked).status_code == 409
            assert waited(partial(api.post, asked))["state"] == "ready"
            assert api.head(asked).headers["content-type"] == "video/mp4"
            assert api.get(f"{job}/preview?of={of}").status_code == 409, "another member has none"
            (tmp_path / f"{of}.mp4").write_bytes(api.get(asked).content)
            with av.open(str(tmp_path / f"{of}.mp4")) as container:
                assert len(list(container.decode(video=0))) == len(STAMPS)
        refused = waited(lambda: api.post(f"{job}/preview", params={"member": "b.png"}))
        assert refused["state"] == "failed"
        assert "needs no preview" in refused["error"]


def test_the_preview_of_an_image_fails_with_a_reason(tmp_path: Path) -> None:
    with on_the_wire(settings(tmp_path)) as url, httpx2.Client(base_url=url, timeout=60) as api:
        job = handed_in(api, picture(), name="a.png")
        preview = waited(lambda: api.post(f"{job}/preview"))
        assert preview["state"] == "failed"
        assert "a.png" in preview["error"]
        assert str(tmp_path) not in preview["error"]


def test_a_source_that_crashes_the_decoder_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with on_the_wire(settings(tmp_path)) as url, httpx2.Client(base_url=url, timeout=60) as api:
        job = handed_in(api, film(tmp_path / "a.mkv"), name="a.mkv")
        with monkeypatch.context() as patch:
            patch.setattr(proxy, "write_preview", crash_when_begun)
            preview = waited(lambda: api.post(f"{job}/preview"))
        assert preview["state"] == "failed"
        assert preview["error"] == "cannot read a.mkv: its decoder crashed (SIGSEGV); convert it with another program"
        assert waited(lambda: api.post(f"{job}/preview"))["state"] == "ready"


def test_a_preview_is_deleted_with_its_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requested_results, "LOOK_SECONDS", 0.05)
    with on_the_wire(settings(tmp_path)) as url, httpx2.Client(base_url=url, timeout=60) as api:
        job = handed_in(api, film(tmp_path / "a.mkv"), name="a.mkv")
        waited(lambda: api.post(f"{job}/preview"))
        assert list((tmp_path / "jobs").rglob("*.mp4"))
        assert api.delete(job).status_code == 204
        assert api.get(f"{job}/preview").status_code == 404
        for _ in range(100):
            if not list((tmp_path / "jobs").rglob("*.mp4")):
                break
            time.sleep(0.05)
        assert not list((tmp_path / "jobs").rglob("*.mp4"))
