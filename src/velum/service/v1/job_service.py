"""What is done with jobs on behalf of a caller, who sees their own and no others."""

import hashlib
import json
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from velum.annotations import Annotations
from velum.errors import BadInput, BadPlan, VelumError
from velum.jobs import JobListing, JobQueue, JobRecord, ResumableUpload, State, Submission
from velum.jobs.queue import Taken
from velum.jobs.values import Once
from velum.net.client import HttpClient
from velum.plan import Plan
from velum.service.auth.principal import AccessDenied, Principal
from velum.service.job_backend import JobBackend
from velum.service.problem_details import ConflictProblem, NotFoundProblem, Overtaken
from velum.service.v1.plans import Plans
from velum.service.v1.range_response import tag_of
from velum.service.v1.uploads import owned_upload
from velum.service.v1.values import JobRequest
from velum.storage.resumable_uploads import Occupied

LOG = logging.getLogger("velum.service")

REGIONS_BYTES = 128 << 20
"""Largest file of regions: it is read whole."""

_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, eq=False)
class Allowed:
    """What the operator allows: jobs that name where their source is, and jobs that name who is told their end."""

    urls: bool = False
    webhooks: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class JobService:
    """Where callers hand in jobs and ask for them. Called from several threads at once."""

    office: JobBackend
    plans: Plans
    peers: HttpClient
    allowed: Allowed
    most: int
    """Largest source that is fetched or taken, in bytes."""

    @property
    def desk(self) -> JobQueue:
        """The desk behind it."""
        return self.office.open().desk

    def submit(self, wanted: JobRequest, caller: Principal, key: str | None = None) -> JobRecord:
        """Have it done. What is wrong with it shows before the upload is taken; whatever fails leaves that here.

        A request that comes again with its `key` makes no second job.
        """
        once = _once(caller, key, f"submit {wanted.model_dump_json()}")
        if (made := self._made_before(wanted, once)) is not None:
            return made
        try:
            return self._submit(wanted, caller, once)
        except BadInput:
            # A request with the same key, which overlaps with this one, may have used the uploads up meanwhile.
            if (made := self._made_before(wanted, once)) is not None:
                return made
            raise

    def _made_before(self, wanted: JobRequest, once: Once | None) -> JobRecord | None:
        """Return the job that an earlier request with the same key made, None where there is none.

        Raises `NotFoundProblem` for one that was deleted since, and as `JobQueue.repeated` does.
        """
        if once is None or (made := self.desk.repeated(once)) is None:
            return None
        self._consumed(_uploads_of(wanted))  # that request may have broken off before it came to this
        return _there(self.desk.get(made), made)

    def _submit(self, wanted: JobRequest, caller: Principal, once: Once | None) -> JobRecord:
        submission, uploads = self._submission(wanted, caller), _uploads_of(wanted)
        if (wanted.upload is None) == (wanted.url is None):
            raise BadInput("a job has either an upload or a url; give one of them")
        for upload in uploads:
            self._check_whole(owned_upload(self.office, upload, caller))
        if wanted.regions is not None:
            self._check_regions(wanted.regions, submission.plan)
        source = self._fetched(str(wanted.url)) if wanted.upload is None else self._offered(wanted.upload)
        regions = None if wanted.regions is None else self._offered(wanted.regions)
        try:
            # Only from here on are the uploads of no use any more.
            files = replace(submission, source=source, regions=regions)
            job = self.desk.submit(files, once=once, sole=wanted.upload is not None)
        except Taken as error:
            self._consumed(uploads[:1])
            raise NotFoundProblem(f"upload {str(wanted.upload)[:40]!r} is not here: it was taken by a job") from error
        self._consumed(uploads)
        return job

    def get(self, job: str, caller: Principal) -> JobRecord:
        """Return a job of the caller; whoever may operate sees all. Raises `NotFoundProblem`."""
        found = self.desk.get(job) if _ID.fullmatch(job) else None
        if found is None or (found.submission.owner != caller.name and "operate" not in caller.scopes):
            raise NotFoundProblem(f"job {job[:40]!r} is not here: there never was one, or it was deleted")
        return found

    def list(
        self, caller: Principal, *, state: State | None, owner: str | None, after: str | None, limit: int
    ) -> JobListing:
        """Return jobs: the caller's own, or with the scope operate those of `owner`, or everyone's."""
        if "operate" not in caller.scopes:
            if owner not in {None, caller.name}:
                raise AccessDenied(f"{caller.name} sees only their own jobs; those of others take the scope operate")
            owner = caller.name
        return self.desk.list(state=state, owner=owner, after=after, limit=limit)

    def cancel(self, job: str, caller: Principal) -> JobRecord:
        """Call a job off."""
        self.get(job, caller)
        return _there(self.desk.cancel(job), job)

    def retry(self, job: str, caller: Principal, key: str | None = None) -> JobRecord:
        """Have a job done again, once for requests with the same key. Raises `ConflictProblem` when it cannot be."""
        self.get(job, caller)
        try:
            return _there(self.desk.retry(job, once=_once(caller, key, f"retry {job}")), job)
        except BadPlan as error:
            raise ConflictProblem(str(error)) from error

    def correct(self, job: str, sent: bytes, caller: Principal, *, match: str | None = None) -> JobRecord:
        """Take regions for those that the job is to hide; `match` is the tag of the ones that they were made from.

        Raises `BadInput` when they cannot be of its source, `ConflictProblem` while it is not at an end, `Overtaken`.
        """
        now = self.get(job, caller)
        if match is not None and (now.regions is None or match not in {tag_of(now.regions), "*"}):
            if self._same(now.regions, sent):
                return now  # it came before, and only its answer was lost
            raise Overtaken("the regions have been corrected by someone else since; look at theirs first")
        self._check(sent, now)
        key = self.office.open().store.put([sent]).key
        try:
            return _there(self.desk.correct(job, key, before=None if match is None else now.regions), job)
        except BadPlan as error:
            self.office.open().store.delete(key)
            raise ConflictProblem(str(error)) from error

    def render(self, job: str, caller: Principal, key: str | None = None) -> JobRecord:
        """Have a job done again with its regions as they are, once for requests with the same key.

        Raises `ConflictProblem` when it cannot be.
        """
        self.get(job, caller)
        try:
            return _there(self.desk.render(job, once=_once(caller, key, f"render {job}")), job)
        except BadPlan as error:
            raise ConflictProblem(str(error)) from error

    def _check(self, sent: bytes, job: JobRecord) -> None:
        findings = _findings(sent)
        self.plans.check(job.submission.plan, findings)
        if (report := self.desk.report(job.id)) is not None:
            size = {name: int(report[name]) for name in ("width", "height", "frames")}
            findings.check(**size, sha256=report["input_sha256"])

    def _same(self, key: str | None, sent: bytes) -> bool:
        store = self.office.open().store
        return key is not None and store.size(key) == len(sent) and b"".join(store.open(key)) == sent

    def delete(self, job: str, caller: Principal) -> None:
        """Delete a job with all that belongs to it."""
        self.get(job, caller)
        self.office.delete(job)

    def _submission(self, wanted: JobRequest, caller: Principal) -> Submission:
        """Return the submission, without its files. Raises `BadPlan` and `AccessDenied`."""
        if wanted.priority > 0 and "operate" not in caller.scopes:
            raise AccessDenied("a priority above 0 takes the scope operate; leave it out")
        if wanted.regions is None and "anonymize" not in caller.scopes:
            raise AccessDenied(
                "a job without regions of one's own takes the scope anonymize; name an upload of regions"
            )
        if wanted.regions is not None and "review" not in caller.scopes:
            raise AccessDenied("regions take the scope review; leave them out")
        if wanted.webhook is not None:
            if not self.allowed.webhooks:
                raise BadPlan("webhooks are not allowed here; leave it out, and follow the job's events")
            self.peers.check(wanted.webhook)
        if wanted.url is not None:
            if not self.allowed.urls:
                raise BadPlan("sources by address are not allowed here; upload the file")
            self.peers.check(wanted.url)
        plan = self.plans.of(wanted.plan)
        self.plans.check(plan)
        name = wanted.name or (_name_of(wanted.url) if wanted.url else "upload")
        return Submission("", name, plan, owner=caller.name, priority=wanted.priority, webhook=wanted.webhook)

    def _check_whole(self, at: ResumableUpload) -> None:
        if at.size is not None and at.offset < at.size:
            raise ConflictProblem(f"upload {at.id} is at byte {at.offset} of {at.size}; send the rest first")

    def _check_regions(self, upload: str, plan: Plan) -> None:
        """Raise `BadInput` when an upload is no file of regions, `BadPlan` when they do not go with the plan."""
        with _occupied():
            sent = self.office.open().uploads.read(upload, REGIONS_BYTES)
        self.plans.check(plan, _findings(sent))

    def _offered(self, upload: str) -> str:
        with _occupied():
            return self.office.open().uploads.offer(upload)

    def _consumed(self, uploads: Sequence[str]) -> None:
        try:
            for upload in uploads:
                self.office.open().uploads.discard(upload)
        except VelumError as error:
            # It is that of a job, and of no other any more; a sweep finds what is left of it.
            LOG.warning("uploads that a job has taken stay for now", extra={"facts": {"cause": str(error)}})

    def _fetched(self, url: str) -> str:
        answer = self.peers.get(url)
        if answer.status != 200:
            raise BadInput(f"the address of the source answered {answer.status}; it must answer 200 with the file")
        return self.office.open().store.put([answer.body], most=self.most).key


def _uploads_of(wanted: JobRequest) -> Sequence[str]:
    return [upload for upload in (wanted.upload, wanted.regions) if upload is not None]


def _once(caller: Principal, key: str | None, asked: str) -> Once | None:
    return None if key is None else Once(caller.name, key, hashlib.sha256(asked.encode()).hexdigest())


@contextmanager
def _occupied() -> Iterator[None]:
    try:
        yield
    except Occupied as error:
        raise ConflictProblem(str(error)) from error


def _findings(sent: bytes) -> Annotations:
    """Return the findings of a file of regions. Raises `BadInput` when it is none."""
    try:
        return Annotations.from_json(json.loads(sent))
    except (ValueError, RecursionError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"the regions are not valid JSON: {error}; send them again") from error


def _there(job: JobRecord | None, name: str) -> JobRecord:
    if job is None:
        raise NotFoundProblem(f"job {name} is not here any more: it was deleted")
    return job


def _name_of(url: str) -> str:
    try:
        path = urlsplit(url).path
    except ValueError:
        return "source"  # that the address cannot be read is said when it is fetched
    return PurePosixPath(unquote(path, errors="replace")).name[:255] or "source"
