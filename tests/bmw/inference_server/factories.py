"""Models that return given regions, served by an application without a network."""

import io
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image
from starlette.testclient import TestClient

from velum.bmw.inference_server.app import create_app
from velum.bmw.inference_server.endpoints import Capacity
from velum.bmw.inference_server.loaded_models import LoadedModel, from_names
from velum.bmw.inference_server.ocr import Ocr
from velum.bmw.inference_server.profiles import ApiVariant, profile
from velum.engine.part_cache import PartCache
from velum.frame import Frame
from velum.limits import Limits
from velum.plugins import RuntimeConfig
from velum.region import Box, Mask, Region
from velum.testing import FakeLocalizer

WIDTH, HEIGHT = 40, 30

DISC: Mask = np.hypot(*np.ogrid[-5:6, -5:6]) < 5.5

REGIONS = (
    Region(Box(10, 5, 30, 25), "face", 0.931),
    Region(Box(0, 0, 11, 11), "plate", 0.5, DISC),
    Region(Box(20, 15, 40, 30), "plate", 0.25),
)
"""Of the labels face and plate, which have the numbers 0 and 1, or 1 and 2."""

HASH = "b5d54c39-e666-41c9-b31b-9f471e585d82"


def png(width: int = WIDTH, height: int = HEIGHT) -> bytes:
    return encoded(Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)))


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def host(
    regions: Sequence[Region] | Callable[[Frame], Sequence[Region]] = REGIONS,
    labels: Sequence[str] = ("face", "plate"),
    name: str = "fake",
) -> RuntimeConfig:
    return RuntimeConfig(localizers={name: lambda: FakeLocalizer(regions, frozenset(labels))}, offline=True)


def models(kind: ApiVariant, of: RuntimeConfig | None = None, names: Sequence[str] = ("fake",)) -> list[LoadedModel]:
    of = of or host()
    return from_names(names, kind, PartCache(of), of)


def client(
    name: str,
    of: RuntimeConfig | None = None,
    *,
    limits: Limits | None = None,
    capacity: Capacity | None = None,
    texts: Ocr | None = None,
    wait_for_load: bool = False,
) -> TestClient:
    kind = profile(name)
    app = create_app(
        kind, models(kind, of), limits=limits, capacity=capacity, texts=texts, wait_for_load=wait_for_load
    )  # fmt: skip
    return TestClient(app, raise_server_exceptions=False, follow_redirects=False)
