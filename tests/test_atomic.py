"""Files that appear whole or not at all, also where the process that writes them is killed."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from velum.atomic import folder_next_to, publish
from velum.batch.arrange import arrange
from velum.errors import BadInput
from velum.storage.objects import FolderTree

_WRITER = """
import sys
from pathlib import Path
from velum.atomic import folder_next_to, publish
with publish(Path(sys.argv[1])) as part, folder_next_to(Path(sys.argv[1])) as folder:
    part.write_bytes(b"half")
    (folder / "photo.jpg").write_bytes(b"half")
    print("here", flush=True)
    sys.stdin.read()
"""


@contextmanager
def writing(target: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a process that is in the middle of writing a file, and end it afterwards."""
    command = [sys.executable, "-c", _WRITER, str(target)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        yield process
        process.kill()


def test_what_a_killed_process_left_is_removed_by_the_next_run_in_that_folder(tmp_path: Path) -> None:
    with writing(tmp_path / "a.txt") as process:
        process.kill()
    assert len(list(tmp_path.iterdir())) == 2
    with publish(tmp_path / "b.txt") as part:
        part.write_text("whole")
    assert list(tmp_path.iterdir()) == [tmp_path / "b.txt"]


def test_a_file_for_its_owner_alone_is_so_before_its_first_byte(tmp_path: Path) -> None:
    with publish(tmp_path / "key", mode=0o600) as part:
        assert part.stat().st_mode & 0o777 == 0o600
        part.write_text("secret")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_a_file_that_another_process_is_writing_stays(tmp_path: Path) -> None:
    with writing(tmp_path / "a.txt") as process:
        with publish(tmp_path / "b.txt") as part, folder_next_to(tmp_path / "b.txt"):
            part.write_text("whole")
        assert len(list(tmp_path.iterdir())) == 3
        process.communicate("", timeout=60)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "a.txt", tmp_path / "b.txt"]
    assert (tmp_path / "a.txt").read_bytes() == b"half"


def test_files_of_other_machines_stay_for_a_day(tmp_path: Path) -> None:
    young, old = tmp_path / f".velum-00000000-{'a' * 16}.part", tmp_path / f".velum-00000000-{'b' * 16}.part"
    foreign = tmp_path / ".velum-notes.part"
    for file in young, old, foreign:
        file.write_text("half")
        os.utime(file, (0, 0) if file != young else None)
    with publish(tmp_path / "b.txt") as part:
        part.write_text("whole")
    assert sorted(tmp_path.iterdir()) == sorted([young, foreign, tmp_path / "b.txt"])


def test_unfinished_files_are_no_sources(tmp_path: Path) -> None:
    with writing(tmp_path / "a.txt") as process:
        process.kill()
    for left in tmp_path.glob(".velum-*.part"):
        left.write_bytes(b"GIF89a")
    with pytest.raises(BadInput, match="no images or videos"):
        arrange([tmp_path], None)
    assert list(FolderTree(tmp_path).list()) == []
