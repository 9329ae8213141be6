"""Sensor logs: images of topics are hidden and tracked, every other byte stays, and what may show people is refused."""

import base64
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("mcap", reason="the extra logs is not installed")
pytest.importorskip("rosbags", reason="rosbags, which writes messages for these tests, is not installed")

from mcap.reader import make_reader
from mcap.writer import CompressionType
from tests.media.archive import logs
from tests.media.archive.factories import BOX, PLAN, finding, picture, zipped
from tests.media.archive.logs import Told, compressed, contents_of, drive, mcap, pixels, raw

from velum import Engine, Limits, Plan, Region, Report, RuntimeConfig
from velum.errors import BadInput, BadPlan, LimitExceeded, OutputFailed
from velum.frame import Frame
from velum.plan import Video
from velum.testing import FakeLocalizer
from velum.verify.leak_check import Check
from velum.verify.result import CheckResult

COMPRESSED, RAW = "sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/Image"
IMAGE_TOPICS = {"/front/compressed": COMPRESSED, "/rear/image": RAW}
INSIDE = (slice(BOX.y0 + 8, BOX.y1 - 8), slice(BOX.x0 + 8, BOX.x1 - 8))
COVER = replace(PLAN, video=Video(on_damage="cover"))


def hide(source: Path, plan: Plan = PLAN, engine: Engine | None = None) -> tuple[Report, Path]:
    target = source.with_name(f"out-{source.name}")
    with engine or finding() as opened:
        return opened.hide(source, target, plan), target


def check(file: Path, plan: Plan = PLAN, against: Path | None = None) -> CheckResult:
    host = RuntimeConfig(localizers={"fake": FakeLocalizer}, offline=True)
    with Engine(host=host) as engine:
        return Check(engine, host, Limits())(file, plan, against=against)


def one_topic(path: Path, kind: str, messages: Sequence[bytes], topic: str = "/camera", **more: Any) -> Path:
    told = [Told(topic, kind, logs.START_NS + i * logs.STEP_NS, data) for i, data in enumerate(messages)]
    return mcap(path, [*told, Told("/note", "std_msgs/msg/String", logs.START_NS, logs.text("yes"))], **more)


def data_of(path: Path, topic: str = "/camera") -> list[bytes]:
    return [message[4] for message in contents_of(path).messages if message[0] == topic]


@pytest.mark.parametrize(
    ("compression", "chunked", "ros1"),
    [
        (CompressionType.ZSTD, True, False),
        (CompressionType.LZ4, True, False),
        (CompressionType.NONE, True, False),
        (CompressionType.NONE, False, False),
        (CompressionType.ZSTD, True, True),
    ],
)
def test_images_are_hidden_and_every_other_byte_of_a_log_stays(
    tmp_path: Path, compression: CompressionType, chunked: bool, ros1: bool
) -> None:
    attached = [("calibration.yaml", "text/yaml", b"k: 1\n"), ("driver.jpg", "image/jpeg", picture("JPEG", 9))]
    source = mcap(
        tmp_path / "in.mcap", drive(ros1=ros1), compression=compression, chunked=chunked, ros1=ros1,
        attachments=attached, metadata={"car": {"number": "7"}},
    )  # fmt: skip
    report, target = hide(source)
    before, after = contents_of(source), contents_of(target)
    assert (before.schemas, before.channels, before.metadata) == (after.schemas, after.channels, after.metadata)
    assert replace(before.statistics, chunk_count=0) == replace(after.statistics, chunk_count=0)
    assert [message[:4] for message in before.messages] == [message[:4] for message in after.messages]
    for (topic, *_, old), (*_, new) in zip(before.messages, after.messages, strict=True):
        if topic not in IMAGE_TOPICS:
            assert old == new
            continue
        kind = IMAGE_TOPICS[topic]
        was, now = logs.decoded(old, kind, ros1), logs.decoded(new, kind, ros1)
        assert was.header == now.header
        assert (pixels(new, kind, ros1)[INSIDE] <= 8).all()
        assert not (pixels(old, kind, ros1)[INSIDE] <= 8).all()
    assert after.attachments[0] == before.attachments[0]
    assert after.attachments[1].data != before.attachments[1].data
    with target.open("rb") as file:
        times = [message.log_time for _, _, message in make_reader(file).iter_messages(topics="/lidar")]
    assert times == [message[1] for message in before.messages if message[0] == "/lidar"]
    assert [(member["name"], member["action"], member.get("messages")) for member in report.members] == [
        ("/front/compressed", "hidden", 4), ("/rear/image", "hidden", 4), ("/lidar", "copied", 4),
        ("/note", "copied", 4), ("attachments/calibration.yaml", "copied", None),
        ("attachments/driver.jpg", "hidden", None), ("metadata/car", "copied", None),
    ]  # fmt: skip
    assert report.members[0]["hidden"] == {"face": 4}
    assert not check(target, against=source).leaks


@pytest.mark.parametrize(
    ("encoding", "padding", "big"),
    [(name, 0, 0) for name in ("mono8", "bgr8", "rgb8", "bgra8", "rgba8", "yuv422", "yuv422_yuy2", "8UC3")]
    + [("mono16", 0, 0), ("mono16", 0, 1), ("rgb16", 0, 0), ("bgr8", 12, 0), ("mono16", 4, 1)],
)
def test_samples_outside_of_regions_stay_in_every_encoding(
    tmp_path: Path, encoding: str, padding: int, big: int
) -> None:
    messages = [raw(number, encoding, padding, big=big) for number in range(2)]
    source = one_topic(tmp_path / "in.mcap", RAW, messages)
    _, target = hide(source)
    for old, new in zip(messages, data_of(target), strict=True):
        before, after = pixels(old, RAW), pixels(new, RAW)
        assert len(old) == len(new)
        changed = (before != after).any(axis=2)
        assert changed[INSIDE].all()
        changed[BOX.y0 : BOX.y1, BOX.x0 : BOX.x1] = False
        assert not changed.any()
        yuv, opaque = {16, 128}, {0, 255}
        black = {"yuv422": yuv, "yuv422_yuy2": yuv, "bgra8": opaque, "rgba8": opaque}
        assert set(np.unique(after[INSIDE])) == black.get(encoding, {0})


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_image_files_in_messages_keep_their_format_and_lose_their_metadata(tmp_path: Path, format: str) -> None:
    messages = [compressed(number, format, name=f"bgr8; {format.lower()} compressed bgr8") for number in range(2)]
    source = one_topic(tmp_path / "in.mcap", COMPRESSED, messages)
    _, target = hide(source)
    for old, new in zip(messages, data_of(target), strict=True):
        was, now = logs.decoded(old, COMPRESSED), logs.decoded(new, COMPRESSED)
        assert (was.header, was.format) == (now.header, now.format)
        assert now.data[:4].tobytes() == was.data[:4].tobytes()
        assert (pixels(new, COMPRESSED)[INSIDE] <= 12).all()


def test_messages_without_a_region_come_out_bit_for_bit(tmp_path: Path) -> None:
    source = mcap(tmp_path / "in.mcap", drive())
    report, target = hide(source, engine=finding(Region(BOX, "nobody", 0.9)))
    assert contents_of(source).messages == contents_of(target).messages
    assert report.labels == {}


def test_a_camera_is_followed_as_a_video_by_log_time(tmp_path: Path) -> None:
    def seen(frame: Frame) -> Sequence[Region]:
        return [] if frame.index == 2 else [Region(BOX, "face", 0.9)]

    still = picture("PNG", 1)
    messages = [compressed(i, data=still, name="png") for i in range(6)]
    told = [Told("/camera", COMPRESSED, logs.START_NS + i * logs.STEP_NS, data) for i, data in enumerate(messages)]
    source = mcap(tmp_path / "in.mcap", [told[i] for i in (1, 0, 3, 2, 5, 4)])
    host = RuntimeConfig(localizers={"fake": lambda: FakeLocalizer(seen)}, offline=True)
    report, target = hide(source, replace(PLAN, video=Video(every=1)), Engine(host=host))
    assert all((pixels(data, COMPRESSED)[INSIDE] == 0).all() for data in data_of(target))
    assert [message[1] for message in contents_of(target).messages] == [
        message[1] for message in contents_of(source).messages
    ]
    assert [(track.first_frame, track.last_frame, track.frames) for track in report.tracks] == [(0, 5, 6)]


UNKNOWN = [
    ("Bayer", RAW, [raw(0, "bayer_rggb8")], "bayer_rggb8"),
    ("depth", RAW, [raw(0, "16UC1")], "16UC1"),
    ("compressed depth", COMPRESSED, [compressed(0, "PNG", name="16UC1; compressedDepth")], "compressedDepth"),
    ("depth in a PNG", COMPRESSED, [compressed(0, "PNG", name="16UC1; png compressed ")], "16UC1"),
]


@pytest.mark.parametrize(("kind", "messages", "named"), [row[1:] for row in UNKNOWN], ids=[row[0] for row in UNKNOWN])
def test_images_of_unknown_encodings_are_refused_unless_the_plan_names_them(
    tmp_path: Path, kind: str, messages: Sequence[bytes], named: str
) -> None:
    source = one_topic(tmp_path / "in.mcap", kind, messages)
    with pytest.raises(BadInput, match=rf"^/camera: .*{named}.*drop_members.*copy_members.*topics"):
        hide(source)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mcap"]
    report, target = hide(source, replace(PLAN, copy_members=("/camera",)))
    assert data_of(target) == list(messages)
    assert any("may show people" in text for text in report.warnings)
    assert check(target).leaks
    target.unlink()
    for plan in (replace(PLAN, drop_members=("/camera",)), replace(PLAN, topics=("/note",))):
        _, target = hide(source, plan)
        after = contents_of(target)
        assert [channel.topic for channel in after.channels.values()] == ["/note"]
        assert [schema.name for schema in after.schemas.values()] == ["std_msgs/msg/String"]
        assert (after.statistics.message_count, after.statistics.channel_count) == (1, 1)
        target.unlink()


def custom(*fields: str) -> dict[str, tuple[str, bytes]]:
    return {"car_msgs/msg/Thing": ("ros2msg", "\n".join(fields).encode())}


BLOB = b"\0\1\0\0" + (5000).to_bytes(4, "little") + bytes(range(7, 207)) * 25
IMAGE_INSIDE = custom("sensor_msgs/Image i", "===", "MSG: sensor_msgs/Image", "uint8[] data")
PROTOBUF = ("protobuf", b"\n\0")
THING = "car_msgs/msg/Thing"
OTHER: list[tuple[str, str, dict[str, tuple[str, bytes]], str]] = [
    ("bytes of an unknown type", THING, custom("uint8[] data"), "unknown kind"),
    ("an image inside", THING, IMAGE_INSIDE, "unknown kind"),
    ("a large fixed array", THING, custom("uint16[640000] p"), "unknown kind"),
    ("protobuf of an unknown type", "car.Thing", {"car.Thing": PROTOBUF}, "unknown kind"),
    ("foxglove's images", "foxglove.RawImage", {"foxglove.RawImage": PROTOBUF}, "does not read"),
    ("foxglove's videos", "foxglove.CompressedVideo", {"foxglove.CompressedVideo": PROTOBUF}, "does not read"),
]


@pytest.mark.parametrize(("kind", "definitions", "reason"), [row[1:] for row in OTHER], ids=[row[0] for row in OTHER])
def test_messages_that_may_hold_pictures_are_refused_by_topic(
    tmp_path: Path, kind: str, definitions: dict[str, tuple[str, bytes]], reason: str
) -> None:
    source = one_topic(tmp_path / "in.mcap", kind, [BLOB], "/thing", definitions=definitions)
    with pytest.raises(BadInput, match=f"^/thing: .*{reason}"):
        hide(source)
    short = one_topic(tmp_path / "in.mcap", kind, [BLOB[:900]], "/thing", definitions=definitions)
    assert hide(short)[0].members[0]["action"] == "copied"


@pytest.mark.parametrize("kind", [RAW, COMPRESSED])
def test_images_in_another_encoding_are_never_copied(tmp_path: Path, kind: str) -> None:
    source = one_topic(tmp_path / "in.mcap", kind, [b'{"data": "' + bytes(range(48, 91)) * 50], encoding="json")
    with pytest.raises(BadInput, match=r"^/camera: pictures of a type that velum does not read .*in json"):
        hide(source, replace(PLAN, copy_members=("*",)))


def test_large_json_of_an_unknown_type_may_hold_pixels_as_text(tmp_path: Path) -> None:
    pixels = base64.b64encode(bytes(range(7, 207)) * 25).decode()
    definitions = {"car.Thing": ("jsonschema", b'{"type": "object"}')}
    source = one_topic(
        tmp_path / "in.mcap", "car.Thing", [b'{"pixels": "%s"}' % pixels.encode()], "/thing",
        definitions=definitions, encoding="json",
    )  # fmt: skip
    with pytest.raises(BadInput, match=r"^/thing: .*unknown kind"):
        hide(source)
    assert hide(source, replace(PLAN, copy_members=("/thing",)))[0].members[0]["action"] == "copied"


def test_types_without_arrays_of_bytes_are_copied(tmp_path: Path) -> None:
    source = one_topic(
        tmp_path / "in.mcap", THING, [BLOB], "/thing", definitions=custom("float32[] ranges", "string s")
    )
    assert data_of(hide(source)[1], "/thing") == [BLOB]


def test_pictures_inside_of_other_messages_are_never_copied(tmp_path: Path) -> None:
    blob = bytes(2000) + picture("JPEG")
    words = "x" * 2000 + base64.b64encode(picture("JPEG")).decode()
    definitions = custom("float32[] data")
    for kind, data in (("car_msgs/msg/Thing", b"\0\1\0\0" + blob), ("std_msgs/msg/String", logs.text(words))):
        source = one_topic(tmp_path / "in.mcap", kind, [data], "/thing", definitions=definitions)
        with pytest.raises(BadInput, match=r"^/thing: messages with pictures in them"):
            hide(source, replace(PLAN, copy_members=("*",)))
    source = one_topic(tmp_path / "in.mcap", RAW, [raw(0, "mono8")], metadata={"m": {"k": words}})
    with pytest.raises(BadInput, match="metadata/m: "):
        hide(source)
    drawn = {THING: ("ros2msg", b"float32 x # " + picture("JPEG"))}
    source = one_topic(tmp_path / "in.mcap", THING, [b"\0\1\0\0"], "/thing", definitions=drawn)
    with pytest.raises(BadInput, match="its schema 'car_msgs/msg/Thing' holds a picture"):
        hide(source)


def test_topics_that_nobody_has_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadPlan, match=r"no topic that matches /side; its topics are /front/compressed, /rear/image"):
        hide(mcap(tmp_path / "in.mcap", drive(1)), replace(PLAN, topics=("/side",)))


def test_a_log_that_is_cut_off_is_refused_or_recovered_as_asked(tmp_path: Path) -> None:
    whole = mcap(tmp_path / "whole.mcap", drive(8))
    source = tmp_path / "in.mcap"
    data = whole.read_bytes()
    source.write_bytes(data[: len(data) // 2])
    with pytest.raises(BadInput, match=r"in\.mcap: it ends in the middle of a record.*on_damage = cover"):
        hide(source)
    report, target = hide(source, COVER)
    old, new = contents_of(whole).messages, contents_of(target).messages
    assert 8 < len(new) < len(old)
    assert [message[:4] for message in new] == [message[:4] for message in old[: len(new)]]
    assert any("recording is longer than the result" in text for text in report.warnings)
    assert not check(target, against=source).leaks


@pytest.mark.parametrize("where", ["chunk", "summary", "magic"])
def test_every_cut_is_told(tmp_path: Path, where: str) -> None:
    source = mcap(tmp_path / "in.mcap", drive(3))
    data = source.read_bytes()
    source.write_bytes(
        {"chunk": data[:2000] + bytes(40) + data[2040:], "summary": data[:-60], "magic": data[:-8]}[where]
    )
    with pytest.raises(BadInput, match="cannot read"):
        hide(source)


DAMAGED: list[tuple[str, str, bytes]] = [
    ("a cut JPEG", COMPRESSED, compressed(1, data=picture("JPEG", 1)[:300], name="jpeg")),
    ("no image", COMPRESSED, compressed(1, data=b"nothing at all", name="jpeg")),
    ("another size", COMPRESSED, compressed(1, data=picture("PNG", 1)[:-30], name="png")),
]


@pytest.mark.parametrize(("kind", "data"), [row[1:] for row in DAMAGED], ids=[row[0] for row in DAMAGED])
def test_a_damaged_image_means_no_output_or_a_black_one(tmp_path: Path, kind: str, data: bytes) -> None:
    source = one_topic(tmp_path / "in.mcap", kind, [compressed(0), data, compressed(2)])
    with pytest.raises(BadInput, match=r"/camera, message 2"):
        hide(source)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mcap"]
    report, target = hide(source, COVER)
    found = data_of(target)
    assert (pixels(found[1], kind) <= 8).all()
    assert not (pixels(found[0], kind) <= 8).all()
    assert any("message 2 cannot be read, and is covered" in text for text in report.warnings)


def test_a_message_that_is_no_message_of_its_type_costs_its_topic(tmp_path: Path) -> None:
    source = one_topic(tmp_path / "in.mcap", RAW, [raw(0, "bgr8"), raw(1, "bgr8")[:2000]])
    with pytest.raises(BadInput, match=r"/camera: message 2.*its message ends early"):
        hide(source)
    report, target = hide(source, COVER)
    assert [channel.topic for channel in contents_of(target).channels.values()] == ["/note"]
    assert report.members[0]["action"] == "removed"


def test_bytes_beside_rows_go_and_the_check_finds_them(tmp_path: Path) -> None:
    message = bytearray(raw(0, "bgr8", 16))
    message[-8:] = b"a secret"
    source = one_topic(tmp_path / "in.mcap", RAW, [bytes(message)])
    assert any("beside the rows" in leak.message for leak in check(source).leaks)
    _, target = hide(source)
    assert b"a secret" not in data_of(target)[0]
    assert not check(target).leaks


def stray(data: bytes) -> bytes:
    return data[:8] + b"\x90" + (4).to_bytes(8, "little") + b"junk" + data[8:]


@pytest.mark.parametrize("change", [stray, lambda data: data + b"behind the end"], ids=["a record", "bytes behind"])
def test_bytes_of_no_known_record_are_left_out_and_are_leaks(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    source = mcap(tmp_path / "in.mcap", drive(2))
    source.write_bytes(change(source.read_bytes()))
    assert any("it holds" in leak.message for leak in check(source).leaks)
    report, target = hide(source)
    assert any("left out" in text for text in report.warnings)
    assert b"junk" not in target.read_bytes()
    assert not check(target).leaks


def test_verify_publishes_no_log_with_a_leak(tmp_path: Path) -> None:
    plan = replace(PLAN, verify=True)
    source = mcap(tmp_path / "in.mcap", drive(2))
    host = RuntimeConfig(localizers={"fake": lambda: FakeLocalizer([Region(BOX, "face", 0.9)])}, offline=True)
    report, target = hide(source, plan, Engine(host=host))
    assert report.check is not None
    assert target.exists()
    depth = one_topic(tmp_path / "depth.mcap", RAW, [raw(0, "16UC1")])
    with pytest.raises(BadInput):
        hide(depth, plan)


def test_a_log_in_an_archive_is_hidden_too(tmp_path: Path) -> None:
    log = mcap(tmp_path / "x.mcap", drive(2))
    report, _ = hide(zipped(tmp_path / "in.zip", {"day/drive.mcap": log.read_bytes()}))
    assert report.members[0]["name"] == "day/drive.mcap//front/compressed"


def test_limits_hold_for_logs(tmp_path: Path) -> None:
    source = mcap(tmp_path / "in.mcap", drive(3))
    for limits in (Limits(members=2), Limits(unpacked_bytes=10_000), Limits(video_frames=2), Limits(pixels=100)):
        with pytest.raises(LimitExceeded):
            hide(source, engine=Engine(host=RuntimeConfig(localizers={"fake": FakeLocalizer}), limits=limits))


@pytest.mark.parametrize("humble", [True, False])
def test_rosbag2_files_keep_all_rows_but_images(tmp_path: Path, humble: bool) -> None:
    source = logs.rosbag2(tmp_path / "bag", drive(), humble=humble)
    report, target = hide(source)
    before, after = logs.rows_of(source), logs.rows_of(target)
    assert logs.columns_of(source) == logs.columns_of(target)
    assert before.keys() == after.keys()
    assert all(before[name] == after[name] for name in before if name != "messages")
    names = {row[0]: row[1] for row in before["topics"]}
    for old, new in zip(before["messages"], after["messages"], strict=True):
        assert old[:3] == new[:3]
        if kind := IMAGE_TOPICS.get(names[old[1]]):
            assert (pixels(new[3], kind)[INSIDE] <= 8).all()
            assert logs.decoded(new[3], kind).header == logs.decoded(old[3], kind).header
        else:
            assert old == new
    assert [member["action"] for member in report.members] == ["hidden", "hidden", "copied", "copied"]
    assert not check(target, against=source).leaks


def test_topics_of_rosbag2_files_are_left_out_with_their_definitions(tmp_path: Path) -> None:
    source = logs.rosbag2(tmp_path / "bag", drive(2))
    _, target = hide(source, replace(PLAN, drop_members=("/lidar",)))
    after = logs.rows_of(target)
    assert [row[1] for row in after["topics"]] == ["/front/compressed", "/rear/image", "/note"]
    assert (len(after["messages"]), len(after["message_definitions"])) == (6, 3)


STRANGE = {
    "a table": "CREATE TABLE notes AS SELECT 'Jane' AS words",
    "a view": "CREATE VIEW notes AS SELECT 'Jane' AS words",
    "a trigger": "CREATE TRIGGER notes AFTER INSERT ON topics BEGIN SELECT 'Jane'; END",
    "an index": "CREATE INDEX notes ON topics (name) WHERE name != 'Jane'",
    "statistics": "ANALYZE; UPDATE sqlite_stat1 SET stat = 'Jane'",
    "a column": "ALTER TABLE messages ADD COLUMN words TEXT DEFAULT 'Jane'; UPDATE messages SET words = 'Jane'",
    "a column of topics": "ALTER TABLE topics ADD COLUMN words BLOB DEFAULT 'Jane'",
    "a computed column": "ALTER TABLE messages ADD COLUMN words TEXT AS ('Jane')",
    "a deleted row": "INSERT INTO topics (id, name, type, serialization_format, offered_qos_profiles, "
    "type_description_hash) VALUES (9, 'Jane', 'a', 'b', '', ''); DELETE FROM topics WHERE id = 9",
    "deleted messages": "INSERT INTO messages (topic_id, timestamp, data) VALUES (4, 1700000000000000009, "
    "CAST(printf('%.9000c', 'x') || 'Jane' AS BLOB)); DELETE FROM messages WHERE timestamp = 1700000000000000009",
    "a shorter message": "INSERT INTO messages (topic_id, timestamp, data) VALUES (4, 1700000000000000009, "
    "CAST('Jane' || printf('%.3000c', 'x') AS BLOB)); UPDATE messages SET data = CAST('word' AS BLOB) "
    "WHERE timestamp = 1700000000000000009",
}  # fmt: skip


@pytest.mark.parametrize("name", STRANGE)
def test_what_rosbag2_does_not_write_is_left_out_and_is_a_leak(tmp_path: Path, name: str) -> None:
    source = logs.rosbag2(tmp_path / "bag", drive(2))
    with closing(sqlite3.connect(source)) as database:
        database.execute("PRAGMA secure_delete = OFF")
        database.executescript(STRANGE[name])
    assert b"Jane" in source.read_bytes()
    assert any(leak.kind == "rest" and "it holds" in leak.message for leak in check(source).leaks)
    report, target = hide(source)
    assert any(warning.startswith("left out: ") for warning in report.warnings)
    assert b"Jane" not in target.read_bytes()
    assert not check(target, against=source).leaks


def test_a_full_disk_is_no_damage_of_a_rosbag2_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = logs.rosbag2(tmp_path / "bag", drive(2))

    def fail(*_: Any) -> Any:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr("velum.media.archive.rosbag2_file.Rosbag2Writer._rows", fail)
    with pytest.raises(OutputFailed, match=r"out-.*\.db3: disk I/O error; nothing was published"):
        hide(source)
    assert sorted(path.name for path in source.parent.iterdir()) == sorted([source.name, "metadata.yaml"])


def test_bytes_behind_the_last_page_of_a_rosbag2_file_are_left_out(tmp_path: Path) -> None:
    source = logs.rosbag2(tmp_path / "bag", drive(2))
    assert not [leak for leak in check(source).leaks if leak.kind == "rest"]
    with source.open("ab") as file:
        file.write(b"Jane" * 1024)
    assert any("behind its last page" in leak.message for leak in check(source).leaks)
    assert b"Jane" not in hide(source)[1].read_bytes()


NASTY = "/cam\n\x1b[31mera"


@pytest.mark.parametrize("suffix", ["mcap", "db3", "bag"])
def test_names_of_a_log_are_shown_without_control_characters(tmp_path: Path, suffix: str) -> None:
    makers = {
        "mcap": lambda told: mcap(tmp_path / "in.mcap", told),
        "db3": lambda told: logs.rosbag2(tmp_path / "bag", told),
        "bag": lambda told: logs.rosbag1(tmp_path / "in.bag", told),
    }
    told = [Told(NASTY, RAW, logs.START_NS, raw(0, "16UC1", ros1=suffix == "bag"))]
    source = makers[suffix](told)
    with pytest.raises(BadInput) as refused:
        hide(source)
    shown = r"/cam\n\x1b[31mera"
    assert str(refused.value).startswith(shown)
    assert str(refused.value).isprintable()
    report, _ = hide(source, replace(PLAN, copy_members=(shown.replace("[", "[[]"),)))
    assert report.members[0]["name"] == shown
    assert all(text.isprintable() for text in report.warnings)


def test_names_of_attachments_metadata_and_types_are_shown_without_control_characters(tmp_path: Path) -> None:
    source = mcap(
        tmp_path / "in.mcap", [Told("/a", "std_msgs/msg/String", logs.START_NS, logs.text("a"))],
        attachments=[("a\nb.txt", "text/plain", b"words\n")], metadata={"c\rd": {"a": "b"}}, encoding="x\ny",
    )  # fmt: skip
    report, target = hide(source)
    assert [member["name"] for member in report.members] == ["/a", r"attachments/a\nb.txt", r"metadata/c\rd"]
    assert contents_of(target).attachments[0].name == "a\nb.txt"


def cut_file(source: Path) -> None:
    source.write_bytes(source.read_bytes()[:20_000])


def stranger(source: Path) -> None:
    with closing(sqlite3.connect(source)) as database:
        database.execute("UPDATE messages SET topic_id = 99 WHERE id = 2")
        database.commit()


def journal(source: Path) -> None:
    source.with_name(f"{source.name}-wal").write_bytes(b"more")


def rollback(source: Path) -> None:
    source.with_name(f"{source.name}-journal").write_bytes(b"more")


def text_for_a_number(source: Path) -> None:
    with closing(sqlite3.connect(source)) as database:
        database.executescript(
            "CREATE TABLE other (id, topic_id, timestamp, data); INSERT INTO other SELECT 'Jane', topic_id, timestamp, "
            "data FROM messages; DROP TABLE messages; ALTER TABLE other RENAME TO messages"
        )


@pytest.mark.parametrize("damage", [cut_file, stranger, journal, rollback, text_for_a_number])
def test_damaged_rosbag2_files_are_refused(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    source = logs.rosbag2(tmp_path / "bag", drive(2))
    damage(source)
    with pytest.raises(BadInput, match="cannot read"):
        hide(source)
    assert not source.with_name(f"out-{source.name}").exists()


@pytest.mark.parametrize("compression", ["none", "bz2", "lz4"])
def test_ros_1_bags_keep_all_messages_but_images(tmp_path: Path, compression: str) -> None:
    source = logs.rosbag1(tmp_path / "in.bag", drive(ros1=True), compression)
    report, target = hide(source)
    (before, old_messages), (after, new_messages) = logs.bag_contents(source), logs.bag_contents(target)
    assert before == after
    for old, new in zip(old_messages, new_messages, strict=True):
        assert old[:3] == new[:3]
        if kind := IMAGE_TOPICS.get(old.topic):
            assert (pixels(new.data, kind, ros1=True)[INSIDE] <= 8).all()
            assert logs.decoded(new.data, kind, ros1=True).header == logs.decoded(old.data, kind, ros1=True).header
        else:
            assert old == new
    assert [member["action"] for member in report.members] == ["hidden", "hidden", "copied", "copied"]
    assert not check(target, against=source).leaks


def test_a_topic_of_a_ros_1_bag_is_left_out_with_its_connection(tmp_path: Path) -> None:
    source = logs.rosbag1(tmp_path / "in.bag", drive(2, ros1=True))
    _, target = hide(source, replace(PLAN, topics=("/note",)))
    connections, messages = logs.bag_contents(target)
    assert [one[1] for one in connections] == ["/note"]
    assert [message.topic for message in messages] == ["/note"] * 2
    assert b"camera_front" not in target.read_bytes()


@pytest.mark.parametrize("size", [4200, 60_000, -100])
def test_a_ros_1_bag_that_is_cut_off_is_refused_or_recovered_as_asked(tmp_path: Path, size: int) -> None:
    whole = logs.rosbag1(tmp_path / "whole.bag", drive(8, ros1=True))
    source = tmp_path / "in.bag"
    source.write_bytes(whole.read_bytes()[:size])
    with pytest.raises(BadInput, match=r"cannot read .*in\.bag: it ends in the middle of a record"):
        hide(source)
    report, target = hide(source, COVER)
    old, new = logs.bag_contents(whole)[1], logs.bag_contents(target)[1]
    assert [message[:3] for message in new] == [message[:3] for message in old[: len(new)]]
    assert len(new) == {4200: 0, 60_000: len(new), -100: 32}[size]
    assert any("recording is longer than the result" in text for text in report.warnings)


@pytest.mark.parametrize(
    ("plan", "warning"),
    [
        ({"drop_members": ("/nope",)}, "drop_members = /nope matches nothing in the source"),
        ({"copy_members": ("/nope",)}, "copy_members = /nope matches nothing in the source"),
        ({"drop_members": ("*",)}, "everything was left out: the result is empty"),
        ({"drop_members": ("/lidar", "*.tmp")}, None),
    ],
)
def test_names_that_no_topic_has_and_an_empty_result_are_told(
    tmp_path: Path, plan: dict[str, Any], warning: str | None
) -> None:
    report, _ = hide(mcap(tmp_path / "in.mcap", drive()), replace(PLAN, **plan))
    told = [text for text in report.warnings if "matches nothing" in text or "is empty" in text]
    assert len(told) == (warning is not None)
    assert warning is None or warning in told[0]
