"""`velum keys`: the API keys of the service."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from velum.cli.common import warn
from velum.cli.service_options import ConfigFile, DataFolder, load_settings
from velum.errors import BadPlan

if TYPE_CHECKING:
    from velum.service.auth.api_keys import ApiKeys
    from velum.service.auth.principal import Scope

app = typer.Typer(help="Create, list and revoke API keys of the service.", no_args_is_help=True)

ScopeNames = Annotated[
    list[str],
    typer.Option("--scope", metavar="SCOPE", help="What the key allows: anonymize, review or operate. Repeatable."),
]
Days = Annotated[float | None, typer.Option("--days", help="Days until the key expires. Default: never.")]
Requests = Annotated[
    int | None,
    typer.Option("--requests-per-minute", min=0, help="Limit of requests a minute. Default: that of the settings."),
]
Volume = Annotated[
    int | None,
    typer.Option("--bytes-per-day", min=0, help="Limit of uploaded bytes a day. Default: that of the settings."),
]


@app.command()
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
    keys = _keys(config, data)
    key, secret = keys.add(
        name, [_scope(name_of_scope) for name_of_scope in scope],
        expires=None if days is None else time.time() + days * 86_400,
        requests_per_minute=requests_per_minute, bytes_per_day=bytes_per_day,
    )  # fmt: skip
    typer.echo(secret)
    warn(f"key {key.id} of {key.name} is not shown again; send it as 'Authorization: Bearer KEY'")
    warn(f"keys are kept in {keys.file}")
    if len(keys.all()) == 1:
        warn("a service that now runs without keys asks for them only after a restart")


@app.command("list")
def list_keys(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all data of each key as JSON, without its hash.")
    ] = False,
    config: ConfigFile = None,
    data: DataFolder = None,
) -> None:
    """List all keys, also expired and revoked ones."""
    now = time.time()
    keys = _keys(config, data).all()
    if as_json:
        shown = [{**key.to_json(), "state": key.state(now)} for key in keys]
        for entry in shown:
            del entry["sha256"]
        typer.echo(json.dumps(shown, indent=2))
        return
    for key in keys:
        until = "" if key.expires is None else f"  until {_day(key.expires)}"
        typer.echo(
            f"{key.id}  {key.state(now):8}{key.name}  {','.join(sorted(key.scopes))}  since {_day(key.created)}{until}"
        )


@app.command()
def revoke(
    which: Annotated[str, typer.Argument(metavar="NAME|ID", help="Name or id of the key.")],
    config: ConfigFile = None,
    data: DataFolder = None,
) -> None:
    """Revoke a key. Running services refuse it from the next request on."""
    key = _keys(config, data).revoke(which)
    typer.echo(f"{key.id}  revoked {key.name}")


def _keys(config: Path | None, data: Path | None) -> "ApiKeys":
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
