"""velum's own API without the BMW API: it starts, works and answers errors where `velum.bmw` cannot be imported."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

pytestmark = pytest.mark.slow

ALONE = """
import json, sys
from dataclasses import replace
from pathlib import Path

sys.modules["velum.bmw"] = None  # any import of it fails from here on

from starlette.testclient import TestClient

from velum.region import Box, Region
from velum.service.app import create_app
from velum.settings import Settings
from velum.settings.schema import JobsSettings
from velum.testing import FakeLocalizer

folder = Path(sys.argv[1])
settings = Settings(
    cache=folder / "cache", models=folder / "models", offline=True,
    jobs=JobsSettings(data=folder / "jobs", in_process=False),
)
face = Region(Box(10, 8, 34, 30), "face", 0.9)
host = replace(settings.host(), localizers={"centerface": lambda: FakeLocalizer([face])})
with TestClient(create_app(settings, host=host), base_url="http://testserver", raise_server_exceptions=False) as client:
    source, kind = (folder / "source.png").read_bytes(), {"content-type": "image/png"}
    image = client.post("/v1/images", content=source, headers=kind)
    (folder / "hidden.png").write_bytes(image.content)
    there_is_none = client.get("/list_urls")
    print(json.dumps({
        "image": [image.status_code, image.headers["x-velum-hidden"]],
        "page": client.get("/").headers["content-type"],
        "jobs": client.get("/v1/jobs").json(),
        "upload": client.post("/v1/uploads").status_code,
        "metrics": "velum_frames_total 1.0" in client.get("/metrics").text,
        "ready": client.get("/health/ready").json()["jobs"],
        "bmw": [there_is_none.status_code, there_is_none.headers["content-type"], there_is_none.json()["code"]],
        "foreign": client.get("/elsewhere", headers={"host": "evil.example"}).json()["code"],
        "paths": sorted({path.split("/")[1] for path in client.get("/openapi.json").json()["paths"]}),
        "title": client.get("/openapi.json").json()["info"]["title"],
        "loaded": [name for name in sys.modules if name.startswith("velum.bmw.")],
    }))
"""


@pytest.mark.exhaustive
def test_the_own_api_hides_where_the_bmw_api_cannot_be_imported(tmp_path: Path) -> None:
    Image.new("RGB", (64, 48), (200, 150, 100)).save(tmp_path / "source.png")
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(tmp_path)], capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "image": [200, "1"], "page": "text/html; charset=utf-8", "jobs": {"jobs": [], "after": None}, "upload": 201,
        "metrics": True, "ready": "ready", "bmw": [404, "application/problem+json", "NotFound"], "foreign": "Denied",
        "paths": ["blur", "health", "v1"], "title": "velum", "loaded": [],
    }  # fmt: skip
    with Image.open(io.BytesIO((tmp_path / "hidden.png").read_bytes())) as hidden:
        assert (hidden.getpixel((20, 20)), hidden.getpixel((50, 40))) == ((0, 0, 0), (200, 150, 100))
