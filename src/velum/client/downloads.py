"""Results from the service: written whole or not at all, and continued where they broke off."""

import re
from functools import partial
from pathlib import Path

from velum.client._sansio import HttpRequest, HttpResponse, Next, Progress, RunBlocking, Steps
from velum.client.asking import Retry, asked, opened
from velum.client.errors import Conflict
from velum.client.jobs import place
from velum.client.models import HiddenFile, Job
from velum.client.parsing import JsonReader
from velum.client.saving import PartialFile, saved
from velum.client.uploads import form
from velum.errors import OutputFailed, Unavailable
from velum.plan import Plan

_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18})", re.ASCII)


def hidden(source: Path, target: Path, plan: Plan | str | None, *, overwrite: bool) -> Steps[HiddenFile]:
    """Have a picture hidden in at once, and write it to `target`."""
    with saved(target, overwrite=overwrite, source=source) as part:
        answer = yield from opened(HttpRequest("POST", "/v1/images", body=form(source, plan)))
        if "x-velum-report" not in answer.headers:
            raise Unavailable(f"{answer.where} answered not as velum's service does; check the address")
        facts = HiddenFile.read(JsonReader.of_text(answer.headers["x-velum-report"]), target)
        while chunk := (yield Next()):
            yield RunBlocking(partial(part.add, chunk))
        _check(part, facts.output_sha256, target)
    return facts


def result(job: Job | str, target: Path, seconds: float, progress: Progress | None, *, overwrite: bool) -> Steps[Path]:
    """Write the result of a job to `target`. Raises `Conflict` before it is done, `Expired` after it was deleted."""
    report = yield from asked(HttpRequest("GET", f"{place(job)}/report"))
    with saved(target, overwrite=overwrite) as part:
        yield from _filled(part, f"{place(job)}/result", seconds, progress)
        _check(part, report.text_or_none("output_sha256"), target)
    return target


def _filled(part: PartialFile, path: str, seconds: float, progress: Progress | None) -> Steps[None]:
    """Write the file at `path`; where it breaks off, ask for the rest, up to `seconds` without getting any further."""
    patience, tag, size = Retry(seconds, begun=True), "", -1
    while part.here != size:
        try:
            rest = {"range": f"bytes={part.here}-", "if-range": tag} if part.here and tag else {}
            answer = yield from opened(HttpRequest("GET", path, headers=rest))
            size = yield from _placed(part, answer)
            tag = answer.headers.get("etag", "")
            yield from _received(part, size, answer, patience, progress)
        except (Unavailable, Conflict) as error:
            yield from patience.wait(error)


def _received(
    part: PartialFile, size: int, answer: HttpResponse, patience: Retry, progress: Progress | None
) -> Steps[None]:
    while chunk := (yield Next()):
        yield RunBlocking(partial(part.add, chunk))
        patience.progress()
        if progress:
            progress(part.here, size)
    if part.here != size:
        raise Unavailable(f"{answer.where} ended after {part.here:,} of {size:,} bytes")


def _placed(part: PartialFile, answer: HttpResponse) -> Steps[int]:
    """Return how large the whole file is; where it comes from its beginning, `part` begins anew."""
    match = _RANGE.fullmatch(answer.headers.get("content-range", ""))
    if answer.status == 206 and match and int(match[1]) == part.here:
        return int(match[2])
    size = answer.headers.get("content-length", "")
    if answer.status != 200 or not re.fullmatch("[0-9]{1,18}", size, re.ASCII):
        raise Unavailable(f"{answer.where} answered {answer.status} without saying how much there is")
    if part.here:
        yield RunBlocking(part.restart)
    return int(size)


def _check(part: PartialFile, sha256: str | None, target: Path) -> None:
    if sha256 is not None and part.sha256 != sha256:
        raise OutputFailed(
            f"cannot write {target}: what came has SHA-256 {part.sha256[:12]}, the report says {sha256[:12]}; "
            "something between here and the service changes files. Nothing was published"
        )
