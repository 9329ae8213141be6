"""Photos of people in requests for jobs: checked when they come, and copied into the store."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from velum.errors import BadPlan
from velum.people import DEFAULT_EMBEDDING, STORED, People, Person, PersonPhoto
from velum.plan import Plan
from velum.service.auth.principal import Principal
from velum.service.job_backend import JobBackend
from velum.service.v1.plans import Plans
from velum.service.v1.uploads import check_complete, conflict_when_occupied, owned_upload
from velum.service.v1.values import JobRequest
from velum.storage.scratch import ScratchDirs

EMBEDDING = DEFAULT_EMBEDDING
"""The part that compares faces with photos of requests."""

PHOTO_BYTES = 64 << 20
"""Largest photo of a person."""


def add_people(
    backend: JobBackend, plans: Plans, scratch: ScratchDirs, request: JobRequest, plan: Plan, caller: Principal
) -> Plan:  # fmt: skip
    """Return the plan with the people of a request, whose photos are checked and copied into the store."""
    named = request.keep_person or request.only_person
    if named is None:
        return plan
    if request.keep_person and request.only_person:
        raise BadPlan("a job takes either keep_person or only_person; leave one out")
    if request.regions is not None:
        raise BadPlan("a job with regions recognises nobody; leave out regions, or keep_person and only_person")
    for upload in (upload for uploads in named.values() for upload in uploads):
        check_complete(owned_upload(backend, upload, caller))
    with scratch.folder() as folder:
        persons, names = list[Person](), dict[str, str]()
        for name, uploads in named.items():
            paths = [_read_photo(backend, upload, folder / f"{len(names) + n:03}") for n, upload in enumerate(uploads)]
            names |= {path: f"photo {n} of {name!r}" for n, path in enumerate(paths, 1)}
            persons.append(Person(name, tuple(map(PersonPhoto, paths))))
        people = People("keep" if request.keep_person else "only", tuple(persons), EMBEDDING)
        plan = plans.with_people(plan, people, names)
        return replace(plan, people=plan.people and plan.people.map_photos(partial(_store_photo, backend)))


def _read_photo(backend: JobBackend, upload: str, path: Path) -> str:
    with conflict_when_occupied():
        path.write_bytes(backend.open().uploads.read(upload, PHOTO_BYTES))
    return str(path)


def _store_photo(backend: JobBackend, photo: PersonPhoto) -> PersonPhoto:
    return replace(photo, path=STORED + backend.open().store.put([Path(photo.path).read_bytes()]).key)
