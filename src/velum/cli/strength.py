"""`velum strength`: measure how often an attacker can identify a hidden face."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from velum.cli import common

if TYPE_CHECKING:
    from velum.engine.prepare import PartCache
    from velum.evaluation.reidentification.attack import AttackResult
    from velum.plugins import Technique

Sources = Annotated[
    list[Path], typer.Argument(metavar="SRC...", help="Images with faces, or folders of them; one image a person.")
]
Techniques = Annotated[
    list[str],
    typer.Option(
        "--with",
        metavar="TECHNIQUE",
        help="Technique to test; repeatable. Default: the built-in ones at several degrees.",
    ),
]
Locate = Annotated[str, typer.Option("--locate", metavar="NAME", help="Localizer that finds the faces.")]
MinHeight = Annotated[int, typer.Option("--min-height", min=8, help="Smallest face to use, in pixels of height.")]
Json = Annotated[bool, typer.Option("--json", help="Print each result as a line of JSON.")]
Most = Annotated[
    int, typer.Option("--most", min=10, max=300, help="Number of faces to use at most; each takes memory and time.")
]


def strength(
    sources: Sources, techniques: Techniques = [], locate: Locate = "centerface", min_height: MinHeight = 32,
    most: Most = 150, json: Json = False,
) -> None:  # fmt: skip
    """Hide faces of your images with each technique, then attack: count the faces that are still identified."""
    from velum.batch.local import arrange
    from velum.cli.progress import fetch_progress
    from velum.engine.prepare import PartCache
    from velum.evaluation.reidentification.attack import AttackTrial
    from velum.evaluation.reidentification.defaults import TECHNIQUES
    from velum.evaluation.reidentification.faces import faces
    from velum.settings import Settings
    from velum.spec import PartSpec

    settings = Settings.load()
    with fetch_progress() as progress:
        parts = PartCache(settings.host(progress, mode="throughput"))
        try:
            # Mistakes show before the first image is read.
            named = {"nothing": None} | {text: _technique(text, parts) for text in techniques or TECHNIQUES}
            pictures = [job.source for source in sources for job in arrange([source], None)[0]]
            found = faces(pictures, parts.localizer(PartSpec.parse(locate)), settings.limits(), min_height)
            trial = AttackTrial(list(islice(found, most)))
        finally:
            parts.close()
    results: list[AttackResult] = []
    for name, technique in named.items():
        results.extend(trial.results(name, technique))
        typer.echo(f"{name} tested", err=True)
    _print(results, json=json)


def _technique(text: str, parts: "PartCache") -> "Technique":
    """Return the technique. Raises `BadPlan` for one that cannot hide faces."""
    from velum.engine.prepare import prepare
    from velum.limits import Limits
    from velum.plan import Plan, Rule
    from velum.spec import PartSpec

    rule = Rule("face", PartSpec("nothing"), PartSpec.parse(text))
    return prepare(Plan((rule,)), parts, Limits(), locate=False).rules[0].technique


def _print(results: Sequence["AttackResult"], *, json: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    from velum.evaluation.reidentification.defaults import HEADING, describe_chance, result_row

    if json:
        for result in results:
            common.print_json(result.to_json())
        return
    table = Table(box=None, pad_edge=False)
    for index, title in enumerate(HEADING):
        table.add_column(title, justify="right" if index > 1 else "left", no_wrap=True)
    for result in results:
        table.add_row(*result_row(result))
    Console().print(table)
    typer.echo(describe_chance(results[0]))
