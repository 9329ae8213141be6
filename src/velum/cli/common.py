"""What the commands share: plans and annotation files, the engine, messages and reports."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from velum.errors import BadInput, BadPlan, OutputFailed

if TYPE_CHECKING:
    from velum.annotations import Annotations
    from velum.engine.engine import Engine
    from velum.media import LiveSource
    from velum.plan import Plan


def fail(message: str) -> None:
    """Print an error message on the standard error stream."""
    typer.secho("velum: ", fg=typer.colors.RED, bold=True, nl=False, err=True)
    typer.echo(message, err=True)


def warn(message: str) -> None:
    """Print a warning on the standard error stream."""
    typer.secho("warning: ", fg=typer.colors.YELLOW, nl=False, err=True)
    typer.echo(message, err=True)


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """The options that make up a plan: a file or rules, and options that change the plan."""

    file: Path | None = None
    rules: Sequence[str] = ()
    labels: Sequence[str] = ()
    technique: str | None = None
    keep: Sequence[str] = ()
    keep_out: Sequence[str] = ()
    quality: int | None = None
    video: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `velum.plan.Video`; None where the option was not given."""

    def plan(self) -> "Plan":
        """Return the plan. Raises `BadPlan` for wrong or contradicting options."""
        from velum.spec import PartSpec

        plan = self._rules()
        given = {name: value for name, value in self.video.items() if value is not None}
        return replace(
            plan,
            metadata=(*plan.metadata, *split_commas(self.keep)),
            quality=plan.quality if self.quality is None else self.quality,
            keep_out=(*plan.keep_out, *map(PartSpec.parse, self.keep_out)),
            video=replace(plan.video, **given),
        )

    def _rules(self) -> "Plan":
        from velum.plan import Plan, Rule
        from velum.spec import PartSpec

        if self.technique and not self.labels:
            raise BadPlan("--with is the technique of --hide; in a --rule, write the technique after the arrow")
        if self.file is not None:
            if self.rules or self.labels:
                raise BadPlan("--plan cannot be combined with --rule or --hide; write the rules into the plan")
            text = _read(self.file, BadPlan)
            is_json = self.file.suffix.lower() == ".json"
            return Plan.from_json(_json(text, self.file, BadPlan)) if is_json else Plan.from_toml(text)
        rules = tuple(map(Rule.parse, self.rules))
        if self.labels:
            from velum.locate.default_models import rules_for
            from velum.settings import Settings

            hide = PartSpec.parse(self.technique or "blacken")
            rules += rules_for(split_commas(self.labels), hide, Settings.load().host())
        return Plan(rules) if rules else Plan()


def read_annotations(path: Path) -> "Annotations":
    """Return the annotations in a file. Raises `BadInput` for what cannot be read."""
    from velum.annotations import Annotations

    try:
        return Annotations.from_json(_json(_read(path, BadInput), path, BadInput))
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error


@contextmanager
def engine(*sources: "Path | LiveSource") -> Iterator["Engine"]:
    """Yield an engine with the settings of this machine; downloads of weights show a progress bar.

    Several sources, or a video, are processed for throughput; one image is processed for latency.
    """
    from velum.cli.progress import fetch_progress
    from velum.cli.quiet import libraries_silent
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


def _read(path: Path, error: type[BadInput | BadPlan]) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as reason:
        raise error(f"cannot read {path}: {getattr(reason, 'strerror', None) or reason}") from reason


def _json(text: str, path: Path, error: type[BadInput | BadPlan]) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as reason:
        raise error(f"{path} is not valid JSON: {reason}") from reason
