"""Photos of people in requests, which are uploads: checked when they come, forgotten or copied into the store."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from velum.errors import BadPlan, names_for_places
from velum.people import DEFAULT_EMBEDDING, STORED, People, Person, PersonPhoto
from velum.plan import Plan
from velum.service.auth.principal import Principal
from velum.service.job_backend import JobBackend
from velum.service.v1.plans import Plans
from velum.service.v1.uploads import check_complete, conflict_when_occupied, owned_upload
from velum.service.v1.values import JobRequest, Photos
from velum.storage.scratch import ScratchDirs

EMBEDDING = DEFAULT_EMBEDDING
"""The part that compares faces with photos of requests."""

PHOTO_BYTES = 64 << 20
"""Largest photo of a person."""

FIELDS = ("keep_person", "only_person")
"""Fields of a request that name people by photos."""

Uploads = Mapping[str, Sequence[str]]
"""Ids of the uploads with the photos of each person, by name."""

_READ_UPLOADS = TypeAdapter[Uploads](Photos)


@dataclass(frozen=True, slots=True, eq=False)
class RequestPhotos:
    """Reads the photos of people that a request names. Safe to share between threads."""

    backend: JobBackend
    plans: Plans
    scratch: ScratchDirs

    @contextmanager
    def plan_with_people(
        self, plan: Plan, keep: Uploads | None, only: Uploads | None, caller: Principal
    ) -> Iterator[Plan]:
        """Yield the plan with people to keep, or alone to hide; their photos lie in a scratch folder until the end.

        Whoever uses the plan checks the photos. Nothing is kept of them. Raises `BadPlan` where the operator does not
        allow it, and `Problem` for uploads that are not the caller's (404) or not complete (409).
        """
        if keep and only:
            raise BadPlan("a request takes either keep_person or only_person; leave one out")
        named = keep or only
        if named is None:
            yield plan
            return
        for upload in (upload for uploads in named.values() for upload in uploads):
            check_complete(owned_upload(self.backend, upload, caller))
        with self.scratch.folder() as folder, ExitStack() as names:
            persons, count = list[Person](), 0
            for name, uploads in named.items():
                photos = []
                for number, upload in enumerate(uploads, 1):
                    path, count = folder / f"{count:03}", count + 1
                    self._read(upload, path)
                    names.enter_context(names_for_places(path, f"photo {number} of {name!r}"))
                    photos.append(PersonPhoto(str(path)))
                persons.append(Person(name, tuple(photos)))
            people = People("keep" if keep else "only", tuple(persons), EMBEDDING)
            planned = self.plans.with_people(plan, people)
            try:
                yield planned
            finally:
                self.plans.engine.forget_people(planned.people)

    def _read(self, upload: str, path: Path) -> None:
        with conflict_when_occupied():
            path.write_bytes(self.backend.open().uploads.read(upload, PHOTO_BYTES))

    def add_to_job(self, plan: Plan, request: JobRequest, caller: Principal) -> Plan:
        """Return the plan with the people of a request for a job, whose photos are checked and copied into the store.

        Raises as `plan_with_people` does, and `BadInput` for a photo that cannot be used.
        """
        if request.regions is not None and (request.keep_person or request.only_person):
            raise BadPlan("a job with regions recognises nobody; leave out regions, or keep_person and only_person")
        with self.plan_with_people(plan, request.keep_person, request.only_person, caller) as planned:
            if planned.people is None or planned is plan:
                return plan
            self.plans.engine.check_people(planned.people, plan)
            return replace(planned, people=planned.people.map_photos(partial(_store_photo, self.backend)))


def uploads_of_text(name: str, text: str | None) -> Uploads | None:
    """Return the photos in a field of a form, named `name`; None where it is missing. Raises `BadPlan`."""
    if text is None:
        return None
    try:
        return _READ_UPLOADS.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        at = "".join(f"[{part!r}]" for part in first["loc"])
        raise BadPlan(
            f"{name} cannot be read: {name}{at}: {first['msg']}; send a JSON object with the ids of one to ten uploads "
            'for each person, such as {"Anna": ["5f2b..."]}'
        ) from error


def _store_photo(backend: JobBackend, photo: PersonPhoto) -> PersonPhoto:
    return replace(photo, path=STORED + backend.open().store.put([Path(photo.path).read_bytes()]).key)
