"""The people of a plan: photographs of the persons who are shown, or who alone are hidden."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

from velum.errors import BadInput, BadPlan
from velum.file_hash import sha256_of
from velum.spec import PartSpec, refuse_unknown

Mode = Literal["keep", "only"]

DEFAULT_EMBEDDING = PartSpec("dlib-resnet")

STORED = "stored:"
"""Begins the path of a photo that lies in the store of jobs, before its key there."""

_SHA256 = re.compile("[0-9a-f]{64}")
_MOST_NAME = 100


@dataclass(frozen=True, slots=True)
class PersonPhoto:
    """A photograph of one person; with `sha256`, a file of other content is refused."""

    path: str
    sha256: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.path, str) or not self.path:
            raise BadPlan(f"photo {self.path!r} of a person is not the path of an image")
        if self.sha256 is not None and not (isinstance(self.sha256, str) and _SHA256.fullmatch(self.sha256)):
            raise BadPlan(f"sha256 of photo {self.path} is {self.sha256!r}; it must be 64 hexadecimal digits")

    def with_hash(self) -> Self:
        """Return the photo with the hash of its file. Raises `BadInput` when the file cannot be read."""
        digest = sha256_of(Path(self.path))
        if self.sha256 not in {None, digest}:
            raise BadInput(f"photo {self.path} has changed since the plan was made; check it, and leave out its sha256")
        return replace(self, sha256=digest)

    def to_json(self) -> str | dict[str, str]:
        """Return the photo as JSON value: its path, or path and hash."""
        return self.path if self.sha256 is None else {"path": self.path, "sha256": self.sha256}

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Return the photo of a JSON value. Raises `BadPlan`."""
        if isinstance(value, str):
            return cls(value)
        if not isinstance(value, Mapping):
            raise BadPlan(f"photo {value!r} of a person must be a path, or an object with path and sha256")
        refuse_unknown(value, {"path", "sha256"}, "a photo")
        return cls(value.get("path", ""), value.get("sha256"))


@dataclass(frozen=True, slots=True)
class Person:
    """A person: a name of the user's choice, which appears in the report, and one or more photographs."""

    name: str
    photos: tuple[PersonPhoto, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip() or len(self.name) > _MOST_NAME:
            raise BadPlan(f"name {self.name!r} of a person must be a text of 1 to {_MOST_NAME} characters")
        if not self.photos:
            raise BadPlan(f"person {self.name} has no photo; write {self.name}=photo.jpg")


@dataclass(frozen=True, slots=True)
class People:
    """The people that a plan names. `keep`: their faces are not hidden; `only`: all faces but theirs are shown.

    `embedding` is the part that compares faces. A face that is in doubt is hidden in either mode.
    """

    mode: Mode
    persons: tuple[Person, ...]
    embedding: PartSpec = DEFAULT_EMBEDDING

    def __post_init__(self) -> None:
        if self.mode not in {"keep", "only"}:
            raise BadPlan(f"people are {self.mode!r}; they must be keep or only")
        if not self.persons:
            raise BadPlan(f"people.{self.mode} names nobody; write NAME = 'photo.jpg', or leave people out")
        names = [person.name for person in self.persons]
        if len(set(names)) < len(names):
            raise BadPlan(f"people name {max(names, key=names.count)!r} twice; list the photos under one name")

    @classmethod
    def parse(cls, mode: Mode, texts: Iterable[str]) -> Self:
        """Return the people of texts `NAME=photo.jpg`; a name that comes again has several photos. Raises `BadPlan`."""
        photos: dict[str, list[PersonPhoto]] = {}
        for text in texts:
            name, sign, path = text.partition("=")
            if not sign or not name.strip() or not path:
                raise BadPlan(f"cannot read person {text!r}; write NAME=photo.jpg")
            photos.setdefault(name.strip(), []).append(PersonPhoto(path))
        return cls(mode, tuple(Person(name, tuple(paths)) for name, paths in photos.items()))

    @property
    def photos(self) -> tuple[PersonPhoto, ...]:
        """The photos of all persons."""
        return tuple(photo for person in self.persons for photo in person.photos)

    def with_hashes(self) -> Self:
        """Return the people with the hash of each photo. Raises `BadInput` for a photo that cannot be read."""
        return self.map_photos(PersonPhoto.with_hash)

    def map_photos(self, change: Callable[[PersonPhoto], PersonPhoto]) -> Self:
        """Return the people with other photos."""
        return replace(
            self, persons=tuple(replace(person, photos=tuple(map(change, person.photos))) for person in self.persons)
        )

    @property
    def stored_keys(self) -> tuple[str, ...]:
        """Keys of the photos that lie in the store of jobs."""
        return tuple(photo.path.removeprefix(STORED) for photo in self.photos if photo.path.startswith(STORED))

    def to_json(self) -> dict[str, Any]:
        """Return the people as JSON values."""
        named = {person.name: [photo.to_json() for photo in person.photos] for person in self.persons}
        return {self.mode: named, "embedding": str(self.embedding)}

    def identity(self) -> dict[str, Any]:
        """Return what enters the digest of a plan: for each photo its hash, where it is known, instead of its path."""
        named = {person.name: [photo.sha256 or photo.path for photo in person.photos] for person in self.persons}
        return {self.mode: named, "embedding": str(self.embedding)}

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Return the people of JSON values. Raises `BadPlan`."""
        if not isinstance(value, Mapping):
            raise BadPlan(f"people are {value!r}; they must be an object with keep or only")
        refuse_unknown(value, {"keep", "only", "embedding"}, "people")
        modes: list[Mode] = [mode for mode in ("keep", "only") if mode in value]
        if len(modes) != 1:
            raise BadPlan("people need either keep or only: keep hides everyone else, only hides nobody else")
        named = value[modes[0]]
        if not isinstance(named, Mapping):
            raise BadPlan(f"people.{modes[0]} is {named!r}; it must have a photo, or a list of photos, for each name")
        persons = tuple(Person(name, _photos(name, photos)) for name, photos in named.items())
        return cls(modes[0], persons, PartSpec.from_json(value.get("embedding", str(DEFAULT_EMBEDDING))))


def _photos(name: Any, value: Any) -> tuple[PersonPhoto, ...]:
    listed = [value] if isinstance(value, str | Mapping) else value
    if not isinstance(listed, list | tuple):
        raise BadPlan(f"photos of person {name!r} are {value!r}; they must be a path or a list of paths")
    return tuple(map(PersonPhoto.from_json, listed))
