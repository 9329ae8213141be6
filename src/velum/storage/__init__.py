"""Which store is meant by where it is."""

from importlib.util import find_spec
from pathlib import Path

from velum.errors import Unavailable
from velum.storage.folder import FolderStore, Store


def open_store(place: Path | str) -> Store:
    """Return the store in a folder, or at the URL of a bucket; see `BucketStore.at`.

    Raises `BadPlan`, and `Unavailable` when the extra is missing. Whether it is there shows when it is used.
    """
    if isinstance(place, Path):
        return FolderStore(place)
    if find_spec("obstore") is None:
        raise Unavailable(
            f"the store {place} needs a library that is not installed; pip install 'velum-anonymizer[cloud]'"
        )
    from velum.storage.bucket import BucketStore  # noqa: PLC0415 - of an extra

    return BucketStore.at(place)
