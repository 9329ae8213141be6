"""`velum jobs`: list, watch and change the jobs of a service, and download their results."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from velum.cli import common, options
from velum.cli.progress import fetch_result, wait_for_end
from velum.errors import BadPlan, VelumError
from velum.report import say_count

if TYPE_CHECKING:
    from rich.console import Console

    from velum.client import Client, Job, State

app = typer.Typer(help="List, watch and change the jobs of a service; download results.", no_args_is_help=True)

Server = Annotated[
    str | None,
    typer.Option("--server", metavar="URL", help="Address of the service. Default: setting client.server."),
]
TokenFile = Annotated[
    Path | None,
    typer.Option("--token-file", metavar="FILE", help="File with the API key. Default: setting client.token."),
]
JobId = Annotated[str, typer.Argument(metavar="ID", help="Id of the job.")]
JobIds = Annotated[list[str], typer.Argument(metavar="ID", help="Ids of the jobs.")]

WIDE = 240
"""Width of a table that is not printed on a terminal, in columns: wide enough that nothing is cut off."""

NARROW = 110
"""Width from which the table of jobs fits."""


@app.command("list")
def list_jobs(
    state: Annotated[
        str | None,
        typer.Option(
            "--state",
            metavar="STATE",
            help="Only jobs in this state: waiting, running, done, failed, cancelled or dead.",
        ),
    ] = None,
    owner: Annotated[
        str | None,
        typer.Option("--owner", metavar="NAME", help="Only jobs of this owner; needs a key with scope operate."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="Number of jobs to list.")] = 50,
    json: options.Json = False,
    server: Server = None,
    token_file: TokenFile = None,
) -> None:
    """List jobs, newest first."""
    with service(server, token_file) as client:
        listed = list(islice(client.jobs(state=_checked_state(state), owner=owner), limit))
    if json:
        for job in listed:
            common.print_json(asdict(job))
        return
    from rich.console import Console

    console = Console()
    print_jobs(listed, console if console.is_terminal else Console(width=WIDE))


@app.command()
def show(
    job: JobId,
    report: Annotated[bool, typer.Option("--report", help="Print the report of what was hidden, as JSON.")] = False,
    json: options.Json = False,
    server: Server = None,
    token_file: TokenFile = None,
) -> None:
    """Show the state of a job, or the report of what it hid."""
    with service(server, token_file) as client:
        if report:
            common.print_json(client.report(job))
        else:
            _print_job(client.job(job), json=json)


@app.command()
def cancel(jobs: JobIds, json: options.Json = False, server: Server = None, token_file: TokenFile = None) -> None:
    """Cancel jobs."""
    with service(server, token_file) as client:
        for job in jobs:
            _print_job(client.cancel(job), json=json)


@app.command()
def retry(jobs: JobIds, json: options.Json = False, server: Server = None, token_file: TokenFile = None) -> None:
    """Run failed or cancelled jobs again."""
    with service(server, token_file) as client:
        for job in jobs:
            _print_job(client.retry(job), json=json)


@app.command()
def regions(
    job: JobId,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="File to write to. Default: standard output.")
    ] = None,
    overwrite: options.Overwrite = False,
    server: Server = None,
    token_file: TokenFile = None,
) -> None:
    """Download the annotation file of a job, to correct it and render the job again."""
    with service(server, token_file) as client:
        text = client.regions(job).to_text()
    if output is None:
        typer.echo(text)
    else:
        common.write_text(output, text + "\n", overwrite=overwrite)


@app.command()
def labels(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder for the annotation files.")],
    every: Annotated[
        bool, typer.Option("--all", help="Results that nobody has approved, too: what was found, right or wrong.")
    ] = False,
    overwrite: options.Overwrite = False,
    server: Server = None,
    token_file: TokenFile = None,
) -> None:
    """Download the regions of approved results as truth for velum train and evaluate; the files stay where they are."""
    seen: set[str] = set()
    skipped = 0
    with service(server, token_file) as client:
        for job in client.jobs(state="done"):
            name = PurePosixPath(job.name).name
            approved = every or bool(client.report(job.id).get("reviewers"))
            if name in seen or job.corrections_pending or not approved:
                skipped += 1
                continue
            seen.add(name)
            output.mkdir(parents=True, exist_ok=True)
            common.write_text(
                output / f"{name}.regions.json", client.regions(job).to_text() + "\n", overwrite=overwrite
            )
    if not seen:
        raise BadPlan(
            "no job has an approved result, so there is nothing to learn from; approve results on the page, under "
            "Review, or take every finished job with --all"
        )
    count = say_count(len(seen), "annotation file", "annotation files")
    typer.echo(f"{output}: {count}; {skipped} left out (not approved, corrected since, or of a name that came before)")
    typer.echo(f"next: velum train {output} --media FOLDER -o NAME, where FOLDER holds the files that were submitted")


@app.command()
def render(
    job: JobId,
    regions: Annotated[
        Path | None,
        typer.Option("--regions", metavar="FILE", help="Corrected annotation file. Default: the regions of the job."),
    ] = None,
    json: options.Json = False,
    server: Server = None,
    token_file: TokenFile = None,
) -> None:
    """Run a job again with its regions, or with corrected ones; nothing is detected again."""
    corrected = None if regions is None else common.read_annotations(regions)
    with service(server, token_file) as client:
        _print_job(client.render(job, corrected), json=json)


@app.command()
def delete(jobs: JobIds, server: Server = None, token_file: TokenFile = None) -> None:
    """Delete jobs with their sources, results and reports. This cannot be undone."""
    with service(server, token_file) as client:
        for job in jobs:
            client.delete(job)
            typer.echo(f"{job}  deleted")


@app.command()
def download(
    job: JobId,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DST", help="File or folder to write. Default: the current folder."),
    ] = None,
    overwrite: options.Overwrite = False,
    server: Server = None,
    token_file: TokenFile = None,
) -> None:
    """Download the result of a finished job."""
    with service(server, token_file) as client:
        current = client.job(job)
        place = output or Path()
        typer.echo(
            fetch_result(
                client, current, place / result_name(current) if place.is_dir() else place, overwrite=overwrite
            )
        )


@app.command()
def watch(job: JobId, json: options.Json = False, server: Server = None, token_file: TokenFile = None) -> None:
    """Wait until a job ends, showing progress. Exit 0: done; otherwise the code of its error."""
    with service(server, token_file) as client:
        ended = wait_for_end(client, job)
    _print_job(ended, json=json)
    if error := job_error(ended):
        raise error


def service(server: str | None, token_file: Path | None) -> "Client":
    """Return a client of the service that the options or the settings name.

    The token of the settings is sent only to the server of the settings, never to another one.
    """
    from velum.client import Client
    from velum.settings import Settings
    from velum.settings.schema import ClientSettings as Chosen

    chosen = Settings.load().client
    its_own = server is None or chosen.server.rstrip("/") in {server.rstrip("/"), Chosen().server}
    token = _read_token(token_file) if token_file else chosen.token if its_own else ""
    return Client(server or chosen.server, token or None)


def server_address(server: str | None) -> str:
    """Return the address of the service that the option or the settings name, without a slash at its end."""
    from velum.settings import Settings

    return (server or Settings.load().client.server).rstrip("/")


def result_name(job: "Job") -> str:
    """Return the file name of a job's result, without folders, so that it cannot lead out of the target folder."""
    name = PurePosixPath((job.result_name or "").replace("\\", "/")).name
    return job.id if name in {"", "."} or name.startswith("..") else name


def job_error(job: "Job") -> VelumError | None:
    """Return the error of a job that did not end as done; None for one that did."""
    if job.state == "done":
        return None
    if job.error is None:
        return VelumError(f"job {job.id} of {job.name} was {job.state}")
    error = job.error.error
    error.args = (f"job {job.id} of {job.name} {job.state}: {error}",)
    return error


def _read_token(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadPlan(f"the token in {file} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _checked_state(text: str | None) -> "State | None":
    from velum.client.models import STATES

    checked = next((state for state in STATES if state == text), None)
    if text is not None and checked is None:
        raise BadPlan(f"--state is {text!r}; it must be one of {', '.join(STATES)}")
    return checked


def _print_job(job: "Job", *, json: bool) -> None:
    if json:
        common.print_json(asdict(job))
    else:
        typer.echo("  ".join(cell for cell in _cells(job) if cell))


def print_jobs(jobs: Sequence["Job"], console: "Console") -> None:
    """Print a table of jobs; on a narrow console two lines for each job, so that nothing is cut off."""
    from rich.table import Table
    from rich.text import Text

    if console.width < NARROW:
        for job in jobs:
            *figures, name, why = _cells(job)
            console.print(
                Text("  ".join(filter(None, figures))), Text(f"    {'  '.join(filter(None, (name, why)))}"), sep="\n"
            )
        return
    table = Table("ID", "STATE", "SUBMITTED", "FRAMES", "LEFT", "NAME", "ERROR", box=None, pad_edge=False)
    for column in table.columns[:5]:
        column.no_wrap = True
    for job in jobs:
        # Text is never read as markup: names are whatever users call their files.
        table.add_row(*map(Text, _cells(job)))
    console.print(table)


def _cells(job: "Job") -> tuple[str, ...]:
    moment = datetime.fromtimestamp(job.submitted, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
    frames = f"{job.frames_done}/{'?' if job.frames_total is None else job.frames_total}"
    remaining = f"{job.seconds_left:.0f} s" if job.state == "running" and job.seconds_left is not None else ""
    why = "" if job.error is None else f"{job.error.code}: {job.error.message}"
    return job.id, job.state, moment, frames, remaining, job.name, why


def as_json(job: "Job", **more: Any) -> dict[str, Any]:
    """Return a job as JSON values, with `more` fields added."""
    return asdict(job) | more
