"""Folders of rosbag2 on the command line: one source, with a metadata.yaml that is true of the result."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

pytest.importorskip("mcap", reason="the extra logs is not installed")
pytest.importorskip("rosbags", reason="rosbags, which writes messages for these tests, is not installed")

from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from tests.cli.conftest import Command
from tests.media.archive import logs

RULE = ("--rule", "face: fake -> blacken with grow=0")
KEY = "rosbag2_bagfile_information"
IMAGES = {"/front/compressed", "/rear/image"}


def change(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Edit the metadata of a bag."""
    file = folder / "metadata.yaml"
    value = yaml.safe_load(file.read_text())
    edit(value[KEY])
    file.write_text(yaml.safe_dump(value, sort_keys=False))


def record(folder: Path, storage: StoragePlugin = StoragePlugin.SQLITE3, version: Literal[8, 9] = 9) -> Path:
    """A bag of two files, with two messages of each topic in each."""
    told = logs.drive(4)
    names, infos = [], []
    for number, part in enumerate((told[:8], told[8:])):
        with Writer(folder.with_name(f"part_{number}"), version=version, storage_plugin=storage) as writer:
            connections: dict[str, Any] = {}
            for each in part:
                if each.topic not in connections:
                    connections[each.topic] = writer.add_connection(each.topic, each.type, typestore=logs.types())
                writer.write(connections[each.topic], each.time, each.data)
        made = folder.with_name(f"part_{number}")
        infos.append(yaml.safe_load((made / "metadata.yaml").read_text())[KEY])
        file = next(path for path in made.iterdir() if path.name != "metadata.yaml")
        names.append(f"bag_{number}{file.suffix}")
        folder.mkdir(exist_ok=True)
        file.rename(folder / names[-1])
    whole = infos[0] | {"relative_file_paths": names, "message_count": 16}
    whole["duration"] = {"nanoseconds": told[-1].time - told[0].time}
    whole["files"] = [info["files"][0] | {"path": name} for info, name in zip(infos, names, strict=True)]
    for entry in whole["topics_with_message_count"]:
        entry["message_count"] = 4
    (folder / "metadata.yaml").write_text(yaml.safe_dump({KEY: whole}, sort_keys=False))
    return folder


def read(folder: Path) -> tuple[list[Any], list[Any]]:
    """Topics with counts, and messages, as another program reads a bag."""
    with Reader(folder) as reader:
        topics = [(each.topic, each.msgtype, each.msgcount, each.digest, each.ext) for each in reader.connections]
        return topics, [(each.topic, time, bytes(data)) for each, time, data in reader.messages()]


def metadata(folder: Path) -> Any:
    return yaml.safe_load((folder / "metadata.yaml").read_text())[KEY]


@pytest.mark.parametrize(("storage", "version"), [(StoragePlugin.SQLITE3, 9), (StoragePlugin.MCAP, 8)])
def test_a_bag_of_several_files_is_hidden_as_one_and_read_again(
    velum_command: Command, storage: StoragePlugin, version: Literal[8, 9]
) -> None:
    source = record(velum_command.folder / "bag", storage, version)
    done = velum_command("hide", "bag", "-o", "safe", *RULE)
    target = velum_command.folder / "safe"
    assert "safe: 2 files and metadata.yaml, 8 faces hidden" in done.stdout
    assert sorted(path.name for path in target.iterdir()) == sorted(path.name for path in source.iterdir())
    assert metadata(target) == metadata(source)
    (topics, before), (result_topics, after) = read(source), read(target)
    assert topics == result_topics
    assert len(before) == 16
    for old, new in zip(before, after, strict=True):
        assert old[:2] == new[:2]
        assert (old[2] != new[2]) == (old[0] in IMAGES)


def test_metadata_tells_of_what_is_left_out_and_only_of_what_is_there(velum_command: Command) -> None:
    source = record(velum_command.folder / "bag")
    (source / "driver.jpg").write_bytes(b"a face")
    change(source, lambda info: info.update(custom_data={"driver": "Ann"}, fleet="7", message_count=99))
    done = velum_command("hide", "bag", "--drop-member", "/note", *RULE)
    target = velum_command.folder / "bag.hidden"
    assert "left out of metadata.yaml: fleet, custom_data" in done.stderr.replace("\n", " ")
    assert "driver.jpg" in done.stderr
    assert not (target / "driver.jpg").exists()
    info, text = metadata(target), (target / "metadata.yaml").read_text()
    assert "Ann" not in text
    assert "fleet" not in text
    assert "/note" not in text
    assert (info["message_count"], [file["message_count"] for file in info["files"]]) == (12, [6, 6])
    assert info["duration"]["nanoseconds"] == 3 * logs.STEP_NS + 2
    assert len(read(target)[1]) == 12


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda info: info.update(relative_file_paths=["bag_0.db3", "bag_7.db3"]), "bag_7.db3, which is not"),
        (lambda info: info.update(relative_file_paths=["../bag/bag_0.db3"]), "allowed are names"),
        (lambda info: info.update(relative_file_paths=["bag_0.db3", "bag_0.db3"]), "each once"),
        (lambda info: info.update(compression_mode="FILE", compression_format="zstd"), "compression_mode is file"),
        (lambda info: info.update(storage_identifier="mcap"), "no file of the storage mcap"),
        (lambda info: info.update(version=10), "velum knows 1 to 9"),
        (lambda info: info.update(files="all"), "which rosbag2 does not write"),
        (lambda info: info.update(custom_data=info["files"], ros_distro=info["files"]), "aliases"),
        (lambda info: info["topics_with_message_count"].pop(), "does not name the topic"),
    ],
)  # fmt: skip
def test_a_bag_that_is_not_as_its_metadata_says_is_refused_and_nothing_is_written(
    velum_command: Command, edit: Callable[[dict[str, Any]], object], words: str
) -> None:
    change(record(velum_command.folder / "bag"), edit)
    failed = velum_command("hide", "bag", "-o", "safe", *RULE, code=3)
    assert words in " ".join(failed.stderr.split())
    assert not list(velum_command.folder.glob("safe*")) + list(velum_command.folder.glob(".velum-*"))


def test_a_file_that_fails_leaves_no_result(velum_command: Command) -> None:
    source = record(velum_command.folder / "bag")
    data = (source / "bag_1.db3").read_bytes()
    (source / "bag_1.db3").write_bytes(data[: len(data) // 2])
    failed = velum_command("hide", "bag", "-o", "safe", *RULE, code=3)
    assert "bag_1.db3" in failed.stderr
    assert not (velum_command.folder / "safe").exists()
    (velum_command.folder / "safe").mkdir()
    assert "name a new folder" in " ".join(
        velum_command("hide", "bag", "-o", "safe", "--overwrite", *RULE, code=8).stderr.split()
    )
