"""Storage of sources, pieces and results, in a folder or a bucket."""

from importlib.util import find_spec
from pathlib import Path

from velum.errors import Unavailable
from velum.storage.folder import FolderStore, Store


def open_store(place: Path | str) -> Store:
    """Open the store at a folder or a bucket URL; see `BucketStore.at`.

    Raises `BadPlan` for a malformed URL, `Unavailable` when the extra is missing. The store itself is first contacted
    when it is used.
    """
    if isinstance(place, Path):
        return FolderStore(place)
    if find_spec("obstore") is None:
        raise Unavailable(
            f"the store {place} needs a library that is not installed; pip install 'velum-anonymizer[cloud]'"
        )
    from velum.storage.bucket import BucketStore  # noqa: PLC0415 - of an extra

    return BucketStore.at(place)
