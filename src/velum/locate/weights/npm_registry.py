"""Fetch a file from a package of an npm registry: through npm where it is installed, else from the registry itself.

Npm knows the user's registries, proxies, certificates and logins. Without it there is no default registry: its address
comes from the host or from the user's `.npmrc`. Nothing of a package is installed, and no script of it is run.
"""

import json
import os
import re
import shutil
import subprocess
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urljoin

from velum.errors import Unavailable
from velum.locate.registry import Npm
from velum.locate.weights import https
from velum.locate.weights.asset import Pinned
from velum.locate.weights.https import DownloadPolicy, Progress, redact_login

_ACCEPT = "application/vnd.npm.install-v1+json, application/json;q=0.8"  # the short form of a package's document
_PAGE_BYTES = 64 << 20
_CHUNK = 1 << 20
_MESSAGE_LINES = 4

_ACCESS = DownloadPolicy(https.is_https_or_local, https.HTTPS_OR_LOCAL)


def find_npm() -> str | None:
    """Return the path of npm, None where it is not installed."""
    return shutil.which("npm")


def pack(npm: str, source: Npm, folder: Path, progress: Progress) -> Path:
    """Have npm download the package's tarball to `folder`; return its path. Raises `Unavailable` with npm's message."""
    progress(0, source.size)
    arguments = [
        npm, "pack", source.npm, "--ignore-scripts", f"--cache={folder / 'npm'}", "--fetch-retries=1",
        f"--fetch-timeout={https.TIMEOUT_SECONDS * 1000}", "--loglevel=error", "--no-update-notifier",
    ]  # fmt: skip
    # In the empty folder: npm writes there, and reads no settings of the folder that velum was started in.
    done = subprocess.run(  # noqa: S603  no shell; the package is named by the catalogue
        arguments,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    output = " / ".join([line.strip() for line in done.stdout.splitlines() if line.strip()][:_MESSAGE_LINES])
    if done.returncode:
        raise Unavailable(f"npm failed: {output or f'exit code {done.returncode}'}")
    tarball = next(iter(folder.glob("*.tgz")), None)
    if tarball is None:
        raise Unavailable(f"npm did not download {source.npm}; its output was: {output}")
    progress(source.size, source.size)
    return tarball


def download(source: Npm, registry: str | None, folder: Path, progress: Progress) -> Path:
    """Download the package's tarball from a registry to `folder`; return its path.

    Without `registry`, that of the user's `.npmrc` is asked. Raises `Unavailable` with the reason.
    """
    registry = registry or _registry_in(read_npmrc(Path.home() / ".npmrc"), source)
    if registry is None:
        raise Unavailable("no npm registry is known; install npm, or set NPM_CONFIG_REGISTRY to one that has it")
    target = folder / "package.tgz"
    https.download(_address(source, registry), target, source.size, progress, _ACCESS)
    return target


def read_npmrc(file: Path) -> Mapping[str, str]:
    """Return the values of a configuration file of npm by key; none for a missing file.

    Raises `Unavailable` for a file that cannot be read.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable(f"npm's configuration file {file} cannot be read: {error}") from error
    pairs = (line.partition("=") for line in lines if not line.lstrip().startswith((";", "#")))
    return {key.strip(): _with_variables(value.strip()) for key, sign, value in pairs if sign}


def extract(source: Npm, pinned: Pinned, tarball: Path, target: Path) -> None:
    """Write the member of the tarball to `target`, at most `pinned.size` bytes. Raises `Unavailable` if it cannot."""
    try:
        with tarfile.open(tarball, "r:gz") as archive:
            info = archive.getmember(source.member)
            reader = archive.extractfile(info) if info.isreg() else None
            if reader is None or info.size != pinned.size:
                raise Unavailable(f"{source.member} has {info.size} bytes, expected {pinned.size}")
            with target.open("wb") as writer:
                while chunk := reader.read(_CHUNK):
                    writer.write(chunk)
    except KeyError as error:
        raise Unavailable(f"{source.npm} has no {source.member}") from error
    except (tarfile.TarError, zlib.error, EOFError) as error:
        raise Unavailable(f"{source.npm} is not a readable package: {error}") from error


def _registry_in(config: Mapping[str, str], source: Npm) -> str | None:
    scope = source.name.partition("/")[0] if "/" in source.name else ""
    return config.get(f"{scope}:registry") or config.get("registry")


def _with_variables(value: str) -> str:
    """Return a value with `${NAME}` replaced, as npm does."""
    return re.sub(r"\$\{(\w+)\}", lambda match: os.environ.get(match[1], match[0]), value.strip("\"'"))


def _address(source: Npm, registry: str) -> str:
    """Return the tarball's address. Raises `Unavailable` when the registry does not have that version."""
    url = f"{registry.rstrip('/')}/{quote(source.name, safe='@')}"
    body, _, address = https.read_document(url, _ACCEPT, _PAGE_BYTES, _ACCESS)
    try:
        versions = json.loads(body)["versions"]
        if source.version not in versions:
            raise Unavailable(f"{redact_login(url)} does not list version {source.version}")
        tarball = str(versions[source.version]["dist"]["tarball"])
    except (ValueError, KeyError, TypeError) as error:
        raise Unavailable(f"{redact_login(url)} is not a page of an npm registry: {error!r}") from error
    return https.with_login_of(registry, urljoin(address, tarball))
