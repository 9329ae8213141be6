"""`velum audit`: verify an audit log."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Verify audit logs.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Verify audit logs."""


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The audit log.")],
    last: Annotated[
        str | None,
        typer.Option(
            "--last", metavar="HASH", help="A last hash that you noted earlier; the log must still contain it."
        ),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option("--key", metavar="FILE", help="File with the key of the log. Default: that of the settings."),
    ] = None,
) -> None:
    """Verify that no line was changed or removed. To notice a cut-off end, note the last hash elsewhere."""
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
