"""Sensor logs, drawn on the spot: cameras that see a bright noise, a laser scanner, poses and texts."""

import io
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mcap.reader import make_reader
from mcap.writer import CompressionType, Writer
from PIL import Image
from rosbags.rosbag1 import Reader as Bag1Reader
from rosbags.rosbag1 import Writer as Bag1Writer
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as BagWriter
from rosbags.typesys import Stores, get_typestore
from tests.media.archive.factories import SIZE, picture

STEP_NS = 100_000_000
START_NS = 1_700_000_000_000_000_000
WIDTH, HEIGHT = SIZE


class Told(NamedTuple):
    """One message: its topic, its type, when it was logged, and its bytes."""

    topic: str
    type: str
    time: int
    data: bytes


@cache
def types(ros1: bool = False) -> Any:
    return get_typestore(Stores.ROS1_NOETIC if ros1 else Stores.ROS2_HUMBLE)


def serialized(message: Any, ros1: bool = False) -> bytes:
    store = types(ros1)
    data = (
        store.serialize_ros1(message, message.__msgtype__)
        if ros1
        else store.serialize_cdr(message, message.__msgtype__)
    )
    return bytes(data)


def header(number: int, frame: str = "camera_front", ros1: bool = False) -> Any:
    found = types(ros1).types
    stamp = found["builtin_interfaces/msg/Time"](sec=1_700_000_000, nanosec=number * STEP_NS % 1_000_000_000)
    if ros1:
        return found["std_msgs/msg/Header"](seq=number, stamp=stamp, frame_id=frame)
    return found["std_msgs/msg/Header"](stamp=stamp, frame_id=frame)


def compressed(
    number: int, format: str = "JPEG", data: bytes | None = None, ros1: bool = False, name: str = ""
) -> bytes:
    """A sensor_msgs/CompressedImage."""
    kind = types(ros1).types["sensor_msgs/msg/CompressedImage"]
    blob = np.frombuffer(picture(format, number) if data is None else data, np.uint8)
    return serialized(kind(header=header(number, ros1=ros1), format=name or format.lower(), data=blob), ros1)


CHANNELS = {"mono8": 1, "bgr8": 3, "rgb8": 3, "bgra8": 4, "rgba8": 4, "mono16": 2, "yuv422": 2, "yuv422_yuy2": 2}
CHANNELS |= {"bayer_rggb8": 1, "16UC1": 2, "8UC3": 3, "rgb16": 6}


def raw(number: int, encoding: str, padding: int = 0, ros1: bool = False, big: int = 0) -> bytes:
    """A sensor_msgs/Image of noise that no zero is in."""
    kind = types(ros1).types["sensor_msgs/msg/Image"]
    size = WIDTH * CHANNELS[encoding]
    rows = np.zeros((HEIGHT, size + padding), np.uint8)
    rows[:, :size] = np.random.default_rng(number).integers(32, 224, (HEIGHT, size), dtype=np.uint8)
    return serialized(
        kind(
            header=header(number, ros1=ros1), height=HEIGHT, width=WIDTH, encoding=encoding, is_bigendian=big,
            step=size + padding, data=rows.reshape(-1),
        ),
        ros1,
    )  # fmt: skip


def points(number: int, ros1: bool = False) -> bytes:
    """A sensor_msgs/PointCloud2 of 500 points."""
    found = types(ros1).types
    field = found["sensor_msgs/msg/PointField"](name="x", offset=0, datatype=7, count=1)
    data = np.random.default_rng(number).integers(0, 256, 4000, dtype=np.uint8)
    return serialized(
        found["sensor_msgs/msg/PointCloud2"](
            header=header(number, "lidar", ros1), height=1, width=500, fields=[field], is_bigendian=False,
            point_step=8, row_step=4000, data=data, is_dense=True,
        ),
        ros1,
    )  # fmt: skip


def text(words: str, ros1: bool = False) -> bytes:
    """A std_msgs/String."""
    return serialized(types(ros1).types["std_msgs/msg/String"](data=words), ros1)


def drive(frames: int = 4, ros1: bool = False) -> list[Told]:
    """A short drive: two cameras, a scanner and a text."""
    told = []
    for number in range(frames):
        time = START_NS + number * STEP_NS
        told += [
            Told("/front/compressed", "sensor_msgs/msg/CompressedImage", time, compressed(number, ros1=ros1)),
            Told("/rear/image", "sensor_msgs/msg/Image", time + 1, raw(number, "bgr8", ros1=ros1)),
            Told("/lidar", "sensor_msgs/msg/PointCloud2", time + 2, points(number, ros1)),
            Told("/note", "std_msgs/msg/String", time + 3, text(f"note {number}", ros1)),
        ]
    return told


def definition(type: str, ros1: bool = False) -> bytes:
    text, _ = types(ros1).generate_msgdef(type, ros_version=1 if ros1 else 2)
    return bytes(text.encode())


def mcap(
    path: Path, told: Sequence[Told], *, compression: CompressionType = CompressionType.ZSTD, ros1: bool = False,
    chunked: bool = True, attachments: Sequence[tuple[str, str, bytes]] = (),
    metadata: dict[str, dict[str, str]] | None = None, chunk_size: int = 20_000,
    definitions: dict[str, tuple[str, bytes]] | None = None, encoding: str = "",
) -> Path:  # fmt: skip
    """An MCAP file of these messages; `definitions` has the encoding and the bytes of schemas by type."""
    encoding = encoding or ("ros1" if ros1 else "cdr")
    with path.open("wb") as file:
        writer = Writer(file, chunk_size, compression, use_chunking=chunked)
        writer.start("ros1" if ros1 else "ros2", "velum's tests")
        schemas: dict[str, int] = {}
        channels: dict[str, int] = {}
        for name, values in (metadata or {"rosbag2": {"serialized_metadata": "version: 9"}}).items():
            writer.add_metadata(name, values)
        for number, one in enumerate(told):
            if one.type not in schemas:
                kind, text = (definitions or {}).get(one.type, ("ros1msg" if ros1 else "ros2msg", b""))
                schemas[one.type] = writer.register_schema(one.type, kind, text or definition(one.type, ros1))
            if one.topic not in channels:
                channels[one.topic] = writer.register_channel(
                    one.topic, encoding, schemas[one.type], {"offered_qos_profiles": "depth: 5"}
                )
            writer.add_message(channels[one.topic], one.time, one.data, one.time - 5, number)
        for name, media_type, data in attachments:
            writer.add_attachment(START_NS, START_NS, name, media_type, data)
        writer.finish()  # type: ignore[no-untyped-call]  # mcap leaves it without types
    return path


class Contents(NamedTuple):
    """What another program reads of an MCAP file."""

    messages: list[tuple[Any, ...]]
    schemas: dict[int, Any]
    channels: dict[int, Any]
    attachments: list[Any]
    metadata: list[Any]
    statistics: Any


def contents_of(path: Path) -> Contents:
    with path.open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        summary = reader.get_summary()
        assert summary is not None
        messages = [
            (channel.topic, message.log_time, message.publish_time, message.sequence, bytes(message.data))
            for _, channel, message in reader.iter_messages(log_time_order=False)
        ]
        return Contents(
            messages, summary.schemas, summary.channels, list(reader.iter_attachments()),
            list(reader.iter_metadata()), summary.statistics,
        )  # fmt: skip


def decoded(data: bytes, type: str, ros1: bool = False) -> Any:
    """A message as another program decodes it."""
    store = types(ros1)
    return store.deserialize_ros1(data, type) if ros1 else store.deserialize_cdr(data, type)


def pixels(data: bytes, type: str, ros1: bool = False) -> "np.typing.NDArray[Any]":
    """The samples of an image message: of a file as RGB, else (rows, columns, channels)."""
    message = decoded(data, type, ros1)
    if type.endswith("CompressedImage"):
        with Image.open(io.BytesIO(message.data.tobytes())) as image:
            return np.asarray(image.convert("RGB")).copy()
    deep = message.encoding in {"mono16", "16UC1", "rgb16"}
    found = message.data.reshape(message.height, message.step)[:, : message.width * CHANNELS[message.encoding]]
    samples = np.ascontiguousarray(found).view((">u2" if message.is_bigendian else "<u2") if deep else np.uint8)
    return samples.reshape(message.height, message.width, -1)


def rosbag2(folder: Path, told: Sequence[Told], *, humble: bool = False) -> Path:
    """The file of a rosbag2 folder with SQLite; that of ROS 2 Humble has two tables only."""
    with BagWriter(folder, version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        connections = {}
        for one in told:
            if one.topic not in connections:
                connections[one.topic] = writer.add_connection(one.topic, one.type, typestore=types())
            writer.write(connections[one.topic], one.time, one.data)
    path = next(folder.glob("*.db3"))
    if humble:
        with closing(sqlite3.connect(path)) as database:
            for name in ("schema", "metadata", "message_definitions"):
                database.execute(f"DROP TABLE {name}")
            database.execute("VACUUM")
    return path


def rows_of(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of an SQLite file, by table."""
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: database.execute(f"SELECT * FROM {name} ORDER BY rowid").fetchall() for name in names}


def columns_of(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """The columns of all tables, and the indexes."""
    with closing(sqlite3.connect(path)) as database:
        found = {name: database.execute(f"PRAGMA table_info({name})").fetchall() for name in rows_of(path)}
        found["index"] = database.execute("SELECT name, tbl_name FROM sqlite_master WHERE type = 'index'").fetchall()
        return found


def rosbag1(path: Path, told: Sequence[Told], compression: str = "none") -> Path:
    """A ROS 1 bag of several chunks."""
    writer = Bag1Writer(path)
    writer.chunk_threshold = 20_000
    if compression != "none":
        writer.set_compression(Bag1Writer.CompressionFormat[compression.upper()])
    with writer:
        connections = {}
        for one in told:
            if one.topic not in connections:
                connections[one.topic] = writer.add_connection(one.topic, one.type, typestore=types(ros1=True))
            writer.write(connections[one.topic], one.time, one.data)
    return path


def bag_contents(path: Path) -> tuple[list[Any], list[Told]]:
    """Connections and messages of a ROS 1 bag as another program reads them."""
    with Bag1Reader(path) as reader:
        connections = [
            (one.id, one.topic, one.msgtype, one.msgdef, one.digest, one.ext, one.msgcount)
            for one in reader.connections
        ]
        return connections, [Told(one.topic, one.msgtype, time, bytes(data)) for one, time, data in reader.messages()]
