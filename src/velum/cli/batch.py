"""`velum batch`: hide in all images and videos of a folder or a bucket, on any number of machines."""

from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from time import sleep
from typing import TYPE_CHECKING, Annotated, cast

import typer

from velum.cli import common, jobs, options
from velum.cli import evidence as signed
from velum.cli.batch_run import ClusterOptions, CommandRun
from velum.cli.batch_setup import check_share, prepare_batch, refuse_overlap, serve_metrics
from velum.cli.common import Messages, NoProgress, Quiet, default_command
from velum.errors import BadInput, BadPlan, LimitExceeded, Unavailable, printable

if TYPE_CHECKING:
    from velum.batch.manifest import BatchRun, OtherArithmetic
    from velum.batch.metrics import BatchMetrics

FOLLOW_SECONDS = 15.0
"""Time between two looks at which shards were finished."""

app = typer.Typer(
    cls=default_command("run"),
    no_args_is_help=True,
    help="Hide in all images and videos of a folder or a bucket, on any number of machines: "
    "velum batch SRC -o DST. The same command again continues, with new and changed files.",
)

Place = Annotated[str, typer.Argument(metavar="DST", help="The place of the results; or one run: DST/_velum/RUN.")]
Retry = Annotated[
    list[str],
    typer.Option("--retry", metavar="WHICH", help="Hide again: failed, refused, missing (results). Repeatable."),
]
Shard = Annotated[
    int | None,
    typer.Option(
        "--shard", metavar="N", min=0, envvar=["JOB_COMPLETION_INDEX", "AWS_BATCH_JOB_ARRAY_INDEX"],
        help="Hide one shard of the last listing, from 0; with --shards, every so many-th from this one on.",
    ),
]  # fmt: skip
Shards = Annotated[
    int | None, typer.Option("--shards", metavar="M", min=1, help="Number of machines that share the shards.")
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", metavar="N", min=1, max=512, help="Processes of this machine. Default: one per core."),
]
Scratch = Annotated[
    Path | None,
    typer.Option("--scratch", metavar="FOLDER", help="Folder for files in progress. Default: the system's own."),
]
Metrics = Annotated[
    str | None, typer.Option("--metrics", metavar="HOST:PORT", help="Serve Prometheus metrics at this address.")
]
Price = Annotated[
    float | None,
    typer.Option("--price-per-core-hour", metavar="PRICE", min=0, help="With --dry-run, say what it would cost."),
]


@app.command()
def run(
    source: Annotated[str, typer.Argument(metavar="SRC", help="Folder, or s3://, gs://, az://bucket/prefix.")],
    output: Annotated[str, typer.Option("--output", "-o", metavar="DST", help="Folder or prefix of the results.")],
    rule: options.Rules = [],
    hide_labels: options.Labels = [],
    technique: options.With = None,
    plan: options.PlanFile = None,
    keep: options.Keep = [],
    effort: options.Effort = None,
    include: Annotated[list[str], typer.Option("--include", metavar="GLOB", help="Take only keys that match.")] = [],
    exclude: Annotated[list[str], typer.Option("--exclude", metavar="GLOB", help="Skip keys that match.")] = [],
    retry: Retry = [],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count the files, hide in 20 of them, write nothing, say what all cost.")
    ] = False,
    price_per_core_hour: Price = None,
    list_only: Annotated[
        bool, typer.Option("--list", help="List the source, print the number of shards, end.")
    ] = False,
    shard: Shard = None,
    shards: Shards = None,
    workers: Workers = None,
    scratch: Scratch = None,
    runner: Annotated[
        str, typer.Option("--runner", metavar="NAME", help="local (default): this machine; ray: a Ray cluster.")
    ] = "local",
    ray_address: Annotated[
        str | None, typer.Option("--ray-address", metavar="ADDRESS", help="Of the cluster. Default: RAY_ADDRESS.")
    ] = None,
    cpus_per_worker: Annotated[
        float,
        typer.Option("--cpus-per-worker", metavar="N", min=0, help="With ray: cores of each process, such as 0.5."),
    ] = 1.0,
    gpus_per_worker: Annotated[
        float, typer.Option("--gpus-per-worker", metavar="N", min=0, help="With ray: share of a GPU of each process.")
    ] = 0.0,
    metrics: Metrics = None,
    other_arithmetic: Annotated[
        str,
        typer.Option(
            "--other-arithmetic",
            metavar="WHAT",
            help="refuse (default) or mark machines whose processors round otherwise than the first one's.",
        ),
    ] = "refuse",
    json: options.Json = False,
    quiet: Quiet = False,
    no_progress: NoProgress = False,
) -> None:
    """Hide in all images and videos of SRC and write them under DST, by the same keys. Sources are never written."""
    from velum.batch.listing import RETRIES, Selection
    from velum.storage.objects import open_tree

    chosen_plan = options.with_people(
        options.PlanOptions(plan, rule, hide_labels, technique, keep, effort=effort).plan()
    )
    if unknown := set(retry) - {*RETRIES}:
        raise BadPlan(f"--retry {min(unknown)!r} is unknown; allowed are {', '.join(RETRIES)}")
    if runner not in {"local", "ray"}:
        raise BadPlan(f"--runner {runner!r} is unknown; allowed are local and ray")
    if other_arithmetic not in {"refuse", "mark"}:
        raise BadPlan(f"--other-arithmetic {other_arithmetic!r} is unknown; allowed are refuse and mark")
    check_share(shard, shards)
    trees = open_tree(source), open_tree(output)
    refuse_overlap(trees[0].url, trees[1].url)
    messages = Messages(quiet=quiet, progress=not no_progress)
    try:
        with prepare_batch(
            chosen_plan, trees, workers, scratch, messages, cast("OtherArithmetic", other_arithmetic)
        ) as ready:
            batch = CommandRun(ready, Selection.of(chosen_plan, include, exclude), messages, json=json)
            if runner == "ray":
                batch.cluster = ClusterOptions(workers, cpus_per_worker, gpus_per_worker, ray_address)
            batch.metrics = serve_metrics(metrics)
            if dry_run:
                batch.estimate(price_per_core_hour)
            elif list_only:
                batch.list_sources(retry)
            elif shard is not None:
                batch.hide_shard(shard, shards)
            else:
                batch.hide(retry)
    except KeyboardInterrupt:
        messages.fail(
            "stopped; results are complete, and nothing half-written was left; repeat the command to continue"
        )
        raise typer.Exit(130) from None


@app.command()
def status(place: Place, json: options.Json = False, metrics: Metrics = None) -> None:
    """Print the progress of the batches at a place of results, or serve that of one as metrics until Ctrl-C."""
    from velum.batch.summary import BatchSummary, files_done, shards_done

    if (counted := serve_metrics(metrics)) is not None:
        _follow_run(_open_run(place), counted)
        return
    for run in _open_runs(place):
        summary, (done, total) = BatchSummary.of(run.latest()), files_done(run)
        shards_finished, shards = shards_done(run)
        if json:
            counts = {"shards": shards, "shards_done": shards_finished, "files_listed": total, "files_done": done}
            common.print_json({"run": run.name, **counts, **summary.to_json()})
        else:
            open_shards = f", in {shards_finished} of {shards} shards finished" if shards_finished < shards else ""
            typer.echo(f"{run.name}: {done} of {total} files done{open_shards}; {summary}; from {run.config.source}")


def _follow_run(run: "BatchRun", metrics: "BatchMetrics") -> None:
    try:
        while True:
            try:
                metrics.add_finished(run)
            except Unavailable as error:
                common.warn(f"{error}; trying again in {FOLLOW_SECONDS:g} s")
            sleep(FOLLOW_SECONDS)
    except KeyboardInterrupt:
        return


@app.command()
def report(
    place: Place,
    html: Annotated[Path, typer.Option("--html", metavar="FILE", help="File of the page.")],
    overwrite: options.Overwrite = False,
) -> None:
    """Write a page: counts, sizes, files without a result, the slowest ones, and a sample of results to look at."""
    from velum.batch.summary import BatchSummary, render_summary

    batch_run = _open_run(place)
    summary = BatchSummary.of(batch_run.latest())
    common.write_text(html, render_summary(batch_run, summary), overwrite=overwrite)
    typer.echo(f"{html}: {summary}")


@app.command()
def review(
    place: Place, json: options.Json = False, server: jobs.Server = None, token_file: jobs.TokenFile = None
) -> None:
    """Send the originals of a sample of results to a service, which hides in them by the same plan, to review them.

    The sample is that of velum batch report. Exit 1: some could not be sent.
    """
    from velum.batch.summary import BatchSummary
    from velum.storage.objects import ObjectChanged, ObjectGone, ObjectInfo, open_tree

    batch_run = _open_run(place)
    source, sample = open_tree(batch_run.config.source), BatchSummary.of(batch_run.latest()).sample
    page, failed = f"{jobs.server_address(server)}/#/review", 0
    with jobs.service(server, token_file) as client, TemporaryDirectory(prefix="velum-") as folder:
        for outcome in sample:
            file, name = Path(folder) / "original", printable(outcome.key)
            try:
                source.fetch(ObjectInfo(outcome.key, outcome.size, outcome.etag), file)
                job = client.submit(file, batch_run.config.plan, name=PurePosixPath(name).name)
            except (ObjectGone, ObjectChanged):
                common.fail(f"{name}: the original is no longer there, or has changed")
                failed += 1
            except (BadInput, LimitExceeded) as error:
                common.fail(f"{name}: {error}")
                failed += 1
            else:
                address = f"{page}/{job.id}"
                if json:
                    common.print_json(jobs.as_json(job, source=outcome.key, page=address))
                else:
                    typer.echo(f"{address}  {name}")
            file.unlink(missing_ok=True)
    typer.echo(f"{page} shows them, once they are hidden", err=True)
    if failed:
        raise typer.Exit(1)


@app.command()
def evidence(
    place: Place,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="File of the evidence.")],
    key: signed.Key = None,
    passphrase_file: signed.Passphrase = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Write evidence of a batch: a Merkle root for the outcomes of each shard; signed with --key."""
    import json

    from velum.evidence.batch_statement import compose_batch
    from velum.evidence.signing import PrivateKey
    from velum.evidence.statement import sign

    batch_run = _open_run(place)
    document = compose_batch(batch_run.config.to_json(), batch_run.records())
    if key is not None:
        document = sign(document, PrivateKey.read(key, passphrase_file))
    common.write_text(output, json.dumps(document, indent=1, ensure_ascii=False) + "\n", overwrite=overwrite)
    files = sum(entry["files"] for entry in document["shards"])
    signed = "signed" if key else "not signed"
    typer.echo(f"{printable(str(output))}: {files} outcomes in {len(document['shards'])} shards, {signed}")


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Evidence that velum batch evidence wrote.")],
    place: Place,
    public_key: Annotated[
        Path | None, typer.Option("--public-key", metavar="FILE", help="Public key that must have signed it.")
    ] = None,
) -> None:
    """Verify the signature, and that the outcomes are unchanged. Exit 0: all is as signed; 1: something is not."""
    from velum.evidence.batch_statement import load_batch, verify_batch
    from velum.evidence.signing import PublicKey

    key = PublicKey.read(public_key) if public_key else None
    verdicts = verify_batch(load_batch(file), _open_run(place).records(), key)
    for holds, message in verdicts:
        typer.echo(f"{'good' if holds else 'BAD '}  {message}")
    if not all(holds for holds, _ in verdicts):
        raise typer.Exit(1)


def _open_run(place: str) -> "BatchRun":
    """Return the one run at a place. Raises `BadInput` when there are several, or none."""
    runs = _open_runs(place)
    if len(runs) > 1:
        names = ", ".join(batch_run.name for batch_run in runs)
        raise BadInput(f"{place} has several batches; name one: {place}/_velum/RUN with RUN of {names}")
    return runs[0]


def _open_runs(place: str) -> "list[BatchRun]":
    """Return the runs at the place of results, or the one that is named. Raises `BadInput` when there is none."""
    from velum.batch.listing import FOLDER
    from velum.batch.manifest import BatchRun
    from velum.storage.objects import open_tree

    root, _, name = place.rstrip("/").partition(f"/{FOLDER}/")
    target = open_tree(root)
    names = [name] if name else BatchRun.names(target)
    if not names:
        raise BadInput(f"there is no batch in {place}; name the place of the results, as in velum batch SRC -o DST")
    return [BatchRun.open(target, run_name) for run_name in names]
