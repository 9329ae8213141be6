"""`velum evidence`: create and verify signed evidence of what was hidden in files."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from velum.cli import common, options
from velum.cli.screen_text import has_other_bytes
from velum.errors import BadInput, BadPlan, printable

if TYPE_CHECKING:
    from velum.batch.local import ItemResult
    from velum.evidence.statement import Declared
    from velum.plan import Plan
    from velum.report import Report

app = typer.Typer(help="Create and verify signed evidence of what was hidden in files.", no_args_is_help=True)

Key = Annotated[
    Path | None,
    typer.Option(
        "--key", metavar="FILE", help="Private key to sign with; see velum evidence keygen.", rich_help_panel="Evidence"
    ),
]
Passphrase = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        metavar="FILE",
        help="File with the passphrase of the private key in its first line.",
        rich_help_panel="Evidence",
    ),
]
Reviewers = Annotated[
    list[str],
    typer.Option(
        "--reviewer",
        metavar="NAME",
        help="Name of a person who reviewed the results. Repeatable.",
        rich_help_panel="Evidence",
    ),
]
Evaluation = Annotated[
    Path | None,
    typer.Option(
        "--evaluation",
        metavar="FILE",
        help="Result of velum evaluate --json for the plan.",
        rich_help_panel="Evidence",
    ),
]
Destroyed = Annotated[bool, typer.Option("--originals-destroyed", help="Declare that no copy of the sources is left.")]
Links = Annotated[
    bool, typer.Option("--identity-links", help="Declare that a link back to people is kept, such as a table of names.")
]
PlanFile = Annotated[
    str | None,
    typer.Option("--plan", "-p", metavar="FILE|NAME", help="The plan; needed when it has more than rules."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")]


@app.command()
def keygen(
    key: Annotated[
        Path, typer.Argument(metavar="KEY", help="File for the private key; the public key goes to KEY.pub.")
    ],
    passphrase_file: Passphrase = None,
) -> None:
    """Create a private key to sign with, readable by you alone, and its public key to give away."""
    from velum.evidence.signing import keygen

    public = keygen(key, passphrase_file)
    typer.echo(f"{key}: private key, keep it secret; {key}.pub: public key, for whoever verifies; key id {public.id}")


@app.command()
def create(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The finished file.")],
    report: Annotated[Path, typer.Option("--report", metavar="FILE", help="Report of OUT, from velum hide --json.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Evidence file to write. Default: OUT.evidence.json."),
    ] = None,
    original: Annotated[
        Path | None, typer.Option("--original", metavar="IN", help="The source; its hash must be that of the report.")
    ] = None,
    plan: PlanFile = None,
    check: Annotated[
        Path | None, typer.Option("--check", metavar="FILE", help="Result of velum check --json for OUT.")
    ] = None,
    evaluation: Evaluation = None,
    reviewer: Reviewers = [],
    originals_destroyed: Destroyed = False,
    identity_links: Links = False,
    key: Key = None,
    passphrase_file: Passphrase = None,
    overwrite: Overwrite = False,
) -> None:
    """Write evidence for one finished file. Its hash must be the one in the report."""
    from velum.evidence.statement import Declared, file_entry, read_result, same_plan

    if original and originals_destroyed:
        raise BadPlan(f"--originals-destroyed contradicts --original: {original} is there; leave one of them out")
    checked_report = _read_report(report, out, original)
    whole = same_plan(checked_report, options.with_people(options.PlanOptions(plan).plan()) if plan else None)
    results = [read_result(path) if path else None for path in (check, evaluation)]
    file_evidence = file_entry(checked_report, out.name, check=results[0], evaluation=results[1])
    declared = Declared(tuple(reviewer), originals_destroyed, identity_links)
    target = output or out.with_name(out.name + ".evidence.json")
    read_files = (out, report, original, plan, check, evaluation, key, passphrase_file)
    keeper = EvidenceWriter(
        target,
        key,
        passphrase_file,
        overwrite=overwrite,
        others=[Path(path) for path in read_files if path],
    )
    keeper.add(file_evidence, checked_report.models)
    keeper.write(whole, declared)
    typer.echo(f"{printable(str(target))}: {'signed' if key else 'not signed'}")


@app.command()
def embed(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The finished file; it is not changed.")],
    report: Annotated[Path, typer.Option("--report", metavar="FILE", help="Report of OUT, from velum hide --json.")],
    chain: Annotated[
        Path,
        typer.Option(
            "--chain", metavar="FILE", help="Certificate chain in PEM; the certificate of the key comes first."
        ),
    ],
    key: Annotated[Path, typer.Option("--key", metavar="FILE", help="Private key of the first certificate, in PEM.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="File to write. Default: OUT with .c2pa before its suffix."
        ),
    ] = None,
    passphrase_file: Passphrase = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a copy of OUT with Content Credentials (C2PA) that say what was hidden, and its report."""
    from velum.atomic import ensure_free
    from velum.evidence.c2pa_manifest import SigningCredentials, embed

    credentials = SigningCredentials.read(chain, key, passphrase_file)
    target = output or out.with_name(f"{out.stem}.c2pa{out.suffix}")
    beside = target.with_name(target.name + ".report.json")
    ensure_free(beside, overwrite=overwrite)
    result = embed(out, target, _read_report(report, out, None), credentials, overwrite=overwrite)
    common.write_text(beside, json.dumps(result.to_json(), indent=2) + "\n", overwrite=overwrite)
    typer.echo(printable(f"{target}: signed; {beside}: its report"))


@app.command()
def verify(
    evidence: Annotated[Path, typer.Argument(metavar="EVIDENCE", help="The evidence file.")],
    file: Annotated[
        list[Path],
        typer.Option(
            "--file", metavar="OUT", help="Finished file or folder that the evidence must describe. Repeatable."
        ),
    ] = [],
    public_key: Annotated[
        Path | None, typer.Option("--public-key", metavar="FILE", help="Public key of the signer that you expect.")
    ] = None,
) -> None:
    """Verify the signature, and that files are unchanged. Exit 0: all is as signed; 1: something is not."""
    from velum.evidence.signing import PublicKey
    from velum.evidence.verify import load, verify

    document = load(evidence)
    verdicts = verify(document, file, PublicKey.read(public_key) if public_key else None)
    for holds, message in verdicts:
        typer.echo(f"{'good' if holds else 'BAD '}  {message}")
    if not all(holds for holds, _ in verdicts):
        raise typer.Exit(1)


@app.command()
def page(
    evidence: Annotated[Path, typer.Argument(metavar="EVIDENCE", help="The evidence file.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Page to write. Default: EVIDENCE with the suffix .html."),
    ] = None,
    public_key: Annotated[
        Path | None, typer.Option("--public-key", metavar="FILE", help="Public key of the signer that you expect.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write the evidence as an HTML page for reading and printing."""
    from velum.evidence.html_report import render_page
    from velum.evidence.signing import PublicKey
    from velum.evidence.verify import load, verify

    document = load(evidence)
    verdicts = verify(document, key=PublicKey.read(public_key) if public_key else None)
    target = output or evidence.with_suffix(".html")
    common.write_text(target, render_page(document, verdicts), overwrite=overwrite)
    typer.echo(str(target))


class EvidenceWriter:
    """Collects evidence while files are hidden. Create it before the work, so that a wrong key shows first.

    `folder`: the target folder of a batch; it may not exist yet. `others`: files that the evidence must not replace.
    """

    def __init__(
        self, target: Path, key: Path | None, passphrase: Path | None,
        *, overwrite: bool, folder: Path | None = None, others: Iterable[Path] = (),
        evaluation: Path | None = None, reviewers: Sequence[str] = (),
    ) -> None:  # fmt: skip
        from velum.atomic import ensure_free
        from velum.evidence.signing import PrivateKey
        from velum.evidence.statement import read_result

        if passphrase and not key:
            raise BadPlan("--passphrase-file is the passphrase of --key; give both, or neither")
        own = target.resolve()
        for path in others:
            if path.resolve() == own:
                raise BadPlan(
                    f"evidence cannot be written to {target}, which is one of the files given; choose another name"
                )
            if has_other_bytes(str(path)):
                raise BadInput(f"cannot write evidence of {path}: the name of the file is not UTF-8; rename it")
        if folder is None or folder.exists() or target.parent != folder:
            ensure_free(target, overwrite=overwrite)
        self._target, self._overwrite, self._folder = target, overwrite, folder
        self._key = PrivateKey.read(key, passphrase) if key else None
        self._evaluation = read_result(evaluation) if evaluation else None
        self._reviewers = tuple(reviewers)
        self._entries: list[dict[str, Any]] = []
        self._models: dict[str, Mapping[str, str]] = {}
        self.failed = 0

    def add(self, entry: dict[str, Any], models: Sequence[Mapping[str, str]]) -> None:
        """Add the evidence of one file, and the models that detected in it."""
        self._entries.append(entry)
        self._models |= {json.dumps(dict(model), sort_keys=True): model for model in models}

    def add_hidden(self, report: "Report", target: Path) -> None:
        """Add a file that was hidden in this run."""
        from velum.evidence.statement import file_entry
        from velum.file_hash import sha256_of

        name = str(target.relative_to(self._folder)) if self._folder else target.name
        complete = report if report.output_sha256 else replace(report, output_sha256=sha256_of(target))
        self.add(file_entry(complete, name, evaluation=self._evaluation), report.models)

    def add_outcome(self, outcome: "ItemResult") -> None:
        """Add the outcome of one file of a batch: hidden, skipped or failed."""
        from velum.evidence.statement import earlier_entry
        from velum.file_hash import sha256_of

        target = outcome.item.target
        if outcome.error:
            self.failed += 1
        elif outcome.report:
            self.add_hidden(outcome.report, target)
        elif self._folder:
            self.add(earlier_entry(str(target.relative_to(self._folder)), sha256_of(target)), ())

    def write(self, plan: "Plan", declared: "Declared | None" = None) -> None:
        """Write the evidence of all files added, hidden by one plan; signed when there is a key."""
        from velum.evidence.statement import Declared, compose, sign
        from velum.settings import Settings

        entries = sorted(self._entries, key=lambda entry: str(entry["file"]))
        document = compose(
            entries, plan, list(self._models.values()), declared or Declared(self._reviewers),
            batch=self._folder is not None, failed=self.failed, host=Settings.load().host(),
        )  # fmt: skip
        if self._key:
            document = sign(document, self._key)
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        common.write_text(self._target, text, overwrite=self._overwrite)


def _read_report(path: Path, out: Path, original: Path | None) -> "Report":
    """Return the report in a file. Raises `BadInput` when `out` or `original` is not the file that it describes."""
    from velum.evidence.statement import read_json
    from velum.report import Report

    try:
        report = Report.from_json(read_json(path))
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
    return replace(
        report,
        output_sha256=_check_hash(out, report.output_sha256, f"the result that {path} describes"),
        input_sha256=_check_hash(original, report.input_sha256, f"the source that {path} describes")
        if original
        else report.input_sha256,
    )


def _check_hash(file: Path, expected: str | None, described_as: str) -> str:
    from velum.file_hash import sha256_of

    digest = sha256_of(file)
    if expected not in {None, digest}:
        raise BadInput(
            f"{file} is not {described_as}: its SHA-256 is {digest}, not {expected}; give the report of this file"
        )
    return digest
