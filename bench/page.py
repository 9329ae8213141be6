"""What the page takes in Debian's Chromium: its start, a drag among 200 regions, a timeline of ten minutes of video.

    python -m bench.page

The service is a process of its own; what is hidden are zones, so that no model is needed. The video is real, of 18,000
frames at 1080p; its 360 tracks are switched off, so that it is copied rather than coded. Medians of five openings, each
in a new profile of the browser, and of the frames of one drag.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import av
import httpx2
import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

CHROMIUM = os.environ.get("VELUM_TEST_CHROMIUM", "/usr/bin/chromium")
ROUNDS = 5
FRAMES, RATE, TRACKS = 18_000, 30, 6
PHOTO_WH, FILM_WH = (6000, 4000), (1920, 1080)
ZONE = "face: fixed(label='face', box=[10, 10, 60, 60]) -> blacken with grow=0"
DRAWN = """() => new Promise((go) => requestAnimationFrame(() => setTimeout(() => go(performance.now()))))"""
"""Milliseconds from the start of the navigation until what is there now has been drawn."""


@contextmanager
def running_service(folder: Path) -> Iterator[str]:
    """Yield the address of a service with its data in `folder`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {**os.environ, "VELUM_JOBS_DATA": str(folder / "data")}
    made = subprocess.Popen(
        [sys.executable, "-m", "velum", "serve", "--port", str(port)], env=env, cwd=folder, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(600):
            try:
                urlopen(f"http://127.0.0.1:{port}/health/live").close()
                break
            except URLError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/"
    finally:
        made.terminate()
        made.wait(60)


def write_photo(path: Path) -> Path:
    """Write a photograph of 24 megapixels."""
    soft = np.random.default_rng(1).integers(0, 256, (PHOTO_WH[1] // 8, PHOTO_WH[0] // 8, 3), np.uint8)
    Image.fromarray(soft).resize(PHOTO_WH, Image.Resampling.BICUBIC).save(path, quality=85)
    return path


def write_film(path: Path) -> Path:
    """Write ten minutes of video at 1080p."""
    ramp = np.indices(FILM_WH[::-1]).sum(axis=0) % 200
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream(
            "libx264", RATE, options={"preset": "ultrafast", "crf": "30", "g": "60", "bf": "0"}
        )
        stream.width, stream.height, stream.pix_fmt = *FILM_WH, "yuv420p"
        picture = av.VideoFrame.from_ndarray(np.dstack([ramp] * 3).astype(np.uint8), "rgb24").reformat(format="yuv420p")
        for number in range(FRAMES):
            picture.pts, picture.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def annotation_file(width: int, height: int, frames: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """Return an annotation file."""
    listed = [{"index": index, "regions": regions} for index, regions in enumerate(frames)]
    return {"format": "velum-regions/1", "width": width, "height": height, "models": [], "frames": listed}


def run_job(service: str, file: Path, regions: dict[str, Any], plan: dict[str, Any]) -> str:
    """Have a file hidden with these regions; return the id of its job."""
    with httpx2.Client(base_url=service, timeout=600) as it:
        ids = []
        for body in (file.read_bytes(), json.dumps(regions).encode()):
            ids.append(it.post("v1/uploads", json={"size": len(body)}).json()["id"])
            it.put(f"v1/uploads/{ids[-1]}", content=body, headers={"upload-offset": "0"}).raise_for_status()
        answer = it.post("v1/jobs", json={"upload": ids[0], "regions": ids[1], "name": file.name, "plan": plan})
        answer.raise_for_status()
        job = answer.json()["id"]
        while (state := it.get(f"v1/jobs/{job}").json())["state"] in {"waiting", "running"}:
            time.sleep(0.2)
        assert state["state"] == "done", state
        return str(job)


def time_until_drawn(browser: Any, address: str, there: str) -> float:
    """Return the milliseconds until what `there` selects has been drawn, in a new profile."""
    with browser.new_context(viewport={"width": 1440, "height": 900}) as context:
        page = context.new_page()
        page.goto(address)
        page.locator(there).first.wait_for(timeout=60_000)
        return float(page.evaluate(DRAWN))


def time_until_usable(browser: Any, address: str) -> float:
    """Return the milliseconds until the start page shows something useful: what can be hidden."""
    return time_until_drawn(browser, address, ".pill")


def time_drag(browser: Any, address: str, trace: Path) -> list[float]:
    """Return the milliseconds that each frame of a drag takes the page, from the browser's trace."""
    with browser.new_context(viewport={"width": 1440, "height": 900}) as context:
        page = context.new_page()
        page.goto(address)
        page.get_by_role("heading", name="200 faces hidden").wait_for(timeout=60_000)
        page.get_by_role("button", name="Correct").click()
        page.wait_for_timeout(1000)
        box = page.locator("velum-viewer").bounding_box()
        view = page.evaluate("document.querySelector('velum-viewer').view")
        browser.start_tracing(page=page, path=str(trace))
        for n in range(12):
            x, y = 150 + n * 100, 180 + n * 40
            at = box["x"] + view["x"] + x * view["scale"], box["y"] + view["y"] + y * view["scale"]
            page.mouse.move(*at, steps=1 if n == 0 else 8)
            if n == 0:
                page.mouse.down()
        page.mouse.up()
        browser.stop_tracing()
    events = json.loads(trace.read_text())["traceEvents"]
    return sorted(one["dur"] / 1000 for one in events if one["name"] == "FireAnimationFrame" and "dur" in one)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_known_args()  # bench.__main__ has arguments for other tables
    boxes = [[n % 20 * 290 + 60, n // 20 * 390 + 60, n % 20 * 290 + 260, n // 20 * 390 + 300] for n in range(200)]
    face = {"label": "face", "xyxy": [10, 10, 40, 40], "score": 0.9, "found": "detected", "off": True}
    tracks = [[{**face, "track": 1 + n + TRACKS * (at // 300)} for n in range(TRACKS)] for at in range(FRAMES)]
    flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
    with TemporaryDirectory() as name, running_service(Path(name)) as service, sync_playwright() as it:
        folder = Path(name)
        many = annotation_file(*PHOTO_WH, [[{"label": "face", "xyxy": box} for box in boxes]])
        pictured = run_job(service, write_photo(folder / "large.jpg"), many, {"rules": [ZONE]})
        filmed = run_job(
            service,
            write_film(folder / "film.mp4"),
            annotation_file(*FILM_WH, tracks),
            {"rules": [ZONE], "video": {"smart": True}},
        )
        browser = it.chromium.launch(executable_path=CHROMIUM, args=flags)
        start = [time_until_usable(browser, service) for _ in range(ROUNDS)]
        drag = time_drag(browser, f"{service}#/jobs/{pictured}", folder / "trace.json")
        line = [
            time_until_drawn(browser, f"{service}#/review/{filmed}", "velum-timeline canvas") for _ in range(ROUNDS)
        ]
        browser.close()
    print("| the page | median | most |\n|---|--:|--:|")
    print(f"| start page, until it can be used, ms | {statistics.median(start):.0f} | {max(start):.0f} |")
    print(f"| 200 regions on 24 megapixels, ms a frame of a drag | {statistics.median(drag):.1f} | {max(drag):.1f} |")
    print(f"| timeline of ten minutes at 1080p, ms | {statistics.median(line):.0f} | {max(line):.0f} |")


if __name__ == "__main__":
    main()
