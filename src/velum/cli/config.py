"""`velum config`: what the settings are, and where each is from."""

import json
import textwrap
from dataclasses import asdict
from typing import Annotated

import typer

from velum.cli.service_options import ConfigFile

app = typer.Typer(help="Show the settings.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Show the settings."""


@app.command()
def show(
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of objects.")] = False,
    config: ConfigFile = None,
    changed: Annotated[bool, typer.Option("--changed", help="Leave out what has its default.")] = False,
) -> None:
    """Print every setting, its value, where that is from (a variable, the file, or the default), and what it means.

    Passwords in addresses are not shown.
    """
    from velum.settings.describe import describe_settings

    rows = [one for one in describe_settings(file=config) if not changed or one.origin != "default"]
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in rows], indent=2, ensure_ascii=False))
        return
    for one in rows:
        typer.echo(f"{one.key} = {one.text}  ({one.origin})")
        if one.about:
            typer.echo(textwrap.fill(one.about, 78, initial_indent="    ", subsequent_indent="    "))
