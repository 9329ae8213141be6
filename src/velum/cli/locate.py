"""`velum locate`: write the regions that a plan would hide to an annotation file, for review and later rendering."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from velum.cli import common, video_options
from velum.cli.hide import Labels, Overwrite, PlanFile, Rules

if TYPE_CHECKING:
    from velum.annotations import Annotations


def locate(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="An image or a video.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Annotation file to write. Default: standard output."),
    ] = None,
    rule: Rules = [],
    hide_labels: Labels = [],
    plan: PlanFile = None,
    overwrite: Overwrite = False,
    every: video_options.Every = None,
    track: video_options.Track = None,
    on_damage: video_options.OnDamage = None,
) -> None:
    """Detect the regions to hide and write them to an annotation file, for velum hide --regions."""
    from velum.cli.progress import frame_progress

    wanted = common.PlanOptions(
        plan, rule, hide_labels, video=video_options.video_fields(every=every, track=track, on_damage=on_damage)
    ).plan()
    with common.engine(source) as engine, frame_progress(source.name) as progress:
        findings = engine.locate(source, wanted, progress=progress)
    text = annotations_text(findings)
    if output is None:
        typer.echo(text)
    else:
        common.write_text(output, text + "\n", overwrite=overwrite)


def annotations_text(findings: "Annotations") -> str:
    """Return the text of an annotation file: JSON with one region a line, so that people can read and compare it."""
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
