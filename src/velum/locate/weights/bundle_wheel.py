"""Writes, finds and unpacks wheels of weights, for a site's own package index or for machines without network.

    velum_weights/<distribution>/<file>           the files, under the names that the cache gives them
    <distribution>-<version>.dist-info/           METADATA, WHEEL, RECORD and a licence for each model

The folder `velum_weights` is a namespace: any number of such wheels may be installed. Nothing in them is code. Equal
models, name and version give equal bytes: nothing is compressed, and every date is the earliest that zip can state.
The form is that of the PyPA's binary distribution format 1.0, with core metadata 2.4.
"""

import base64
import hashlib
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from velum.atomic import publish
from velum.errors import BadPlan, Unavailable
from velum.locate.registry import Asset, EmbeddingModel, File, Model
from velum.locate.weights.asset import part_path, verify

PACKAGE = "velum_weights"
"""Folder of installed weights, in every place where packages are installed."""

DEFAULT_NAME = "velum_weights-1-py3-none-any.whl"

_NAME = re.compile(
    r"(?P<name>[a-z0-9]+(_[a-z0-9]+)*)-"
    r"(?P<version>\d+(\.\d+)*((a|b|rc)\d+)?(\.post\d+)?(\.dev\d+)?(\+[a-z0-9]+(\.[a-z0-9]+)*)?)-py3-none-any\.whl"
)

_CHUNK = 1 << 20

Weights = Model | EmbeddingModel

W = TypeVar("W", bound=Weights)


@dataclass(frozen=True, slots=True)
class BundleTarget:
    """A wheel of weights to write, with the name and version of its distribution, as the file's name has them."""

    path: Path
    name: str
    version: str

    @property
    def info(self) -> str:
        """Folder of the metadata in the wheel."""
        return f"{self.name}-{self.version}.dist-info"


def bundle_target(output: Path) -> BundleTarget:
    """Return the wheel to write: `output`, or one of the usual name in it where it is a folder.

    Raises `BadPlan` for a name that no wheel of weights has.
    """
    path = output / DEFAULT_NAME if output.is_dir() else output
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise BadPlan(
            f"{path} is not a name for a wheel of weights; give a folder that exists, or a file named NAME-VERSION-py3-"
            f"none-any.whl in lower case, such as {DEFAULT_NAME}"
        )
    return BundleTarget(path, match["name"], match["version"])


def write_bundle(models: Mapping[W, Path], target: BundleTarget, *, overwrite: bool = False) -> None:
    """Write a wheel of the models, each with the path of its verified file.

    Raises `BadPlan` for a licence that velum has no text of, `Unavailable` for a file that has changed meanwhile and
    `OutputFailed` when the wheel cannot be written.
    """
    entries = sorted(models.items(), key=lambda entry: entry[0].name)
    texts = {f"{target.info}/METADATA": _metadata(target, [model for model, _ in entries])}
    texts |= {f"{target.info}/licenses/{model.name}.txt": _licence(model) for model, _ in entries}
    texts[f"{target.info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: velum\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with publish(target.path, overwrite=overwrite) as part, zipfile.ZipFile(part, "w") as archive:
        records = [_add_file(archive, target, model, path, part) for model, path in entries for part in model.files]
        records += [_add(archive, member, text.encode()) for member, text in texts.items()]
        record = f"{target.info}/RECORD"
        _add(archive, record, "\n".join([*records, f"{record},,", ""]).encode())


def find_installed(asset: Asset) -> Iterator[Path]:
    """Yield where the asset's file is in installed wheels of weights."""
    package = find_spec(PACKAGE)
    for folder in (package.submodule_search_locations or ()) if package else ():
        yield from sorted(Path(folder).glob(f"*/{asset.stored_name}"))


def find_wheel(asset: Asset, folder: Path) -> Path | None:
    """Return the wheel in a folder of wheels of weights that holds the asset's file, None when no wheel does.

    Raises `Unavailable` when no readable wheel does and another cannot be read, since that one may hold it.
    """
    unreadable = None
    for wheel in sorted(path for path in folder.glob("*.whl") if _NAME.fullmatch(path.name)):
        try:
            if _member(wheel, asset, asset) is not None:
                return wheel
        except Unavailable as error:
            unreadable = error
    if unreadable is not None:
        raise unreadable
    return None


def unpack(wheel: Path, asset: Asset, part: File, target: Path) -> None:
    """Write a file of the asset from a wheel of weights to `target`. Raises `Unavailable` where it is not that file."""
    member = _member(wheel, asset, part)
    if member is None:
        raise Unavailable(f"{wheel} holds {asset.name} without its file {part.file}; bundle the model again")
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as reader, target.open("wb") as writer:
            while chunk := reader.read(_CHUNK):
                writer.write(chunk)
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise _unreadable(wheel, error) from error
    verify(part, target)


def _member(wheel: Path, asset: Asset, part: File) -> str | None:
    """Return the name of the file's member, of the right size, None where there is none."""
    end = f"/{part_path(Path(asset.stored_name), part)}"
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = (info for info in archive.infolist() if info.filename.startswith(f"{PACKAGE}/"))
            return next((i.filename for i in members if i.filename.endswith(end) and i.file_size == part.size), None)
    except (OSError, zipfile.BadZipFile) as error:
        raise _unreadable(wheel, error) from error


def _unreadable(wheel: Path, error: Exception) -> Unavailable:
    return Unavailable(f"{wheel} is not a readable wheel: {error}; copy it again, or remove it from its folder")


def _add_file(archive: zipfile.ZipFile, target: BundleTarget, model: Weights, path: Path, part: File) -> str:
    """Add a file of a model and return its line of RECORD. Raises `Unavailable` where it is not the pinned one."""
    member = f"{PACKAGE}/{target.name}/{part_path(Path(model.stored_name), part)}"
    algorithm, expected = part.digest
    hashes = {kind: hashlib.new(kind) for kind in ("sha256", algorithm)}
    size = 0
    with part_path(path, part).open("rb") as reader, archive.open(_info(member), "w") as writer:
        while chunk := reader.read(_CHUNK):
            size += len(chunk)
            writer.write(chunk)
            for digest in hashes.values():
                digest.update(chunk)
    if hashes[algorithm].hexdigest() != expected:
        raise Unavailable(f"{part_path(path, part)} changed while it was bundled; try again")
    return f"{member},{_digest(hashes['sha256'].digest())},{size}"


def _add(archive: zipfile.ZipFile, member: str, data: bytes) -> str:
    archive.writestr(_info(member), data)
    return f"{member},{_digest(hashlib.sha256(data).digest())},{len(data)}"


def _info(member: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(member, (1980, 1, 1, 0, 0, 0))
    info.create_system, info.external_attr = 3, 0o100644 << 16
    return info


def _digest(digest: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _metadata(target: BundleTarget, models: list[Weights]) -> str:
    licences = " AND ".join(sorted({model.licence for model in models}))
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {target.name.replace('_', '-')}",
        f"Version: {target.version}",
        f"Summary: Weights for velum: {', '.join(model.name for model in models)}",
        f"License-Expression: {licences}",
        *(f"License-File: {model.name}.txt" for model in models),
        "",
        *(f"{model.name}, {model.licence}: {model.fingerprint}" for model in models),
    ]
    return "\n".join(lines) + "\n"


def _licence(model: Weights) -> str:
    """Return the licence of a model's weights with its notices. Raises `BadPlan` where velum has no text of it."""
    text = files("velum.locate.weights").joinpath("licences", f"{model.licence}.txt")
    if not text.is_file():
        raise BadPlan(
            f"{model.name} cannot be bundled: velum has no text of its licence, {model.licence!r}; copy its files, and "
            "add them with 'velum models add' where they are needed"
        )
    sources = [str(source) for source in model.sources]
    head = [f"Weights of {model.name}: {', '.join(part.file for part in model.files)}", *sources, model.copyright]
    return "\n".join([line for line in head if line]) + "\n\n" + text.read_text(encoding="utf-8").lstrip("\n")
