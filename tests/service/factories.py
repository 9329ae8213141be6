"""The service for tests: in this process, with a localizer that returns given regions, and files in a folder."""

import io
import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from PIL import Image
from starlette.testclient import TestClient

from velum.bmw.app import create_app
from velum.frame import Frame
from velum.net import NetworkPolicy
from velum.region import Box, Region
from velum.service.timed_protocol import timed_protocol
from velum.settings import Settings
from velum.settings.schema import BmwSettings, JobsSettings, ServiceSettings
from velum.testing import FakeLocalizer

FACE = Region(Box(10, 8, 34, 30), "face", 0.9)
LOOPBACK = NetworkPolicy(allow=("127.0.0.1",), attempts=1, connect_seconds=1, read_seconds=5, total_seconds=6)
OWN = "http://velum/"


def settings(
    folder: Path, urls: Sequence[str] | None = None, *, strict: bool = False, local: bool = True,
    reach: NetworkPolicy = LOOPBACK, limit: dict[str, int] | None = None, **service: Any,
) -> Settings:  # fmt: skip
    if urls is not None:
        (folder / "jsonFiles").mkdir(parents=True, exist_ok=True)
        (folder / "jsonFiles" / "url_configuration.json").write_text(json.dumps({"urls": list(urls)}))
    bmw = BmwSettings(strict, folder / "jsonFiles", folder / "videos", local)
    # No model of this machine shows: tests find the same everywhere.
    return Settings(
        cache=folder / "cache",
        models=folder / "models",
        offline=True,
        bmw=bmw,
        jobs=JobsSettings(data=folder / "jobs", in_process=False),
        remote=reach,
        limit=limit or {},
        service=ServiceSettings(**service),
    )


@contextmanager
def client(
    chosen: Settings,
    found: Sequence[Region] | Callable[[Frame], Sequence[Region]] = (FACE,),
    **host: Any,
) -> Iterator[TestClient]:
    fake = {"localizers": {"centerface": lambda: FakeLocalizer(found)}}
    with TestClient(
        create_app(chosen, host=replace(chosen.host(), **{**fake, **host})),
        base_url="http://testserver",
        follow_redirects=False,
        raise_server_exceptions=False,
    ) as api:
        yield api


@contextmanager
def on_the_wire(
    chosen: Settings, found: Sequence[Region] | Callable[[Frame], Sequence[Region]] = (FACE,), **host: Any
) -> Iterator[str]:
    """The service on a free port of this machine; yields its address."""
    fake = {"centerface": lambda: FakeLocalizer(found)}
    app = create_app(chosen, host=replace(chosen.host(), localizers=fake, **host))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        http = timed_protocol(chosen.service.head_seconds, chosen.service.idle_seconds)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, http=http))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def picture(width: int = 64, height: int = 48, kind: str = "PNG", seed: int = 0, **options: Any) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def pixels(data: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.mode == "RGB"
        return np.asarray(opened)


def parts_of(answer: Any) -> list[EmailMessage]:
    """The parts of an answer of several."""
    head = f"content-type: {answer.headers['content-type']}\r\n\r\n".encode()
    return list(BytesParser(EmailMessage, policy=HTTP).parsebytes(head + answer.content).iter_parts())  # type: ignore[arg-type]


def entry(**changes: Any) -> dict[str, Any]:
    usual = {
        "model_name": "centerface", "class_name": "face", "anonymization_technique": "blackening",
        "inference_type": "detection", "anonymization_degree": 1,
    }  # fmt: skip
    return {key: value for key, value in (usual | changes).items() if value is not ...}


def configuration(*entries: dict[str, Any]) -> bytes:
    return json.dumps({"sensitive_info": list(entries or (entry(),))}).encode()


def post(client: TestClient, image: bytes, config: bytes, headers: dict[str, str] | None = None) -> Any:
    files = {"image": ("photo.png", image, "image/png"), "configuration": ("c.json", config, "application/json")}
    return client.post("/anonymize/", files=files, headers=headers)
