"""`velum config`: what the settings are, and where each is from."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

app = typer.Typer(help="Show the settings.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Show the settings."""


@app.command()
def show(
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of objects.")] = False,
    changed: Annotated[bool, typer.Option("--changed", help="Leave out what has its default.")] = False,
) -> None:
    """Print every setting, its value, and where that is from: a variable, the file, or the default.

    Passwords in addresses are not shown.
    """
    from velum.settings.shown import shown

    rows = [one for one in shown() if not changed or one.origin != "default"]
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in rows], indent=2, ensure_ascii=False))
        return
    widest = max((len(one.key) for one in rows), default=0)
    for one in rows:
        typer.echo(f"{one.key:{widest}}  {one.text}  ({one.origin})")
