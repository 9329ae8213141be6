"""`velum strength`: how often attackers can tell whose face a technique hid."""

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
    list[Path], typer.Argument(metavar="SRC...", help="Pictures with faces, or folders of them; each person once.")
]
Techniques = Annotated[
    list[str],
    typer.Option(
        "--with", metavar="TECHNIQUE", help="What to test; repeatable. Default: the built-in ones, by degree."
    ),
]
Locate = Annotated[str, typer.Option("--locate", metavar="NAME", help="What finds the faces.")]
MinHeight = Annotated[int, typer.Option("--min-height", min=8, help="Smallest face to take, in pixels.")]
Json = Annotated[bool, typer.Option("--json", help="Print each result as a line of JSON.")]
Most = Annotated[int, typer.Option("--most", min=10, max=300, help="Faces to take; more need more memory and time.")]


def strength(
    sources: Sources, techniques: Techniques = [], locate: Locate = "centerface", min_height: MinHeight = 32,
    most: Most = 150, json: Json = False,
) -> None:  # fmt: skip
    """Attack techniques: hide the faces of your pictures, and try to tell whose each one is."""
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
            # Mistakes show before the first picture is read.
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
    """Return the technique, made as for a plan: one that is not for faces is refused."""
    from velum.engine.prepare import prepare
    from velum.limits import Limits
    from velum.plan import Plan, Rule
    from velum.spec import PartSpec

    rule = Rule("face", PartSpec("nothing"), PartSpec.parse(text))
    return prepare(Plan((rule,)), parts, Limits(), locate=False).rules[0].technique


def _print(results: Sequence["AttackResult"], *, json: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    from velum.evaluation.reidentification.defaults import HEADING, guessing, row

    if json:
        for result in results:
            common.print_json(result.to_json())
        return
    table = Table(box=None, pad_edge=False)
    for index, title in enumerate(HEADING):
        table.add_column(title, justify="right" if index > 1 else "left", no_wrap=True)
    for result in results:
        table.add_row(*row(result))
    Console().print(table)
    typer.echo(guessing(results[0]))
