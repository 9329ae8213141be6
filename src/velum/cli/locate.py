"""`velum locate`: what would be hidden, as JSON, to be reviewed and rendered later."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from velum.cli import common, video_options
from velum.cli.hide import Labels, Overwrite, PlanFile, Rules

if TYPE_CHECKING:
    from velum.annotations import Annotations


def locate(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="A picture or a video.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="File to write to. Default: standard output.")
    ] = None,
    rule: Rules = [],
    hide_labels: Labels = [],
    plan: PlanFile = None,
    overwrite: Overwrite = False,
    every: video_options.Every = None,
    track: video_options.Track = None,
    on_damage: video_options.OnDamage = None,
) -> None:
    """Print the regions that the rules would hide, as JSON for velum hide --regions."""
    from velum.cli.progress import frames_shown

    wanted = common.PlanOptions(
        plan, rule, hide_labels, video=video_options.given(every=every, track=track, on_damage=on_damage)
    ).plan()
    with common.engine(source) as engine, frames_shown(source.name) as progress:
        findings = engine.locate(source, wanted, progress=progress)
    text = findings_text(findings)
    if output is None:
        typer.echo(text)
    else:
        common.write_text(output, text + "\n", overwrite=overwrite)


def findings_text(findings: "Annotations") -> str:
    """Return the regions file: one line a region, so that people can read it and tools can compare it."""
    values = findings.to_json()
    frames = values.pop("frames")
    lines = []
    for frame in frames:
        regions = [f"      {json.dumps(region, ensure_ascii=False)}" for region in frame["regions"]]
        inner = "\n" + ",\n".join(regions) + "\n    " if regions else ""
        lines.append(f'    {{"index": {frame["index"]}, "regions": [{inner}]}}')
    head = ",\n".join(f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items())
    body = ",\n".join(lines)
    return f'{{\n{head},\n  "frames": [\n{body}\n  ]\n}}'
