"""`velum audit`: whether an audit log is whole."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Check audit logs.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Check audit logs."""


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An audit log.")],
    last: Annotated[
        str | None,
        typer.Option("--last", metavar="HASH", help="A last hash that you noted: the log must still have it."),
    ] = None,
    key: Annotated[
        Path | None, typer.Option("--key", metavar="FILE", help="The key of the log. Default: the one of the settings.")
    ] = None,
) -> None:
    """Check that no line was changed, or taken out between two others; note the last hash elsewhere to see the rest."""
    from velum.service.audit import key_file, read_key
    from velum.service.audit import verify as check
    from velum.settings import Settings

    usual = key_file(Settings.load())
    secret = read_key(key or usual) if key is not None or usual.exists() else None
    found = check(file, key=secret, noted=last)
    torn = f", {found.torn} of them torn by a crash" if found.torn else ""
    sealed = (
        f"{found.sealed} have a code of the key" if secret else "codes were not checked: there is no key here (--key)"
    )
    typer.echo(f"{found.lines} lines{torn}, each follows the one before it; {sealed}")
    typer.echo(f"before {found.before}\nlast   {found.last}")
