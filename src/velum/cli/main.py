"""Entry point of the command line: registers the commands and turns errors into messages and exit codes."""

import sys
from typing import Annotated

import typer

from velum import __version__
from velum.cli import (
    audit,
    check,
    config,
    evaluate,
    evidence,
    hide,
    jobs,
    keys,
    list_parts,
    locate,
    models,
    serve,
    serve_models,
    strength,
    submit,
    worker,
)
from velum.cli.common import fail
from velum.cli.examples import examples_of
from velum.errors import VelumError

app = typer.Typer(
    name="velum",
    help="Find what identifies people in images and videos, and hide it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("hide", epilog=examples_of("hide"))(hide.hide)
app.command("locate", epilog=examples_of("locate"))(locate.locate)
app.command("check", epilog=examples_of("check"))(check.check)
app.command("evaluate", epilog=examples_of("evaluate"))(evaluate.evaluate)
app.command("techniques")(list_parts.techniques)
app.command("labels")(list_parts.labels)
app.command("serve", epilog=examples_of("serve"))(serve.serve)
app.command("serve-models")(serve_models.serve_models)
app.command("worker")(worker.worker)
app.command("strength")(strength.strength)
app.command("submit", epilog=examples_of("submit"))(submit.submit)
app.add_typer(list_parts.plan_app, name="plan")
app.add_typer(models.app, name="models")
app.add_typer(jobs.app, name="jobs")
app.add_typer(keys.app, name="keys")
app.add_typer(config.app, name="config")
app.add_typer(audit.app, name="audit")
app.add_typer(evidence.app, name="evidence")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"velum {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Find what identifies people in images and videos, and hide it."""


def run() -> None:
    """Run the command line and exit; a `VelumError` is printed as one message and sets the exit code."""
    try:
        app()
    except VelumError as error:
        fail(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        fail("stopped; finished files are complete, nothing half-written was left")
        sys.exit(130)
