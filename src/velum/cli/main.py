"""Entry point of the command line: registers the commands and turns errors into messages and exit codes."""

import atexit
import gc
import os
import sys
from collections.abc import Callable, Mapping
from functools import cache, partial
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

import typer

from velum import __version__
from velum.cli.common import fail
from velum.errors import VelumError

COMMANDS: Mapping[str, tuple[str, str]] = {
    "hide": ("hide", "hide"),
    "locate": ("locate", "locate"),
    "check": ("locate", "check"),
    "inspect": ("inspect", "inspect"),
    "evaluate": ("evaluate", "evaluate"),
    "techniques": ("list_parts", "techniques"),
    "labels": ("list_parts", "labels"),
    "serve": ("serve", "serve"),
    "serve-models": ("serve_models", "serve_models"),
    "worker": ("serve", "worker"),
    "strength": ("evaluate", "strength"),
    "submit": ("submit", "submit"),
    "watch": ("watch", "watch"),
    "mcp": ("mcp", "mcp"),
    "batch": ("batch", "app"),
    "train": ("train", "app"),
    "plan": ("list_parts", "plan_app"),
    "models": ("models", "app"),
    "jobs": ("jobs", "app"),
    "keys": ("service_admin", "keys"),
    "config": ("service_admin", "config"),
    "audit": ("service_admin", "audit"),
    "evidence": ("evidence", "app"),
}
"""Command or group of commands -> its module in this package, and its name there. Modules are loaded when needed."""

SERVERS = frozenset({"mcp", "serve", "serve-models", "watch", "worker"})
"""Commands that run for days: for them, Python collects garbage as usual."""

HELP = ("-h", "--help")

FIRST_GENERATION = 100_000
"""How many objects a command that starts up may make before Python looks for garbage among them: imports make none, and
the search takes a tenth of the time of hiding in one image."""

SMALL_MATRICES = frozenset({"check", "hide", "inspect", "locate"})
"""Commands that multiply small matrices only. OpenBLAS, under numpy and OpenCV, starts threads when it is loaded, which
wait for work in a loop: for these commands that is a twentieth of the time of hiding in one image, for nothing."""

EXAMPLES = {
    "hide": (
        "velum hide photo.jpg",
        "velum hide photo.jpg -o safe.jpg --hide face,license_plate --with 'blur(degree=0.8)'",
        "velum hide photos/ -o safe/ --exclude '*_thumb.jpg' --report safe.jsonl",
        "velum hide photos/ -o safe/ --resume",
        "velum hide clip.mp4 --audio drop --verify",
        "velum hide clip.mp4 --preview 3s",
    ),
    "batch run": (
        "velum batch s3://raw/2026 -o s3://safe/2026 --plan plan.toml",
        "velum batch photos/ -o safe/ --dry-run --price-per-core-hour 0.04",
    ),
    "watch": (
        "velum watch cameras/ -o safe/ --hide face,license_plate",
        "velum watch s3://raw/cameras -o s3://safe/cameras --plan plan.toml --originals delete --after 7d",
        "velum watch cameras/ -o safe/ --once --originals move --move-to archive/ --after 1d",
    ),
    "batch status": ("velum batch status s3://safe/2026",),
    "batch evidence": ("velum batch evidence s3://safe/2026 -o proof.json --key me.pem",),
    "batch verify": ("velum batch verify proof.json s3://safe/2026 --public-key me.pem.pub",),
    "batch report": ("velum batch report s3://safe/2026 --html batch.html",),
    "batch review": ("velum batch review s3://safe/2026 --server http://127.0.0.1:4343",),
    "locate": ("velum locate photo.jpg -o photo.regions.json", "velum hide photo.jpg --regions photo.regions.json"),
    "inspect": ("velum inspect photo.jpg", "velum inspect *.jpg clip.mp4 --html seen.html"),
    "check": ("velum check safe.jpg --against photo.jpg", "velum check safe.jpg --text"),
    "evaluate": ("velum evaluate --truth labels.json --media photos/ --html report.html",),
    "train start": (
        "velum train labels.json --media photos/ -o helmet --dry-run",
        "velum train labels.json --media photos/ -o helmet --budget 10m",
    ),
    "train resume": ("velum train resume helmet --budget 20m",),
    "train report": ("velum train report helmet",),
    "strength": ("velum strength faces/", "velum strength faces/ --with 'blur(degree=0.5)' --with blacken"),
    "techniques": ("velum techniques",),
    "labels": ("velum labels",),
    "plan show": ("velum plan show --hide face,license_plate --keep datetime",),
    "plan list": ("velum plan list",),
    "models list": ("velum models list", "velum models list --json"),
    "models pull": ("velum models pull centerface yolox-s",),
    "models path": ("velum models path centerface",),
    "models verify": ("velum models verify",),
    "models add": (
        "velum models add best.onnx --name signs --labels sign",
        "velum models add best.onnx --labels data.yaml --try photo.jpg",
    ),
    "models try": ("velum models try centerface photo.jpg -o drawing.jpg",),
    "models remove": ("velum models remove signs",),
    "models switch-back": ("velum models switch-back helmet",),
    "models bundle": ("velum models bundle yunet lpd-yunet -o .",),
    "models export": ("velum models export helmet models/helmet --as openvino-detection",),
    "models quantize": ("velum models quantize centerface --images photos/",),
    "serve": ("velum serve", "velum serve --port 8070 --data service-data/ --config velum.toml"),
    "worker": ("velum worker --concurrency 2",),
    "serve-models": ("velum serve-models --profile openvino-detection --models centerface",),
    "submit": ("velum submit clip.mp4 --wait", "velum submit a.jpg b.jpg -o safe/ --server http://127.0.0.1:4343"),
    "jobs list": ("velum jobs list --state running",),
    "jobs show": ("velum jobs show ID", "velum jobs show ID --report"),
    "jobs watch": ("velum jobs watch ID",),
    "jobs download": ("velum jobs download ID -o safe.mp4",),
    "jobs cancel": ("velum jobs cancel ID",),
    "jobs retry": ("velum jobs retry ID",),
    "jobs labels": ("velum jobs labels -o labels/", "velum train labels/ --media photos/ -o helmet"),
    "jobs regions": ("velum jobs regions ID -o clip.regions.json",),
    "jobs render": ("velum jobs render ID --regions clip.regions.json",),
    "jobs delete": ("velum jobs delete ID",),
    "keys add": ("velum keys add anna --scope anonymize --scope review --days 90",),
    "keys list": ("velum keys list",),
    "keys revoke": ("velum keys revoke anna",),
    "config show": ("velum config show --changed",),
    "audit verify": ("velum audit verify audit.log --last HASH",),
    "evidence keygen": ("velum evidence keygen me.pem",),
    "evidence create": ("velum evidence create safe.jpg --report safe.json --key me.pem -o proof.json",),
    "evidence embed": ("velum evidence embed safe.jpg --report safe.json --chain chain.pem --key me.pem",),
    "evidence verify": ("velum evidence verify proof.json --file safe.jpg --public-key me.pem.pub",),
    "evidence page": ("velum evidence page proof.json",),
    "mcp": ("velum mcp --folder photos/", "velum mcp --folder originals/:ro --folder safe/"),
}
"""Examples that `--help` shows under the options of a command."""


def _add_examples(group: typer.Typer, words: str = "") -> None:
    """Show its examples under the options of each command, each as a paragraph, so that it keeps a line of its own."""
    for command in group.registered_commands:
        if (lines := EXAMPLES.get(f"{words}{command.name or getattr(command.callback, '__name__', '')}")) is not None:
            command.epilog = "\n\n".join(["Examples:", *(f"  {line}" for line in lines)])
    for subgroup in group.registered_groups:
        if subgroup.typer_instance is not None:
            _add_examples(subgroup.typer_instance, f"{words}{subgroup.name} ")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"velum {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Find what identifies people in images and videos, and hide it."""


@cache
def command_line(only: str = "") -> typer.Typer:
    """Return the command line with all commands, or with `only` one command or group, for which no other is loaded."""
    line = typer.Typer(
        name="velum",
        help="Find what identifies people in images and videos, and hide it.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=True,
        context_settings={"help_option_names": [*HELP]},
    )
    line.callback()(_options)
    for name in [only] if only else COMMANDS:
        module, attribute = COMMANDS[name]
        part = getattr(import_module(f"velum.cli.{module}"), attribute)
        if isinstance(part, typer.Typer):
            line.add_typer(part, name=name)
        else:
            line.command(name)(part)
    _add_examples(line)
    return line


def _keep_fitting_values(command: Any) -> None:
    """Have typer take values that already have their type, as text does, without a conversion.

    It converts by pydantic, the loading of which takes an eighth of the time of hiding in one image.
    """
    for parameter in command.get_params(typer.Context(command, help_option_names=[*HELP])):  # that of help, too
        if hasattr(parameter, "type_descriptor"):  # a version of typer that converts by pydantic
            parameter.process_value = partial(_process_value, parameter, parameter.process_value)
    for part in getattr(command, "commands", {}).values():
        _keep_fitting_values(part)


def _process_value(parameter: Any, convert: Callable[[Any, Any], Any], context: Any, value: Any) -> Any:
    """Return the value of a parameter, as typer's `process_value` does, which is `convert`."""
    several = parameter.multiple or parameter.nargs == -1
    if value is not None and not _fits(value, parameter.type_descriptor.annotation):
        return convert(context, value)
    if value is None and several:
        value = ()
    if parameter.required and parameter.value_is_missing(value):
        return convert(context, value)
    return value if parameter.callback is None else parameter.callback(context, parameter, value)


def _fits(value: Any, annotation: Any) -> bool:
    """Tell whether a value, or each of a list, is exactly of the type that a parameter is to have."""
    if get_origin(annotation) is list:
        return isinstance(value, list | tuple) and all(_fits(item, get_args(annotation)[0]) for item in value)
    return type(value) is annotation


if TYPE_CHECKING:
    app: typer.Typer
    """The whole command line."""
else:

    def __getattr__(name: str) -> Any:
        if name == "app":
            return command_line()
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def run() -> None:
    """Run the command line and exit; a `VelumError` is printed as one message and sets the exit code."""
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command not in SERVERS:
        gc.set_threshold(FIRST_GENERATION, *gc.get_threshold()[1:])
    if command in SMALL_MATRICES and "numpy" not in sys.modules:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Python looks for garbage among all objects as it ends, which takes a seventh of the time of hiding in one image.
    atexit.register(gc.freeze)
    try:
        line = typer.main.get_command(command_line(command if command in COMMANDS else ""))
        _keep_fitting_values(line)
        line()
    except VelumError as error:
        fail(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        fail("stopped; finished files are complete, nothing half-written was left")
        sys.exit(130)
