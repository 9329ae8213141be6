"""`velum config`: show each setting, its value and where the value comes from."""

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
    as_json: Annotated[bool, typer.Option("--json", help="Print the settings as JSON.")] = False,
    config: ConfigFile = None,
    changed: Annotated[
        bool, typer.Option("--changed", help="Show only settings that differ from their defaults.")
    ] = False,
) -> None:
    """Print every setting: its value, its origin (variable, file or default) and its meaning.

    Passwords in URLs are not shown.
    """
    from velum.settings.describe import describe_settings

    rows = [setting for setting in describe_settings(file=config) if not changed or setting.origin != "default"]
    if as_json:
        typer.echo(json.dumps([asdict(setting) for setting in rows], indent=2, ensure_ascii=False))
        return
    for setting in rows:
        typer.echo(f"{setting.key} = {setting.text}  ({setting.origin})")
        if setting.about:
            typer.echo(textwrap.fill(setting.about, 78, initial_indent="    ", subsequent_indent="    "))
