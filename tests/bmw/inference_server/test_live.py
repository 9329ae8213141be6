"""The server over a real connection, called by velum's own client of these APIs."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import uvicorn
from fastapi import FastAPI
from tests.bmw.inference_server.factories import DISC, HEIGHT, REGIONS, WIDTH, host, models, png

from velum.bmw import inference_wire, wire
from velum.bmw.client import InferenceApi
from velum.bmw.inference_server.app import create_app
from velum.bmw.inference_server.loaded_models import from_names
from velum.bmw.inference_server.profiles import profile
from velum.engine.part_cache import PartCache
from velum.net import ANYWHERE
from velum.net.client import HttpClient
from velum.plugins import RuntimeConfig
from velum.region import Box, Region


@contextmanager
def served(app: FastAPI) -> Iterator[InferenceApi]:
    """Serve on a free port of the loopback, and yield a client."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="on"))
    with socket.create_server(("127.0.0.1", 0)) as bound:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        peers = HttpClient(ANYWHERE)
        try:
            yield InferenceApi(f"http://127.0.0.1:{bound.getsockname()[1]}/", peers)
        finally:
            server.should_exit = True
            thread.join(10)
            peers.close()


@pytest.mark.parametrize("name", ["openvino-detection", "yolo", "yolo-gpu", "tensorflow"])
def test_a_bmw_client_reads_the_boxes(name: str) -> None:
    kind = profile(name)
    # As the YOLO servers were: the client must call for the models to be loaded.
    with served(create_app(kind, models(kind), wait_for_load=name.startswith("yolo"))) as api:
        assert api.models() == ("fake",)
        described = api.describe("fake")
        assert (described.labels, described.kind) == (("face", "plate"), wire.DETECTION)
        finds = api.detect("fake", png(), "image.png", "image/png")
    assert [(find.label, find.ltrb) for find in finds] == [(region.label, region.box.xyxy) for region in REGIONS]
    assert [find.percent for find in finds] == pytest.approx([region.score * 100 for region in REGIONS])


@pytest.mark.parametrize("name", ["openvino-segmentation", "gluoncv"])
def test_a_bmw_client_reads_the_mask(name: str) -> None:
    kind = profile(name)
    with served(create_app(kind, models(kind))) as api:
        described = api.describe("fake")
        assert (described.labels, described.kind) == (("background", "face", "plate"), wire.SEGMENTATION)
        assert described.palette == (0, 0, 0, 128, 0, 0, 0, 128, 0)
        ids = api.mask("fake", png(), "image.png", "image/png", size=(WIDTH, HEIGHT), description=described)
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[15:30, 20:40] = 2
    expected[:11, :11][DISC] = 2
    expected[5:25, 10:30] = 1
    plane = getattr(ids, "plane", ids)
    np.testing.assert_array_equal(np.asarray(plane), expected)


@pytest.mark.real
def test_finds_a_face_in_a_photograph(shared: Path) -> None:
    weights = shared / "models" / "yunet" / "face_detection_yunet_2023mar.onnx"
    kind, local = profile("openvino-detection"), RuntimeConfig(weights={"yunet": weights}, offline=True)
    parts = PartCache(local)
    photo = (shared / "media" / "faces" / "one_portrait_full.jpg").read_bytes()
    truth = json.loads((shared / "media" / "ground_truth.json").read_text())["faces/one_portrait_full.jpg"]
    try:
        with served(create_app(kind, from_names(["yunet"], kind, parts, local))) as api:
            assert api.describe("yunet").labels == ("face",)
            finds = api.detect("yunet", photo, "image.jpg", "image/jpeg")
    finally:
        parts.close()
    best = max(finds, key=lambda find: find.percent)
    assert best.percent > 90
    assert best.ltrb == pytest.approx(truth["objects"][0]["bbox"], abs=25)


def test_finishes_running_requests_when_it_is_stopped() -> None:
    inside, go_on = threading.Event(), threading.Event()

    def slow(_: object) -> list[Region]:
        inside.set()
        assert go_on.wait(10)
        return [Region(Box(1, 2, 3, 4), "face")]

    kind, found = profile("tensorflow"), list[tuple[inference_wire.ApiDetection, ...]]()
    with served(create_app(kind, models(kind, host(slow)))) as api:
        asking = threading.Thread(target=lambda: found.append(api.detect("fake", png(), "a.png", "image/png")))
        asking.start()
        assert inside.wait(10)
        threading.Timer(0.2, go_on.set).start()
        # Leaving stops the server while the picture is being looked at.
    asking.join(10)
    assert [find.ltrb for find in found[0]] == [(1, 2, 3, 4)]
