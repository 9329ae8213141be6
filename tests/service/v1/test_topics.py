"""Topics of uploaded logs are listed, to choose from them before a job is submitted."""

from pathlib import Path
from typing import Any

import pytest
from tests.service.factories import client, picture, settings

logs = pytest.importorskip("tests.media.archive.logs", reason="pip install mcap rosbags")


def uploaded(api: Any, data: bytes, **announced: int) -> str:
    upload = api.post("/v1/uploads", json=announced).json()["id"]
    assert api.put(f"/v1/uploads/{upload}", content=data).status_code == 200
    return str(upload)


def test_topics_are_listed_with_types_counts_and_what_is_refused(tmp_path: Path) -> None:
    odd = logs.Told("/odd", "sensor_msgs/msg/Image", logs.START_NS, logs.raw(0, "bayer_rggb8"))
    log = logs.mcap(tmp_path / "drive.mcap", [*logs.drive(3), odd])
    with client(settings(tmp_path)) as api:
        upload = uploaded(api, log.read_bytes())
        found = {topic.pop("name"): topic for topic in api.get(f"/v1/uploads/{upload}/topics").json()["topics"]}
        assert api.get(f"/v1/uploads/{upload}").json()["offset"] == log.stat().st_size, "it is still there"
    images = {"type": "sensor_msgs/msg/CompressedImage", "messages": 3, "kind": "images", "refused": None}
    assert found["/front/compressed"] == images
    assert found["/odd"]["kind"] == "other"
    assert "bayer_rggb8" in found["/odd"]["refused"]
    assert {name for name, topic in found.items() if topic["kind"] == "other" and not topic["refused"]}


def test_what_is_no_log_and_what_is_not_all_there_is_refused(tmp_path: Path) -> None:
    with client(settings(tmp_path)) as api:
        answer = api.get(f"/v1/uploads/{uploaded(api, picture())}/topics")
        assert (answer.status_code, answer.json()["code"]) == (422, "BadInput")
        assert "the log is no sensor log" in answer.json()["detail"]
        assert str(tmp_path) not in answer.text
        assert api.get(f"/v1/uploads/{uploaded(api, b'x', size=9)}/topics").status_code == 409
        assert api.get(f"/v1/uploads/{api.post('/v1/uploads').json()['id']}/topics").status_code == 422
        assert api.get("/v1/uploads/none/topics").status_code == 404
