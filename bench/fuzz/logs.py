"""Sensor logs and the messages in them: small ones to start from, and what is done with bad ones."""

import functools
import io
import sqlite3
import struct
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from mcap.writer import CompressionType, Writer
from rosbags.rosbag1 import Writer as BagWriter

from bench.fuzz import pictures
from velum.errors import BadInput
from velum.limits import Limits
from velum.media.archive.image_messages import find_image, splice
from velum.media.image_sequence import SequenceReader
from velum.media.raw_image import RawLayout
from velum.media.sequence_file import SequenceBuilder

_IMAGE, _FILE = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"


def _text(text: str) -> bytes:
    """Return a string of CDR, filled up to four bytes."""
    data = text.encode() + b"\0"
    return struct.pack("<I", len(data)) + data + bytes(-len(data) % 4)


def _head() -> bytes:
    return b"\0\1\0\0" + struct.pack("<iI", 1, 2) + _text("camera1")


@functools.cache
def messages() -> list[bytes]:
    """Messages of both image types in CDR, an image file first."""
    samples = bytes(range(48)) * 24
    layout = struct.pack("<II", 24, 16) + struct.pack("<I", 5) + b"bgr8\0" + struct.pack("<BxxII", 0, 48, len(samples))
    files = [_head() + _text("jpeg") + struct.pack("<I", len(data)) + data for data in pictures.stills()[:2]]
    return [*files, _head() + layout + samples]


@functools.cache
def logs() -> list[bytes]:
    """MCAP files with an image topic of each type and a text, in each compression and without chunks; and bags."""
    made = []
    ways = ((CompressionType.ZSTD, True), (CompressionType.LZ4, True), (CompressionType.NONE, True))
    for compression, chunked in (*ways, (CompressionType.NONE, False)):
        buffer = io.BytesIO()
        writer = Writer(buffer, 4096, compression, use_chunking=chunked)
        writer.start("ros2", "fuzz")
        for kind, data in ((_FILE, messages()[0]), (_IMAGE, messages()[-1]), ("std_msgs/msg/String", _text("yes"))):
            schema = writer.register_schema(kind, "ros2msg", b"string data")
            channel = writer.register_channel(f"/{kind}", "cdr", schema)
            for time in (2, 1, 3):
                writer.add_message(channel, time, data, time)
        writer.add_attachment(1, 1, "a.txt", "text/plain", b"text")
        writer.add_metadata("m", {"k": "v"})
        writer.finish()  # type: ignore[no-untyped-call]
        made.append(buffer.getvalue())
    return [*made, *_bags()]


def _bags() -> list[bytes]:
    """Return a file of rosbag2, and ROS 1 bags in each compression, with two images and a text."""
    samples = bytes(range(48)) * 24
    layout = struct.pack("<II", 24, 16) + struct.pack("<I", 4) + b"bgr8" + struct.pack("<BII", 0, 48, len(samples))
    image = struct.pack("<IIII", 1, 2, 3, 4) + b"cam1" + layout + samples
    made = []
    with TemporaryDirectory() as folder:
        for number, compression in enumerate((None, *BagWriter.CompressionFormat)):
            bag = BagWriter(Path(folder) / f"{number}.bag")
            if compression is not None:
                bag.set_compression(compression)
            with bag:
                for topic, kind, data in (("/a", _IMAGE, image), ("/b", "std_msgs/msg/String", b"\3\0\0\0yes")):
                    connection = bag.add_connection(topic, kind, msgdef="string data", md5sum="0" * 32)
                    for time in (2, 1):
                        bag.write(connection, time, data)
            made.append(bag.path.read_bytes())
        path = Path(folder) / "a.db3"
        with closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE topics (id INTEGER PRIMARY KEY, name, type, serialization_format)")
            database.execute("CREATE TABLE messages (id INTEGER PRIMARY KEY, topic_id, timestamp, data BLOB)")
            database.execute("INSERT INTO topics VALUES (1, '/a', ?, 'cdr')", (_FILE,))
            database.executemany("INSERT INTO messages VALUES (?, 1, ?, ?)", [(i, i, messages()[0]) for i in (1, 2)])
            database.commit()
        return [*made, path.read_bytes()]


def splice_image(data: bytes, _folder: Path) -> None:
    """Replace the image of a message: all bytes before it stay, and the new one is found again."""
    try:
        kind, part = _FILE, find_image(data, _FILE, "cdr")
    except BadInput:
        kind, part = _IMAGE, find_image(data, _IMAGE, "cdr")
    changed = splice(data, part, b"new")
    again = find_image(changed, kind, "cdr")
    assert changed[again.start : again.end] == b"new", "the new image is not found"
    assert changed[: part.start - 4] == data[: part.start - 4], "bytes before the image have changed"


@functools.cache
def sequences() -> list[bytes]:
    """A sequence of image files and of samples."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        with SequenceBuilder(path) as sequence:
            sequence.add(1, pictures.stills()[1], None)
        files = path.read_bytes()
        with SequenceBuilder(path) as sequence:
            for time in (3, 1):
                sequence.add(time, bytes(16 * 24 * 3), RawLayout("bgr8", 16, 24, 48))
        return [files, path.read_bytes()]


def read_sequence(data: bytes, folder: Path) -> None:
    """Read all images of a sequence."""
    path = folder / "a"
    path.write_bytes(data)
    with SequenceReader(path, Limits(pixels=1 << 20, frames=10)) as reader:
        for _ in reader.frames():
            pass
