"""`velum keys`, `velum config` and `velum audit`: what the operator of a service manages and looks up."""

import json
import textwrap
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from velum.cli.common import warn
from velum.cli.serve import ConfigFile, DataFolder, load_settings
from velum.errors import BadPlan

if TYPE_CHECKING:
    from velum.service.auth.api_keys import ApiKeys
    from velum.service.auth.principal import Scope


keys = typer.Typer(help="Create, list and revoke API keys of the service.", no_args_is_help=True)
config = typer.Typer(help="Show the settings.", no_args_is_help=True)
audit = typer.Typer(help="Verify audit logs.", no_args_is_help=True)

ScopeNames = Annotated[
    list[str],
    typer.Option("--scope", metavar="SCOPE", help="What the key allows: anonymize, review or operate. Repeatable."),
]
Days = Annotated[float | None, typer.Option("--days", metavar="N", help="Days until the key expires. Default: never.")]
Requests = Annotated[
    int | None,
    typer.Option(
        "--requests-per-minute", metavar="N", min=0, help="Limit of requests a minute. Default: that of the settings."
    ),
]
Volume = Annotated[
    int | None,
    typer.Option(
        "--bytes-per-day", metavar="N", min=0, help="Limit of uploaded bytes a day. Default: that of the settings."
    ),
]


@keys.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Owner of the key; jobs belong to this name.")],
    scope: ScopeNames = ["anonymize"],
    days: Days = None,
    requests_per_minute: Requests = None,
    bytes_per_day: Volume = None,
    config: ConfigFile = None,
    data: DataFolder = None,
) -> None:
    """Create a key and print it. It is shown only once; the service keeps its hash."""
    if days is not None and not 0 < days <= 36_500:
        raise BadPlan(f"--days is {days!r}; it must be above 0 and at most 36500")
    store = _open_keys(config, data)
    key, secret = store.add(
        name, [_scope(name_of_scope) for name_of_scope in scope],
        expires=None if days is None else time.time() + days * 86_400,
        requests_per_minute=requests_per_minute, bytes_per_day=bytes_per_day,
    )  # fmt: skip
    typer.echo(secret)
    warn(f"key {key.id} of {key.name} is not shown again; send it as 'Authorization: Bearer KEY'")
    warn(f"keys are kept in {store.file}")
    if len(store.all()) == 1:
        warn("a service that now runs without keys asks for them only after a restart")


@keys.command("list")
def list_keys(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all data of each key as JSON, without its hash.")
    ] = False,
    config: ConfigFile = None,
    data: DataFolder = None,
) -> None:
    """List all keys, also expired and revoked ones."""
    now = time.time()
    listed = _open_keys(config, data).all()
    if as_json:
        shown = [{**key.to_json(), "state": key.state(now)} for key in listed]
        for entry in shown:
            del entry["sha256"]
        typer.echo(json.dumps(shown, indent=2))
        return
    for key in listed:
        until = "" if key.expires is None else f"  until {_day(key.expires)}"
        typer.echo(
            f"{key.id}  {key.state(now):8}{key.name}  {','.join(sorted(key.scopes))}  since {_day(key.created)}{until}"
        )


@keys.command()
def revoke(
    which: Annotated[str, typer.Argument(metavar="NAME|ID", help="Name or id of the key.")],
    config: ConfigFile = None,
    data: DataFolder = None,
) -> None:
    """Revoke a key. Running services refuse it from the next request on."""
    key = _open_keys(config, data).revoke(which)
    typer.echo(f"{key.id}  revoked {key.name}")


@config.callback()
def _config_group() -> None:
    """Show the settings."""


@config.command()
def show(
    as_json: Annotated[bool, typer.Option("--json", help="Print the settings as JSON.")] = False,
    file: ConfigFile = None,
    changed: Annotated[
        bool, typer.Option("--changed", help="Show only settings that differ from their defaults.")
    ] = False,
) -> None:
    """Print every setting: its value, its origin (variable, file or default) and its meaning.

    Passwords in URLs are not shown.
    """
    from velum.settings.describe import describe_settings

    rows = [setting for setting in describe_settings(file=file) if not changed or setting.origin != "default"]
    if as_json:
        typer.echo(json.dumps([asdict(setting) for setting in rows], indent=2, ensure_ascii=False))
        return
    for setting in rows:
        typer.echo(f"{setting.key} = {setting.text}  ({setting.origin})")
        if setting.about:
            typer.echo(textwrap.fill(setting.about, 78, initial_indent="    ", subsequent_indent="    "))


@audit.callback()
def _audit_group() -> None:
    """Verify audit logs."""


@audit.command()
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
    outcome = check(file, key=secret, noted=last)
    torn = f", {outcome.torn} of them torn by a crash" if outcome.torn else ""
    sealed = (
        f"{outcome.sealed} have a code of the key" if secret else "codes were not checked: there is no key here (--key)"
    )
    typer.echo(f"{outcome.lines} lines{torn}, each follows the one before it; {sealed}")
    typer.echo(f"before {outcome.before}\nlast   {outcome.last}")


def _open_keys(config: Path | None, data: Path | None) -> "ApiKeys":
    from velum.service.auth.api_keys import ApiKeys
    from velum.service.auth.middleware import keys_file

    return ApiKeys(keys_file(load_settings(config, data)))


def _scope(text: str) -> "Scope":
    from velum.service.auth.principal import SCOPES

    for scope in SCOPES:
        if scope == text:
            return scope
    raise BadPlan(f"--scope is {text!r}; it must be one of {', '.join(SCOPES)}")


def _day(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d")
