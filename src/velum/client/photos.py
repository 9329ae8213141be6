"""Photos of the people that a request names: sent as uploads, and deleted when the service has answered."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from velum.client.models import Upload
from velum.client.transfers import begin_upload, discard, send_rest
from velum.client.transport import Connection
from velum.errors import BadPlan, VelumError
from velum.people import DEFAULT_EMBEDDING, People
from velum.plan import Plan

PeopleFields = Mapping[str, Mapping[str, Sequence[str]]]
"""Fields of a request: `keep_person` or `only_person`, with the ids of uploads by name; empty where nobody is named."""


@asynccontextmanager
async def sent_photos(
    connection: Connection, people: People | None, patience_seconds: float
) -> AsyncIterator[PeopleFields]:
    """Send the photos of people, and yield the fields of a request that names them; they are deleted afterwards.

    Raises `BadInput` for a photo that cannot be read.
    """
    if people is None:
        yield {}
        return
    wanted = await connection.run(people.with_hashes)
    uploads = list[Upload]()
    try:
        named: dict[str, list[str]] = {}
        for person in wanted.persons:
            for photo in person.photos:
                uploads.append(upload := await begin_upload(connection, Path(photo.path)))
                await send_rest(connection, upload, Path(photo.path), patience_seconds, None)
                named.setdefault(person.name, []).append(upload.id)
        yield {f"{wanted.mode}_person": named}
    except VelumError:
        await discard_quietly(connection, uploads)
        raise
    await discard_quietly(connection, uploads)


def without_people(
    plan: Plan | str | None, people: People | None
) -> tuple[Plan | str | None, People | None]:  # fmt: skip
    """Return the plan without its people, and these, or those that are given beside it.

    Raises `BadPlan` for both, and for another embedding than the service has.
    """
    if isinstance(plan, Plan) and plan.people is not None:
        if people is not None:
            raise BadPlan("the plan has people already; leave people out of one of them")
        plan, people = replace(plan, people=None), plan.people
    if people is not None and people.embedding != DEFAULT_EMBEDDING:
        raise BadPlan(
            f"the service compares faces with {DEFAULT_EMBEDDING}, not with {people.embedding}; leave embedding out"
        )
    return plan, people


async def discard_quietly(connection: Connection, uploads: Sequence[Upload]) -> None:
    """Delete uploads that are not needed any more, as far as the service does it."""
    for upload in uploads:
        try:
            await discard(connection, upload)
        except VelumError:
            continue  # a job has taken the upload, or the service will delete it
