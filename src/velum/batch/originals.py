"""What becomes of an original once its result was read back: it is deleted, or moved to another place."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from velum.batch.item import ETAG, PLAN
from velum.errors import Unavailable
from velum.file_hash import sha256_of
from velum.storage.objects import ObjectChanged, ObjectGone, ObjectInfo, ObjectTree

Originals = Literal["keep", "delete", "move"]

CHANGED = "it has changed, and is hidden again"


def is_result_of(metadata: Mapping[str, str], plan_digest: str, etag: str) -> bool:
    """Tell whether metadata are those of a result by this plan, of a source with this ETag."""
    return (metadata.get(PLAN), metadata.get(ETAG)) == (plan_digest, json.dumps(etag))


@dataclass(frozen=True, slots=True)
class OriginalRelease:
    """Releases originals of `source`, whose results are in `target`, by the same keys.

    With `how` "move", they are moved to `archive`. For one thread, which has the folder `scratch`.
    """

    source: ObjectTree
    target: ObjectTree
    how: Originals
    archive: ObjectTree | None
    scratch: Path
    plan_digest: str

    def release(self, key: str, etag: str, result_sha256: str) -> str:
        """Delete or move an original once its whole result was read; return why it stays, "" where it does not.

        Raises `Unavailable` or `OutputFailed` when a store fails.
        """
        if reason := self._fault_of_result(key, etag, result_sha256):
            return reason
        try:
            object_info = self.source.head(key)
            if object_info.etag != etag:
                return CHANGED
            if self.how == "move":
                self._copy_to_archive(object_info)
        except ObjectGone:
            return ""
        except ObjectChanged:
            return CHANGED
        self.source.delete(key)
        return ""

    def _fault_of_result(self, key: str, etag: str, result_sha256: str) -> str:
        file = self.scratch / "result"
        try:
            metadata = self.target.metadata(key)
            if metadata and not is_result_of(metadata, self.plan_digest, etag):
                return "the result in its place is of another source or plan"
            self.target.fetch(self.target.head(key), file)
            if not result_sha256 or sha256_of(file) != result_sha256:
                return "the result is not the one that was written"
        except (ObjectGone, ObjectChanged):
            return "the result is not there"
        finally:
            file.unlink(missing_ok=True)
        return ""

    def _copy_to_archive(self, object_info: ObjectInfo) -> None:
        """Copy an original and read the copy back; only then is the original deleted."""
        assert self.archive is not None  # noqa: S101 - given with "move"
        file, copy = self.scratch / "original", self.scratch / "copy"
        try:
            self.source.fetch(object_info, file)
            self.archive.put_file(object_info.key, file, {ETAG: json.dumps(object_info.etag)})
            self.archive.fetch(self.archive.head(object_info.key), copy)
            if sha256_of(copy) != sha256_of(file):
                raise Unavailable(
                    f"the copy of {object_info.key!r} in {self.archive.url} differs from the original, which stays"
                )
        finally:
            file.unlink(missing_ok=True)
            copy.unlink(missing_ok=True)
