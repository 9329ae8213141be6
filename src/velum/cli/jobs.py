"""`velum jobs`: the jobs of a service, looked at and fetched from here."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from velum.cli import common
from velum.cli.hide import Json, Overwrite
from velum.errors import BadPlan, VelumError

if TYPE_CHECKING:
    from rich.table import Table

    from velum.client import Client, Job, State

app = typer.Typer(help="List, watch and fetch the jobs of a service.", no_args_is_help=True)

Server = Annotated[
    str | None,
    typer.Option("--server", metavar="URL", help="The service. Default: client.server, http://127.0.0.1:4343."),
]
TokenFile = Annotated[
    Path | None, typer.Option("--token-file", metavar="FILE", help="File with a key for it. Default: client.token.")
]
JobId = Annotated[str, typer.Argument(metavar="ID", help="The job, by its id.")]
JobIds = Annotated[list[str], typer.Argument(metavar="ID...", help="The jobs, by their ids.")]

WIDE = 240
"""Columns of a table that nobody reads on a terminal: nothing in it is cut off."""


@app.command("list")
def list_jobs(
    state: Annotated[
        str | None, typer.Option("--state", help="waiting, running, done, failed, cancelled or dead.")
    ] = None,
    owner: Annotated[str | None, typer.Option("--owner", help="Whose; takes the scope operate.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many, newest first.")] = 50,
    json: Json = False,
    server: Server = None,
    token_file: TokenFile = None,
) -> None:
    """List jobs, newest first."""
    with service(server, token_file) as client:
        found = list(islice(client.jobs(state=_state(state), owner=owner), limit))
    if json:
        for job in found:
            common.print_json(asdict(job))
        return
    from rich.console import Console

    screen = Console()
    (screen if screen.is_terminal else Console(width=WIDE)).print(_table(found))


@app.command()
def show(
    job: JobId,
    report: Annotated[bool, typer.Option("--report", help="Print the report of what was hidden, as JSON.")] = False,
    json: Json = False,
    server: Server = None,
    token_file: TokenFile = None,
) -> None:
    """Show how far a job is, or what it hid."""
    with service(server, token_file) as client:
        if report:
            common.print_json(client.report(job))
        else:
            _tell(client.job(job), json=json)


@app.command()
def cancel(jobs: JobIds, json: Json = False, server: Server = None, token_file: TokenFile = None) -> None:
    """Call jobs off."""
    with service(server, token_file) as client:
        for job in jobs:
            _tell(client.cancel(job), json=json)


@app.command()
def retry(jobs: JobIds, json: Json = False, server: Server = None, token_file: TokenFile = None) -> None:
    """Have jobs done again that did not end well."""
    with service(server, token_file) as client:
        for job in jobs:
            _tell(client.retry(job), json=json)


@app.command()
def regions(
    job: JobId,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="File to write to. Default: standard output.")
    ] = None,
    overwrite: Overwrite = False,
    server: Server = None,
    token_file: TokenFile = None,
) -> None:
    """Fetch the regions that a job hides, to correct them and render it anew."""
    from velum.cli.locate import findings_text

    with service(server, token_file) as client:
        text = findings_text(client.regions(job))
    if output is None:
        typer.echo(text)
    else:
        common.write_text(output, text + "\n", overwrite=overwrite)


@app.command()
def render(
    job: JobId,
    regions: Annotated[
        Path | None, typer.Option("--regions", metavar="FILE", help="Corrected regions. Default: as they are.")
    ] = None,
    json: Json = False,
    server: Server = None,
    token_file: TokenFile = None,
) -> None:
    """Have a job done again with its regions, corrected or not; nothing is looked for."""
    corrected = None if regions is None else common.findings_from(regions)
    with service(server, token_file) as client:
        _tell(client.render(job, corrected), json=json)


@app.command()
def delete(jobs: JobIds, server: Server = None, token_file: TokenFile = None) -> None:
    """Delete jobs with their sources, results and reports, at once and for good."""
    with service(server, token_file) as client:
        for job in jobs:
            client.delete(job)
            typer.echo(f"{job}  deleted")


@app.command()
def download(
    job: JobId,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DST", help="File or folder to write to. Default: here.")
    ] = None,
    overwrite: Overwrite = False,
    server: Server = None,
    token_file: TokenFile = None,
) -> None:
    """Fetch the result of a job that is done."""
    with service(server, token_file) as client:
        made = client.job(job)
        place = output or Path()
        typer.echo(fetched(client, made, place / result_name(made) if place.is_dir() else place, overwrite=overwrite))


@app.command()
def watch(job: JobId, json: Json = False, server: Server = None, token_file: TokenFile = None) -> None:
    """Follow a job to its end; the exit code tells how that was."""
    with service(server, token_file) as client:
        made = followed(client, job)
    _tell(made, json=json)
    if error := job_error(made):
        raise error


def service(server: str | None, token_file: Path | None) -> "Client":
    """Return the service that the options or the settings name.

    The token of the settings is that of the server of the settings: another one does not get it.
    """
    from velum.client import Client
    from velum.settings import Settings
    from velum.settings.schema import ClientSettings as Chosen

    chosen = Settings.load().client
    its_own = server is None or chosen.server.rstrip("/") in {server.rstrip("/"), Chosen().server}
    token = _token(token_file) if token_file else chosen.token if its_own else ""
    return Client(server or chosen.server, token or None)


def followed(client: "Client", job: "Job | str") -> "Job":
    """Return a job when it has ended; meanwhile a bar shows how far it is."""
    from velum.cli.progress import frames_shown

    now = client.job(job)
    with frames_shown(now.name) as progress:
        for one in client.events(job):
            now = one
            if now.state == "running":
                progress(now.frames_done, now.frames_total)
    return now


def fetched(client: "Client", job: "Job", target: Path, *, overwrite: bool) -> Path:
    """Write the result of a job to `target`, with a bar."""
    from velum.cli.progress import fetch_progress

    with fetch_progress() as progress:
        name = target.name
        return client.result(
            job, target, overwrite=overwrite, progress=lambda done, total: progress(name, done, total)
        )  # fmt: skip


def result_name(job: "Job") -> str:
    """Return the name of a job's result, without anything that could lead out of a folder."""
    name = PurePosixPath((job.result_name or "").replace("\\", "/")).name
    return job.id if name in {"", "."} or name.startswith("..") else name


def job_error(job: "Job") -> VelumError | None:
    """Return why a job did not end well; None for one that did."""
    if job.state == "done":
        return None
    if job.error is None:
        return VelumError(f"job {job.id} of {job.name} was {job.state}")
    error = job.error.error
    error.args = (f"job {job.id} of {job.name} {job.state}: {error}",)
    return error


def _token(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadPlan(f"the token in {file} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _state(text: str | None) -> "State | None":
    from velum.client.models import STATES

    found = next((one for one in STATES if one == text), None)
    if text is not None and found is None:
        raise BadPlan(f"--state is {text!r}; it must be one of {', '.join(STATES)}")
    return found


def _tell(job: "Job", *, json: bool) -> None:
    if json:
        common.print_json(asdict(job))
    else:
        typer.echo("  ".join(one for one in _cells(job) if one))


def _table(jobs: Sequence["Job"]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table("ID", "STATE", "SUBMITTED", "FRAMES", "LEFT", "NAME", "ERROR", box=None, pad_edge=False)
    for column in table.columns[:3]:
        column.no_wrap = True
    for job in jobs:
        # Text is never read as markup: names are whatever users call their files.
        table.add_row(*map(Text, _cells(job)))
    return table


def _cells(job: "Job") -> tuple[str, ...]:
    moment = datetime.fromtimestamp(job.submitted, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
    frames = f"{job.frames_done}/{'?' if job.frames_total is None else job.frames_total}"
    left = f"{job.seconds_left:.0f} s" if job.state == "running" and job.seconds_left is not None else ""
    why = "" if job.error is None else f"{job.error.code}: {job.error.message}"
    return job.id, job.state, moment, frames, left, job.name, why


def as_json(job: "Job", **more: Any) -> dict[str, Any]:
    """Return a job as JSON values, with more of them."""
    return asdict(job) | more
