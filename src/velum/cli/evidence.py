"""`velum evidence`: signed reports of what was done, and whether they hold."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from velum.cli import common
from velum.errors import BadInput, BadPlan

if TYPE_CHECKING:
    from velum.batch.local import ItemResult
    from velum.evidence.statement import Declared
    from velum.plan import Plan
    from velum.report import Report

app = typer.Typer(help="Say with a signature what was done to files, and check it.", no_args_is_help=True)

Key = Annotated[
    Path | None,
    typer.Option("--key", metavar="FILE", help="Private key to sign with; see keygen.", rich_help_panel="Evidence"),
]
Passphrase = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        metavar="FILE",
        help="File whose first line is the private key's passphrase.",
        rich_help_panel="Evidence",
    ),
]
Reviewers = Annotated[
    list[str],
    typer.Option("--reviewer", metavar="NAME", help="Who looked at it. Repeatable.", rich_help_panel="Evidence"),
]
Evaluation = Annotated[
    Path | None,
    typer.Option(
        "--evaluation",
        metavar="FILE",
        help="What velum evaluate said of the plan, in JSON.",
        rich_help_panel="Evidence",
    ),
]
Destroyed = Annotated[bool, typer.Option("--originals-destroyed", help="Declare that no copy of the sources is left.")]
Links = Annotated[bool, typer.Option("--identity-links", help="Declare that links to identities are kept.")]
PlanFile = Annotated[
    Path | None, typer.Option("--plan", "-p", metavar="FILE", help="The plan, where it has more than rules.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace evidence that exists.")]


@app.command()
def keygen(
    key: Annotated[Path, typer.Argument(metavar="KEY", help="File to write; the public key goes to KEY.pub.")],
    passphrase_file: Passphrase = None,
) -> None:
    """Make a key to sign with, which only you can read, and its public key, to give away."""
    from velum.evidence.signing import keygen

    public = keygen(key, passphrase_file)
    typer.echo(f"{key}: keep it; {key}.pub: give it to whoever verifies; key id {public.id}")


@app.command()
def create(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The finished file.")],
    report: Annotated[Path, typer.Option("--report", metavar="FILE", help="What velum hide --json printed of it.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Default: OUT.evidence.json.")
    ] = None,
    original: Annotated[
        Path | None, typer.Option("--original", metavar="IN", help="The source, to compare with the report.")
    ] = None,
    plan: PlanFile = None,
    check: Annotated[
        Path | None, typer.Option("--check", metavar="FILE", help="What velum check said of OUT, in JSON.")
    ] = None,
    evaluation: Evaluation = None,
    reviewer: Reviewers = [],
    originals_destroyed: Destroyed = False,
    identity_links: Links = False,
    key: Key = None,
    passphrase_file: Passphrase = None,
    overwrite: Overwrite = False,
) -> None:
    """Write the evidence of one file. Its hash, and the original's, must be those of the report."""
    from velum.evidence.record import CommandResult, entry
    from velum.evidence.statement import Declared, same_plan

    if original and originals_destroyed:
        raise BadPlan(f"--originals-destroyed contradicts --original: {original} is there; leave one of them out")
    told = _report(report, out, original)
    whole = same_plan(told, common.PlanOptions(plan).plan() if plan else None)
    found = [CommandResult.read(path) if path else None for path in (check, evaluation)]
    one = entry(told, out.name, check=found[0], evaluation=found[1])
    declared = Declared(tuple(reviewer), originals_destroyed, identity_links)
    target = output or out.with_name(out.name + ".evidence.json")
    given = (out, report, original, plan, check, evaluation, key, passphrase_file)
    keeper = EvidenceWriter(target, key, passphrase_file, overwrite=overwrite, others=[one for one in given if one])
    keeper.add(one, told.models)
    keeper.write(whole, declared)
    typer.echo(f"{target}: {'signed' if key else 'not signed'}")


@app.command()
def embed(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The finished file; it stays as it is.")],
    report: Annotated[Path, typer.Option("--report", metavar="FILE", help="What velum hide --json printed of it.")],
    chain: Annotated[Path, typer.Option("--chain", metavar="FILE", help="Certificates in PEM: that of the key first.")],
    key: Annotated[Path, typer.Option("--key", metavar="FILE", help="Private key of the first certificate, in PEM.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Default: OUT with .c2pa before its suffix.")
    ] = None,
    passphrase_file: Passphrase = None,
    overwrite: Overwrite = False,
) -> None:
    """Write OUT with Content Credentials (C2PA) that say what was hidden; and the report of that file."""
    from velum.atomic import ensure_free
    from velum.evidence.c2pa_manifest import SigningCredentials, embed

    credentials = SigningCredentials.read(chain, key, passphrase_file)
    target = output or out.with_name(f"{out.stem}.c2pa{out.suffix}")
    beside = target.with_name(target.name + ".report.json")
    ensure_free(beside, overwrite=overwrite)
    made = embed(out, target, _report(report, out, None), credentials, overwrite=overwrite)
    common.write_text(beside, json.dumps(made.to_json(), indent=2) + "\n", overwrite=overwrite)
    typer.echo(f"{target}: signed; {beside}: its report")


@app.command()
def verify(
    evidence: Annotated[Path, typer.Argument(metavar="EVIDENCE", help="The evidence.")],
    file: Annotated[
        list[Path], typer.Option("--file", metavar="OUT", help="File or folder that it must speak of. Repeatable.")
    ] = [],
    public_key: Annotated[
        Path | None, typer.Option("--public-key", metavar="FILE", help="The key that must have signed it.")
    ] = None,
) -> None:
    """Check the signature, and that files are those that the evidence speaks of. Exit 0: all holds; 1: not all."""
    from velum.evidence.signing import PublicKey
    from velum.evidence.verify import load, verify

    document = load(evidence)
    verdicts = verify(document, file, PublicKey.read(public_key) if public_key else None)
    for verdict in verdicts:
        typer.echo(f"{'good' if verdict.holds else 'BAD '}  {verdict.what}")
    if not all(verdict.holds for verdict in verdicts):
        raise typer.Exit(1)


@app.command()
def page(
    evidence: Annotated[Path, typer.Argument(metavar="EVIDENCE", help="The evidence.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Default: EVIDENCE with .html at its end.")
    ] = None,
    public_key: Annotated[
        Path | None, typer.Option("--public-key", metavar="FILE", help="The key that must have signed it.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write the evidence as an HTML page, to read and to print."""
    from velum.evidence.html_report import page
    from velum.evidence.signing import PublicKey
    from velum.evidence.verify import load, verify

    document = load(evidence)
    verdicts = verify(document, key=PublicKey.read(public_key) if public_key else None)
    target = output or evidence.with_suffix(".html")
    common.write_text(target, page(document, verdicts), overwrite=overwrite)
    typer.echo(str(target))


class EvidenceWriter:
    """Gathers evidence of what is hidden. Made before any work is done, so that a wrong key shows first.

    `folder` is that of a batch, which need not be there yet. `others` are files that evidence must not replace.
    """

    def __init__(
        self, target: Path, key: Path | None, passphrase: Path | None,
        *, overwrite: bool, folder: Path | None = None, others: Iterable[Path] = (),
        evaluation: Path | None = None, reviewers: Sequence[str] = (),
    ) -> None:  # fmt: skip
        from velum.atomic import ensure_free
        from velum.evidence.record import CommandResult
        from velum.evidence.signing import PrivateKey

        if passphrase and not key:
            raise BadPlan("--passphrase-file goes with --key")
        if target.resolve() in {one.resolve() for one in others}:
            raise BadPlan(
                f"evidence cannot be written to {target}, which is one of the files given; choose another name"
            )
        if folder is None or folder.exists() or target.parent != folder:
            ensure_free(target, overwrite=overwrite)
        self._target, self._overwrite, self._folder = target, overwrite, folder
        self._key = PrivateKey.read(key, passphrase) if key else None
        self._evaluation = CommandResult.read(evaluation) if evaluation else None
        self._reviewers = tuple(reviewers)
        self._entries: list[dict[str, Any]] = []
        self._models: dict[str, Mapping[str, str]] = {}
        self.failed = 0

    def add(self, entry: dict[str, Any], models: Sequence[Mapping[str, str]]) -> None:
        """Take down what is known of one file, and the models that it was looked through with."""
        self._entries.append(entry)
        self._models |= {json.dumps(dict(model), sort_keys=True): model for model in models}

    def hidden(self, report: "Report", target: Path) -> None:
        """Take down a file that was hidden just now."""
        from velum.evidence.record import entry
        from velum.file_hash import sha256_of

        name = str(target.relative_to(self._folder)) if self._folder else target.name
        known = report if report.output_sha256 else replace(report, output_sha256=sha256_of(target))
        self.add(entry(known, name, evaluation=self._evaluation), report.models)

    def outcome(self, outcome: "ItemResult") -> None:
        """Take down what became of one file of a batch."""
        from velum.evidence.record import earlier
        from velum.file_hash import sha256_of

        target = outcome.item.target
        if outcome.error:
            self.failed += 1
        elif outcome.report:
            self.hidden(outcome.report, target)
        elif self._folder:
            self.add(earlier(str(target.relative_to(self._folder)), sha256_of(target)), ())

    def write(self, plan: "Plan", declared: "Declared | None" = None) -> None:
        """Write the evidence of the files taken down, which one plan hid; signed where there is a key."""
        from velum.evidence.statement import Declared, compose, sign
        from velum.settings import Settings

        entries = sorted(self._entries, key=lambda one: str(one["file"]))
        document = compose(
            entries, plan, list(self._models.values()), declared or Declared(self._reviewers),
            batch=self._folder is not None, failed=self.failed, host=Settings.load().host(),
        )  # fmt: skip
        if self._key:
            document = sign(document, self._key)
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        common.write_text(self._target, text, overwrite=self._overwrite)


def _report(path: Path, out: Path, original: Path | None) -> "Report":
    """Return the report in a file, once the files that it tells of are seen to be those at hand."""
    from velum.evidence.record import read_json
    from velum.report import Report

    try:
        report = Report.from_json(read_json(path))
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    return replace(
        report,
        output_sha256=_seen(out, report.output_sha256, f"the result that {path} tells of"),
        input_sha256=_seen(original, report.input_sha256, f"the source that {path} tells of")
        if original
        else report.input_sha256,
    )


def _seen(file: Path, told: str | None, what: str) -> str:
    from velum.file_hash import sha256_of

    digest = sha256_of(file)
    if told not in {None, digest}:
        raise BadInput(f"{file} is not {what}: its SHA-256 is {digest}, not {told}; give the report of this file")
    return digest
