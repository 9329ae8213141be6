"""Operations on jobs for a caller, who has access to their own jobs, and with the scope operate to all."""

import hashlib
import json
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from velum.annotations import Annotations
from velum.errors import BadInput, BadPlan, VelumError
from velum.jobs import JobKind, JobListing, JobQueue, JobRecord, Retention, State, Store, Submission
from velum.jobs.approvals import record_correction
from velum.jobs.values import Once
from velum.net.client import HttpClient
from velum.plan import Plan
from velum.service.auth.principal import AccessDenied, Principal
from velum.service.job_backend import JobBackend
from velum.service.problem_details import Problem
from velum.service.v1.http_bodies import tag_of
from velum.service.v1.photos import RequestPhotos
from velum.service.v1.plans import Plans
from velum.service.v1.uploads import check_complete, conflict_when_occupied, owned_upload
from velum.service.v1.values import JobRequest
from velum.storage.resumable_uploads import Occupied

LOG = logging.getLogger("velum.service")

REGIONS_BYTES = 128 << 20
"""Largest annotation file: it is read into memory."""

_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, eq=False)
class JobService:
    """Submits, reads and changes jobs for callers. Safe to share between threads."""

    backend: JobBackend
    plans: Plans
    photos: RequestPhotos
    peers: HttpClient
    most: int
    """Largest source in bytes."""
    allows_urls: bool = False
    """Whether the operator allows jobs whose source is a URL."""
    allows_webhooks: bool = False
    retention: Retention = field(default_factory=Retention)
    most_seconds: float = 7 * 86400.0
    """How long after the end of its job people may have a source kept."""

    def json_of(self, job: JobRecord, caller: Principal) -> dict[str, Any]:
        """Return a job as JSON values; only the scope operate shows internal errors."""
        source = job.keep_until
        if source is None and job.ended is not None:
            source = job.ended + self.retention.originals_seconds
        result = None if job.result is None or job.ended is None else job.ended + self.retention.results_seconds
        return job.to_json(inner="operate" in caller.scopes) | {
            "source_until": source if job.source_kept and job.ended is not None else None,
            "result_until": result, "drafted": job.drafted, "owner": job.submission.owner,
            "audio": job.submission.plan.video.audio,
        }  # fmt: skip

    @property
    def queue(self) -> JobQueue:
        """The queue of jobs. Raises as `JobBackend.open`."""
        return self.backend.open().queue

    def submit(self, request: JobRequest, caller: Principal, key: str | None = None) -> JobRecord:
        """Submit a job. All checks come before the uploads are used up, so a failure leaves them as they are.

        Requests with the same `key` (the header Idempotency-Key) make one job, also when they overlap. Raises
        `Problem` (404 or 409), `AccessDenied`, `BadPlan` and `BadInput`.
        """
        once = _idempotent_request(caller, key, f"submit {request.model_dump_json()}")
        if (job := self._made_before(request, once)) is not None:
            return job
        try:
            return self._submit(request, caller, once)
        except BadInput:
            # An overlapping request with the same key may have used the uploads up meanwhile.
            if (job := self._made_before(request, once)) is not None:
                return job
            raise

    def _made_before(self, request: JobRequest, once: Once | None) -> JobRecord | None:
        """Return the job that an earlier request with the same key submitted; None when this is the first one.

        Raises `Problem` (404) for one that was deleted since, and as `JobQueue.find_request` does.
        """
        if once is None or (job := self.queue.find_request(once)) is None:
            return None
        self._discard_uploads(_uploads_of(request))  # that request may have ended before it marked the job
        return _require_job(self.queue.get(job), job)

    def _submit(self, request: JobRequest, caller: Principal, once: Once | None) -> JobRecord:
        submission, uploads = self._submission(request, caller), _uploads_of(request)
        if (request.upload is None) == (request.url is None):
            raise BadInput("a job needs either an upload or a url; send one of them")
        for upload in uploads:
            check_complete(owned_upload(self.backend, upload, caller))
        if request.regions is not None:
            self._check_regions(request.regions, submission.plan)
        plan = self.photos.add_to_job(submission.plan, request, caller)
        submission = replace(submission, plan=plan)
        try:
            return self._submit_checked(submission, request, once)
        except BaseException:
            for key in submission.photo_keys:
                self.queue.release(key)
            raise

    def _submit_checked(self, submission: Submission, request: JobRequest, once: Once | None) -> JobRecord:
        uploads = _uploads_of(request)
        source = self._fetch_source(str(request.url)) if request.upload is None else self._offer_upload(request.upload)
        regions = None if request.regions is None else self._offer_upload(request.regions)
        try:
            # From here on the uploads belong to the job.
            files = replace(submission, source=source, regions=regions)
            job = self.queue.submit(files, once=once, sole=request.upload is not None)
        except Occupied as error:
            self._discard_uploads(uploads[:1])
            raise Problem(
                404, f"upload {str(request.upload)[:40]!r} does not exist: a job has used it; send the file again"
            ) from error
        self._discard_uploads(uploads)
        return job

    def get(self, job: str, caller: Principal) -> JobRecord:
        """Return a job that the caller has access to. Raises `Problem` (404)."""
        record = self.queue.get(job) if _ID.fullmatch(job) else None
        hides = record is not None and record.submission.kind is JobKind.HIDE
        if record is None or not hides or (record.submission.owner != caller.name and "operate" not in caller.scopes):
            raise Problem(404, f"job {job[:40]!r} does not exist: it was never submitted, or it has been deleted")
        return record

    def list(
        self, caller: Principal, *, state: State | None, owner: str | None, after: str | None, limit: int
    ) -> JobListing:
        """Return a page of the caller's jobs; with the scope operate, those of `owner`, or all.

        Raises `AccessDenied` for another owner without that scope.
        """
        if "operate" not in caller.scopes:
            if owner not in {None, caller.name}:
                raise AccessDenied(f"{caller.name} may list only their own jobs; jobs of others take the scope operate")
            owner = caller.name
        return self.queue.list(state=state, owner=owner, after=after, limit=limit)

    def cancel(self, job: str, caller: Principal) -> JobRecord:
        """Cancel a job."""
        self.get(job, caller)
        return _require_job(self.queue.cancel(job), job)

    def retry(self, job: str, caller: Principal, key: str | None = None) -> JobRecord:
        """Run a job again, once for requests with the same `key`. Raises `Problem` (409) if its state forbids it."""
        self.get(job, caller)
        try:
            return _require_job(self.queue.retry(job, once=_idempotent_request(caller, key, f"retry {job}")), job)
        except BadPlan as error:
            raise Problem(409, str(error)) from error

    def correct(self, job: str, body: bytes, caller: Principal, *, match: str | None = None) -> JobRecord:
        """Replace the regions of a job by those of an annotation file; `match` is the tag of the corrected ones.

        Raises `BadInput` when they do not fit the source, `Problem` before the job has ended (409), and
        when somebody else has corrected the regions since.
        """
        now = self.get(job, caller)
        if match is not None and (now.regions is None or match not in {tag_of(now.regions), "*"}):
            if self._is_stored(now.regions, body):
                return now  # repeated after its response was lost
            raise Problem(412, "somebody else has corrected the regions since; fetch them first")
        self._check_correction(body, now)
        key = self.backend.open().store.put([body]).key
        try:
            return _require_job(self.queue.correct(job, key, before=None if match is None else now.regions), job)
        except BadPlan as error:
            self.backend.open().store.delete(key)
            raise Problem(409, str(error)) from error

    def render(self, job: str, caller: Principal, key: str | None = None, audio: str | None = None) -> JobRecord:
        """Render a job again with its current regions, once for requests with the same `key`.

        `audio` changes what the plan does with the audio. Raises `Problem` (409) when its state does not allow that.
        """
        self.get(job, caller)
        once = _idempotent_request(caller, key, f"render {job} {audio or ''}".strip())
        try:
            rendered = _require_job(self.queue.render(job, audio=audio, once=once), job)
        except BadPlan as error:
            raise Problem(409, str(error)) from error
        record_correction(self.backend.open().database, job, caller.name)
        return rendered

    def keep_source(self, job: str, caller: Principal, seconds: float) -> JobRecord:
        """Have the source of a job kept longer. Raises `Problem` (409) when it has been deleted or the job runs."""
        self.get(job, caller)
        try:
            return _require_job(self.queue.keep_source(job, seconds, self.most_seconds), job)
        except BadPlan as error:
            raise Problem(409, str(error)) from error

    def source_store(self, job: JobRecord) -> Store:
        """Return the store that has the source of a job. Raises `Problem` (410) when the source was deleted."""
        if not job.source_kept:
            raise Problem(410, f"the source of job {job.id} was deleted after its retention time")
        return self.backend.open().store

    def _check_correction(self, body: bytes, job: JobRecord) -> None:
        findings = _read_regions(body)
        self.plans.check(job.submission.plan, findings)
        if (report := self.queue.report(job.id)) is not None:
            size = {name: int(report[name]) for name in ("width", "height", "frames")}
            findings.check(**size, sha256=report["input_sha256"])

    def _is_stored(self, key: str | None, body: bytes) -> bool:
        store = self.backend.open().store
        return key is not None and store.size(key) == len(body) and b"".join(store.open(key)) == body

    def delete(self, job: str, caller: Principal) -> None:
        """Delete a job with all its files."""
        self.get(job, caller)
        self.backend.delete(job)

    def _submission(self, request: JobRequest, caller: Principal) -> Submission:
        """Return the submission, still without its files. Raises `BadPlan` and `AccessDenied`."""
        if request.priority > 0 and "operate" not in caller.scopes:
            raise AccessDenied("a priority above 0 takes the scope operate; omit it")
        if request.regions is None and "anonymize" not in caller.scopes:
            raise AccessDenied(
                "a job without regions takes the scope anonymize; send `regions`, an upload of an annotation file"
            )
        if request.regions is not None and "review" not in caller.scopes:
            raise AccessDenied("regions take the scope review; omit them")
        if request.webhook is not None:
            if not self.allows_webhooks:
                raise BadPlan("webhooks are off on this service; omit webhook, and follow the job's events")
            self.peers.check(request.webhook)
        if request.url is not None:
            if not self.allows_urls:
                raise BadPlan("URLs as sources are off on this service; upload the file")
            self.peers.check(request.url)
        plan = self.plans.plan_of_request(request.plan)
        self.plans.check(plan)
        name = request.name or (_name_of(request.url) if request.url else "upload")
        return Submission("", name, plan, owner=caller.name, priority=request.priority, webhook=request.webhook)

    def _check_regions(self, upload: str, plan: Plan) -> None:
        """Raise `BadInput` when an upload is not an annotation file, `BadPlan` when it does not fit the plan."""
        with conflict_when_occupied():
            body = self.backend.open().uploads.read(upload, REGIONS_BYTES)
        self.plans.check(plan, _read_regions(body))

    def _offer_upload(self, upload: str) -> str:
        with conflict_when_occupied():
            return self.backend.open().uploads.offer(upload)

    def _discard_uploads(self, uploads: Sequence[str]) -> None:
        try:
            for upload in uploads:
                self.backend.open().uploads.discard(upload)
        except VelumError as error:
            # The job owns the file now; the retention sweep deletes what is left of the upload.
            LOG.warning("uploads that a job has used could not be deleted yet", extra={"facts": {"cause": str(error)}})

    def _fetch_source(self, url: str) -> str:
        answer = self.peers.get(url)
        if answer.status != 200:
            raise BadInput(f"the URL of the source answered {answer.status}; it must answer 200 with the file")
        return self.backend.open().store.put([answer.body], most=self.most).key


def _uploads_of(request: JobRequest) -> Sequence[str]:
    return [upload for upload in (request.upload, request.regions) if upload is not None]


def _idempotent_request(caller: Principal, key: str | None, request: str) -> Once | None:
    return None if key is None else Once(caller.name, key, hashlib.sha256(request.encode()).hexdigest())


def _read_regions(body: bytes) -> Annotations:
    """Return the annotations in a file. Raises `BadInput` when the file is not an annotation file."""
    try:
        return Annotations.from_json(json.loads(body))
    except (ValueError, RecursionError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"the annotation file is not valid JSON: {error}; send it again") from error


def _require_job(job: JobRecord | None, name: str) -> JobRecord:
    if job is None:
        raise Problem(404, f"job {name} does not exist any more: it has been deleted")
    return job


def _name_of(url: str) -> str:
    try:
        path = urlsplit(url).path
    except ValueError:
        return "source"  # fetching it raises the error
    return PurePosixPath(unquote(path, errors="replace")).name[:255] or "source"
