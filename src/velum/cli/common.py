"""What the commands share: messages, files that they read and write, and the engine."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from velum.errors import BadInput, BadPlan, OutputFailed

if TYPE_CHECKING:
    from velum.annotations import Annotations
    from velum.engine.engine import Engine
    from velum.media import LiveSource


def fail(message: str) -> None:
    """Print an error message on the standard error stream."""
    typer.secho("velum: ", fg=typer.colors.RED, bold=True, nl=False, err=True)
    typer.echo(message, err=True)


def warn(message: str) -> None:
    """Print a warning on the standard error stream."""
    typer.secho("warning: ", fg=typer.colors.YELLOW, nl=False, err=True)
    typer.echo(message, err=True)


def read_annotations(path: Path) -> "Annotations":
    """Return the annotations in a file. Raises `BadInput` for what cannot be read."""
    from velum.annotations import Annotations

    try:
        return Annotations.from_json(parse_json(read_text(path, BadInput), path, BadInput))
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error


@contextmanager
def engine(*sources: "Path | LiveSource") -> Iterator["Engine"]:
    """Yield an engine with the settings of this machine; downloads of weights show a progress bar.

    Several sources, or a video, are processed for throughput; one image is processed for latency.
    """
    from velum.cli.messages import libraries_silent
    from velum.cli.progress import fetch_progress
    from velum.engine.engine import Engine
    from velum.media import VIDEO_SUFFIXES
    from velum.settings import Settings

    settings = Settings.load()
    many = len(sources) > 1 or any(
        not isinstance(source, Path) or source.suffix.lower() in VIDEO_SUFFIXES for source in sources
    )
    with libraries_silent(), fetch_progress() as progress:
        host = settings.host(progress, mode="throughput" if many else "latency")
        with Engine(host=host, limits=settings.limits()) as ready:
            yield ready


def print_json(value: Any, *, err: bool = False) -> None:
    """Print a value as one line of JSON; with `err` on the standard error stream."""
    typer.echo(json.dumps(value, ensure_ascii=False), err=err)


def write_text(path: Path, text: str, *, overwrite: bool) -> None:
    """Write a text file, whole or not at all. Raises `OutputFailed`."""
    from velum.atomic import publish

    with publish(path, overwrite=overwrite) as temporary:
        try:
            temporary.write_text(text, encoding="utf-8")
        except OSError as error:
            raise OutputFailed(f"cannot write {path}: {error.strerror or error}") from error


def split_commas(groups: Sequence[str]) -> list[str]:
    """Return the items of a repeated option whose values may hold several items, separated by commas."""
    return [item.strip() for group in groups for item in group.split(",") if item.strip()]


def read_text(path: Path, error: type[BadInput | BadPlan]) -> str:
    """Return the text of a file. Raises `error` when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as reason:
        raise error(f"cannot read {path}: {getattr(reason, 'strerror', None) or reason}") from reason


def parse_json(text: str, path: Path, error: type[BadInput | BadPlan]) -> Any:
    """Return the JSON value in the text of a file. Raises `error` when it is not valid."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as reason:
        raise error(f"{path} is not valid JSON: {reason}") from reason
