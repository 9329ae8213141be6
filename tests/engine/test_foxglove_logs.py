"""Foxglove's images and videos in sensor logs: in protobuf, JSON, CDR and ROS 1, read back by other programs."""

import base64
import io
import json
import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("mcap", reason="the extra logs is not installed")
pytest.importorskip("rosbags", reason="rosbags, which writes messages for these tests, is not installed")
pytest.importorskip("google.protobuf", reason="protobuf, which reads messages for these tests, is not installed")

import av
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from PIL import Image
from tests.engine.test_logs import COVER, INSIDE, check, hide
from tests.media.archive import logs
from tests.media.archive.factories import picture
from tests.media.archive.logs import Told, contents_of, mcap

from velum import Limits, media
from velum.errors import BadInput
from velum.media.archive.log_video import container_of, write_video

BYTES, TEXT, NUMBER = 12, 9, 7
FIELDS = {
    "foxglove.CompressedImage": (("frame_id", 4, TEXT), ("data", 2, BYTES), ("format", 3, TEXT)),
    "foxglove.CompressedVideo": (("frame_id", 2, TEXT), ("data", 3, BYTES), ("format", 4, TEXT)),
    "foxglove.RawImage": (
        ("frame_id", 7, TEXT), ("width", 2, NUMBER), ("height", 3, NUMBER), ("encoding", 4, TEXT), ("step", 5, NUMBER),
        ("data", 6, BYTES),
    ),
}  # fmt: skip
"""Name, number and type of each field, as Foxglove defines them."""


def message_class(kind: str) -> tuple[Any, bytes]:
    """The class of a message that protobuf makes of a definition, and the definition."""
    file = FileDescriptorProto(name=f"{kind}.proto", package="foxglove", syntax="proto3")
    message = file.message_type.add(name=kind.partition(".")[2])
    for name, number, written_as in FIELDS[kind]:
        message.field.add(name=name, number=number, type=written_as, label=1)
    pool = DescriptorPool()
    pool.Add(file)
    definition = FileDescriptorSet(file=[file]).SerializeToString()
    return GetMessageClass(pool.FindMessageTypeByName(kind)), definition


def cdr(kind: str, values: dict[str, Any], aligned: bool = True) -> bytes:
    """A message of foxglove_msgs; `aligned` for ROS 2, else ROS 1."""
    parts = bytearray(struct.pack("<II", 17, 18))

    def add(data: bytes) -> None:
        parts.extend(bytes(-len(parts) % 4 if aligned else 0) + struct.pack("<I", len(data)) + data)

    end = b"\0" if aligned else b""
    add(values["frame_id"].encode() + end)
    if kind.endswith("RawImage"):
        parts.extend(bytes(-len(parts) % 4 if aligned else 0) + struct.pack("<II", values["width"], values["height"]))
        add(values["encoding"].encode() + end)
        parts.extend(bytes(-len(parts) % 4 if aligned else 0) + struct.pack("<I", values["step"]))
        add(values["data"])
    else:
        add(values["data"])
        add(values["format"].encode() + end)
    return (b"\0\1\0\0" if aligned else b"") + bytes(parts)


def from_cdr(kind: str, data: bytes, aligned: bool) -> dict[str, Any]:
    """The fields of a message of foxglove_msgs, as rosbags reads them."""
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore  # noqa: PLC0415  # needed here alone

    name = kind.replace("foxglove.", "foxglove_msgs/msg/")
    fields = (
        "uint32 width\nuint32 height\nstring encoding\nuint32 step\nuint8[] data"
        if kind.endswith("RawImage")
        else "uint8[] data\nstring format"
    )
    store = get_typestore(Stores.ROS2_HUMBLE)
    store.register(get_types_from_msg(f"builtin_interfaces/Time timestamp\nstring frame_id\n{fields}", name))
    message = store.deserialize_cdr(data, name) if aligned else store.deserialize_ros1(data, name)
    assert (message.timestamp.sec, message.timestamp.nanosec) == (17, 18)  # type: ignore[attr-defined]
    found = {field: getattr(message, field) for field, _, _ in FIELDS[kind]}
    return found | {"data": found["data"].tobytes()}


def to_json(values: dict[str, Any]) -> bytes:
    """A message in JSON, with spaces and an order of its own."""
    return json.dumps(values | {"data": base64.b64encode(values["data"]).decode()}, indent=1).encode()


def from_json(data: bytes) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(data)
    return values | {"data": base64.b64decode(values["data"])}


def coded(kind: str, encoding: str) -> tuple[str, bytes, str, Callable[[dict[str, Any]], bytes], Any]:
    """Name, definition and its encoding of a type, and what writes and reads its messages."""
    if encoding == "protobuf":
        made, definition = message_class(kind)
        return (
            kind,
            definition,
            "protobuf",
            lambda values: bytes(made(**values).SerializeToString()),
            (lambda data: {name: getattr(made.FromString(data), name) for name, _, _ in FIELDS[kind]}),
        )
    if encoding == "json":
        return kind, b"{}", "jsonschema", to_json, from_json
    aligned = encoding == "cdr"
    ros = kind.replace("foxglove.", "foxglove_msgs/msg/" if aligned else "foxglove_msgs/")
    text = "ros2msg" if aligned else "ros1msg"
    return ros, b"uint8[] data", text, lambda values: cdr(kind, values, aligned), (
        lambda data: from_cdr(kind, data, aligned)
    )  # fmt: skip


def log_of(path: Path, kind: str, encoding: str, values: Sequence[dict[str, Any]]) -> tuple[Path, Any]:
    """A log with a topic of these messages, and what reads them."""
    name, definition, written_in, write, read = coded(kind, encoding)
    told = [Told("/camera", name, logs.START_NS + i * logs.STEP_NS, write(value)) for i, value in enumerate(values)]
    return mcap(path, told, encoding=encoding, definitions={name: (written_in, definition)}), read


def stills(number: int) -> dict[str, Any]:
    # Frames of different lengths: what follows an image moves by 0 to 3 bytes.
    return {"frame_id": "cam" + "x" * number, "data": picture("JPEG", number), "format": "jpeg"}


def raws(number: int) -> dict[str, Any]:
    samples = np.random.default_rng(number).integers(32, 224, 48 * 64 * 3, dtype=np.uint8).tobytes()
    return {"frame_id": "cam", "width": 64, "height": 48, "encoding": "rgb8", "step": 192, "data": samples}


def shown(values: dict[str, Any]) -> "np.typing.NDArray[Any]":
    if "encoding" in values:
        return np.frombuffer(values["data"], np.uint8).reshape(48, 64, 3)
    with Image.open(io.BytesIO(values["data"])) as image:
        return np.asarray(image.convert("RGB")).copy()


@pytest.mark.parametrize("encoding", ["protobuf", "json", "cdr", "ros1"])
@pytest.mark.parametrize("kind", ["CompressedImage", "RawImage"])
def test_images_of_foxglove_are_hidden_and_their_other_fields_stay(tmp_path: Path, kind: str, encoding: str) -> None:
    values = [(raws if kind == "RawImage" else stills)(number) for number in range(4)]
    source, read = log_of(tmp_path / "in.mcap", f"foxglove.{kind}", encoding, values)
    report, target = hide(source)
    before, after = contents_of(source), contents_of(target)
    assert report.labels == {"face": 4}
    assert [message[:4] for message in before.messages] == [message[:4] for message in after.messages]
    for old, (*_, data) in zip(values, after.messages, strict=True):
        new = read(data)
        assert {**new, "data": b""} == {**old, "data": b""}
        assert (shown(new)[INSIDE] <= 12).all()
        assert np.array_equal(shown(new)[:, 52:], shown(old)[:, 52:])
    assert not check(target, against=source).leaks


def clip(codec: str, frames: int = 60) -> list[bytes]:
    """The packets of a video of a moving stripe, each with one frame; a key frame every four."""
    stream: Any = av.CodecContext.create(codec, "w")
    stream.width, stream.height, stream.pix_fmt, stream.framerate = 64, 48, "yuv420p", 10
    stream.time_base, stream.gop_size, stream.max_b_frames = Fraction(1, 10), 4, 0
    stream.options = {
        "libx264": {"tune": "zerolatency"},
        "libx265": {"x265-params": "log-level=none:bframes=0"},
        "libvpx-vp9": {"lag-in-frames": "0"},
    }.get(codec, {})
    packets: list[Any] = []
    for number in range(frames):
        samples = np.full((48, 64, 3), 120, np.uint8)
        samples[:, number * 4 : number * 4 + 8] = 220
        packets += stream.encode(av.VideoFrame.from_ndarray(samples))
    return [bytes(packet) for packet in (*packets, *stream.encode(None))]


def decoded(codec: str, packets: Sequence[bytes]) -> list["np.typing.NDArray[Any]"]:
    reader: Any = av.CodecContext.create({"h265": "hevc", "av1": "libdav1d"}.get(codec, codec), "r")
    frames: list[Any] = [frame for packet in packets for frame in reader.decode(av.Packet(packet))]
    return [frame.to_ndarray(format="rgb24") for frame in (*frames, *reader.decode(None))]


VIDEOS = [
    ("h264", "libx264", "protobuf"),
    ("h264", "libx264", "cdr"),
    ("vp9", "libvpx-vp9", "json"),
    ("h265", "libx265", "protobuf"),
    ("av1", "libsvtav1", "protobuf"),
]


@pytest.mark.parametrize(("format", "encoder", "encoding"), VIDEOS)
def test_a_topic_that_is_a_video_has_one_hidden_frame_in_each_message(
    tmp_path: Path, format: str, encoder: str, encoding: str
) -> None:
    values: list[dict[str, Any]] = [{"frame_id": "cam", "data": data, "format": format} for data in clip(encoder)]
    source, read = log_of(tmp_path / "in.mcap", "foxglove.CompressedVideo", encoding, values)
    report, target = hide(source)
    before, after = contents_of(source), contents_of(target)
    assert [message[:4] for message in before.messages] == [message[:4] for message in after.messages]
    new = [read(message[4]) for message in after.messages]
    assert [{**one, "data": b""} for one in new] == [{**one, "data": b""} for one in values]
    old_frames = decoded(format, [one["data"] for one in values])
    frames = decoded(format, [one["data"] for one in new])
    assert len(frames) == len(old_frames) == 60
    for was, now in zip(old_frames, frames, strict=True):
        assert (now[INSIDE] <= 24).all()
        assert np.abs(was[44:].astype(int) - now[44:]).mean() < 8
    assert report.members[0]["action"] == "hidden"
    assert not check(target, against=source).leaks


@pytest.mark.parametrize("rate", [Fraction(10), Fraction(30_000, 1001)])
@pytest.mark.parametrize(("format", "encoder"), sorted({row[:2] for row in VIDEOS}))
def test_the_video_of_a_topic_has_as_many_frames_a_second_as_the_topic(
    tmp_path: Path, format: str, encoder: str, rate: Fraction
) -> None:
    file = tmp_path / f"topic{media.suffix_of(container_of(format))}"
    write_video(file, format, rate, clip(encoder), Limits())
    with media.open_source(file, Limits()) as reader:
        assert reader.info.fps is not None
        assert float(reader.info.fps) == pytest.approx(float(rate), rel=1e-3)


REFUSED: dict[str, tuple[list[dict[str, Any]], str]] = {
    "VP8": ([{"frame_id": "", "data": bytes(2000), "format": "vp8"}], "vp8"),
    "H.265": ([{"frame_id": "", "data": bytes(2000), "format": "h265"}], "begin with a key frame"),
    "AV1": ([{"frame_id": "", "data": bytes(2000), "format": "av1"}], "begin with a key frame"),
    "two formats": (
        [{"frame_id": "", "data": bytes(2000), "format": word} for word in ("h264", "vp9")], "several formats"
    ),
    "noise": ([{"frame_id": "", "data": b"\0\0\1e" + bytes(range(1, 250)) * 9, "format": "h264"}], "cannot be read"),
    "no key frame": ([{"frame_id": "", "data": bytes(range(250)) * 9, "format": "h264"}], "begin with a key frame"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_videos_that_velum_does_not_hide_in_are_refused_with_their_topic(tmp_path: Path, name: str) -> None:
    values, reason = REFUSED[name]
    source, _ = log_of(tmp_path / "in.mcap", "foxglove.CompressedVideo", "protobuf", values)
    with pytest.raises(BadInput, match=rf"^/camera: .*({reason}).*drop_members"):
        hide(source)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mcap"]


def test_a_video_that_begins_between_two_key_frames_is_refused_or_left_out(tmp_path: Path) -> None:
    values = [{"frame_id": "", "data": data, "format": "h264"} for data in clip("libx264")[2:]]
    source, _ = log_of(tmp_path / "in.mcap", "foxglove.CompressedVideo", "protobuf", values)
    with pytest.raises(BadInput, match="does not begin with a key frame"):
        hide(source)
    report, target = hide(source, COVER)
    assert report.members[0]["action"] == "removed"
    assert contents_of(target).messages == []


PAGE = base64.b64encode(picture("JPEG", 1)).decode()
DAMAGED: dict[str, tuple[str, bytes]] = {
    "a field twice": ("protobuf", b"\x12\x01a\x12\x01b" + bytes([0x1A, 4]) + b"jpeg" + bytes([0x22, 0])),
    "the end is missing": ("protobuf", b"\x12\xff\x7fabc"),
    "a long text": ("json", json.dumps({"data": PAGE, "format": "jpeg", "frame_id": PAGE * 3}).encode()),
    "two keys": ("json", f'{{"data": "{PAGE}", "format": "jpeg", "data": "{PAGE}"}}'.encode()),
    "escapes": ("json", json.dumps({"data": PAGE, "format": "jpeg"}).replace("/9j", "\\/9j").encode()),
    "no object": ("json", b"[1, 2]" + b" " * 2000),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_messages_of_foxglove_that_are_not_whole_are_refused(tmp_path: Path, name: str) -> None:
    encoding, data = DAMAGED[name]
    schema, definition, written_in, _, _ = coded("foxglove.CompressedImage", encoding)
    told = [Told("/camera", schema, logs.START_NS, data)]
    source = mcap(tmp_path / "in.mcap", told, encoding=encoding, definitions={schema: (written_in, definition)})
    with pytest.raises(BadInput, match=r"^/camera: message 1, logged at"):
        hide(source)


def test_a_picture_in_a_text_beside_the_image_is_refused(tmp_path: Path) -> None:
    kind = logs.types().types["sensor_msgs/msg/CompressedImage"]
    data = np.frombuffer(picture("JPEG", 2), np.uint8)
    message = logs.serialized(kind(header=logs.header(0, frame=PAGE), format="jpeg", data=data))
    source = mcap(tmp_path / "in.mcap", [Told("/camera", "sensor_msgs/msg/CompressedImage", logs.START_NS, message)])
    with pytest.raises(BadInput, match=r"a text beside its image has \d+ bytes"):
        hide(source)
