"""`velum audit`: whether an audit log is whole."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Check audit logs.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Check audit logs."""


@app.command()
def verify(file: Annotated[Path, typer.Argument(metavar="FILE", help="An audit log.")]) -> None:
    """Check that no line was changed, or taken out between two others; note the last hash elsewhere to see the rest."""
    from velum.service.audit import verify as check

    found = check(file)
    typer.echo(f"{found.lines} lines, each follows the one before it\nbefore {found.before}\nlast   {found.last}")
