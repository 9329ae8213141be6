"""`velum train`: train a network for labels of your own, continue a training, and make its report."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from velum.cli import common
from velum.cli.common import default_command
from velum.errors import BadPlan

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from velum.plugins import RuntimeConfig
    from velum.settings import Settings
    from velum.train.finish import Finished
    from velum.train.run_folder import RunFolder, TrainingRequest
    from velum.train.trainer import Progress
    from velum.train.training import Prepared


app = typer.Typer(
    cls=default_command("start"),
    help="Train a small network for labels of your own: 'velum train TRUTH -o NAME', see 'velum train start -h'.",
)

Truth = Annotated[
    Path,
    typer.Argument(metavar="TRUTH", help="Labels, in any form that 'velum evaluate' reads: COCO, VOC, YOLO, velum's."),
]
Media = Annotated[
    Path | None,
    typer.Option("--media", metavar="DIR", help="Folder of the images and videos. Default: that of the truth."),
]
Output = Annotated[
    Path, typer.Option("--output", "-o", metavar="NAME", help="Folder to write to; its name is that of the model.")
]
Labels = Annotated[
    list[str],
    typer.Option("--label", metavar="LABEL", help="Labels to learn, repeatable or a,b. Default: all in the truth."),
]
Task = Annotated[str, typer.Option("--task", metavar="TASK", help="detect: boxes; segment: outlines.")]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="MODEL",
        help="Network to start from: centerface, yolox-nano, yolox-s, lpd-yunet, pp-humanseg, or a FILE.onnx like one.",
    ),
]
Budget = Annotated[
    str | None,
    typer.Option("--budget", metavar="TIME", help="How long to train, such as 90s, 10m or 2h. Default: 10m."),
]
Steps = Annotated[
    int | None, typer.Option("--steps", metavar="N", help="Train so many steps instead, which can be repeated exactly.")
]
Recall = Annotated[
    float, typer.Option("--recall", metavar="SHARE", help="Recall that the model's threshold is chosen for.")
]
Group = Annotated[
    str | None,
    typer.Option("--group", metavar="PATTERN", help="Regular expression: names with the same match belong together."),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Seed of the split, the crops and the weights.")]
Batch = Annotated[int, typer.Option("--batch", metavar="N", help="Crops in a step.")]
Side = Annotated[int, typer.Option("--side", metavar="PX", help="Side of a crop, a multiple of 32.")]
Rate = Annotated[float, typer.Option("--rate", metavar="X", help="Rate of learning.")]
Device = Annotated[str, typer.Option("--device", metavar="DEVICE", help="cpu or cuda.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only check the labels, and draw 16 of them, unhidden, to NAME/labels.jpg.")
]
Replace = Annotated[bool, typer.Option("--replace", help="Replace a training and a model of that name.")]
Folder = Annotated[Path, typer.Argument(metavar="NAME", help="Folder of a training.")]


@app.command()
def start(
    truth: Truth, output: Output, media: Media = None, label: Labels = [], task: Task = "detect",
    base: From = None, budget: Budget = None, steps: Steps = None, recall: Recall = 0.95, group: Group = None,
    seed: Seed = 1, batch: Batch = 6, side: Side = 288, rate: Rate = 5e-4, device: Device = "cpu",
    dry_run: DryRun = False, replace: Replace = False,
) -> None:  # fmt: skip
    """Train a network for labels of your own, and put it into your catalogue."""
    from velum.settings import Settings
    from velum.train import machine, training
    from velum.train.run_folder import RunFolder, TrainingRequest

    # Mistakes show before the first picture is read, and those of the labels before the first step.
    if steps is not None and budget is not None:
        raise BadPlan("--steps and --budget both say how long to train; give one")
    request = TrainingRequest(
        truth=str(truth.absolute()), media=None if media is None else str(media.absolute()),
        labels=tuple(common.split_commas(label)), task=task, base=_base(base, task), group=group, seed=seed,
        steps=steps, seconds=None if steps is not None else common.parse_duration(budget or "10m"), batch=batch,
        side=side,
        rate=rate, recall=recall, device=device,
    )  # fmt: skip
    folder, settings = RunFolder(output.absolute()), Settings.load()
    host = settings.host(mode="throughput")
    training.check_name(folder.name, host, replace_model=replace)
    if not dry_run:
        folder.check_free(replace=replace)
        machine.check_torch()
    prepared = _prepare(request, settings)
    if dry_run:
        _draw_labels(prepared, folder, settings, replace=replace)
        return
    machine.check_memory(request)
    _train(folder, prepared, settings, replace=replace, resume=False)


@app.command()
def resume(name: Folder, budget: Budget = None, steps: Steps = None) -> None:
    """Continue a training that was stopped or killed; with a larger --budget or --steps, train longer."""
    from dataclasses import replace

    from velum.settings import Settings
    from velum.train import machine
    from velum.train.run_folder import RunFolder

    if steps is not None and budget is not None:
        raise BadPlan("--steps and --budget both say how long to train; give one")
    folder, settings = RunFolder(name.absolute()), Settings.load()
    request = folder.read().request
    if steps is not None:
        request = replace(request, steps=steps, seconds=None)
    elif budget is not None:
        request = replace(request, steps=None, seconds=common.parse_duration(budget))
    machine.check_torch()
    machine.check_memory(request)
    _train(folder, _same_pictures(folder, request, settings), settings, replace=True, resume=True)


@app.command()
def report(name: Folder) -> None:
    """Make the model of the best state so far: files, threshold, report and card; put it into your catalogue."""
    from velum.locate import user_models
    from velum.settings import Settings
    from velum.train.pictures import PictureStore
    from velum.train.run_folder import RunFolder
    from velum.train.training import Training

    folder, settings = RunFolder(name.absolute()), Settings.load()
    run, host = folder.read(), settings.host(mode="throughput")
    prepared = _same_pictures(folder, run.request, settings)
    with PictureStore(settings.limits()) as store:
        store.extract_frames(prepared.parts.held_out)
        done = Training(folder, prepared, run, host, settings.limits()).finish(store)
    user_models.put(done.offer, host, replace=True)
    _print_finished(folder, done)


def _base(name: str | None, task: str) -> str:
    if name is None:
        from velum.train.bases import DEFAULTS

        return DEFAULTS.get(task, "")
    return str(Path(name).absolute()) if name.lower().endswith(".onnx") else name


def _prepare(request: "TrainingRequest", settings: "Settings") -> "Prepared":
    from velum.cli.progress import file_progress
    from velum.train import training

    with file_progress("reading labels") as progress:
        prepared = training.prepare(request, settings.limits(), progress)
    parts, counts = prepared.parts, prepared.found.count()
    listed = ", ".join(f"{number} {label}" for label, number in counts.items())
    typer.echo(
        f"{len(prepared.found.pictures)} pictures with {listed}: {len(parts.train)} to train with, "
        f"{len(parts.held_out)} held out ({parts.groups[0]} and {parts.groups[1]} groups)"
    )
    for note in prepared.found.notes:
        typer.echo(f"note: {note}")
    return prepared


def _same_pictures(folder: "RunFolder", request: "TrainingRequest", settings: "Settings") -> "Prepared":
    """Return the pictures of a training that has begun. Raises `BadInput` where they are others now."""
    from velum.train import training

    prepared = _prepare(request, settings)
    training.check_same_pictures(folder, prepared)
    return prepared


def _draw_labels(prepared: "Prepared", folder: "RunFolder", settings: "Settings", *, replace: bool) -> None:
    from velum.train.pictures import PictureStore, choose_pictures, draw_sheet

    folder.check_free(replace=replace)
    chosen = choose_pictures(prepared.found.pictures, prepared.request.seed)
    with PictureStore(settings.limits()) as store:
        store.extract_frames(chosen)
        sheet = draw_sheet(chosen, prepared.found.labels, store)
    folder.write_sheet(sheet)
    typer.echo(f"{folder.sheet}: {len(chosen)} labelled pictures drawn")
    common.warn(
        f"{folder.sheet} shows the pictures as they are, with the people in them, and nothing in it is hidden; only "
        "you can read it, and the training deletes it when it begins"
    )


def _train(
    folder: "RunFolder", prepared: "Prepared", settings: "Settings", *, replace: bool, resume: bool
) -> None:  # fmt: skip
    from velum.cli.progress import fetch_progress
    from velum.locate import user_models
    from velum.train import machine, training
    from velum.train.pictures import PictureStore

    machine.quiet_threads()
    with fetch_progress() as fetching, PictureStore(settings.limits()) as store, machine.stop_on_signals() as stop:
        host: RuntimeConfig = settings.host(fetching, mode="throughput")
        run = prepared.run()
        work = training.Training(folder, prepared, run, host, settings.limits())
        work.check_base()
        if resume:
            folder.write_run(run)
        else:
            folder.begin(run, replace=replace)
        store.extract_frames(prepared.found.pictures)
        state = work.train(store, _print_progress, stop, resume=resume)
        if stop():
            typer.echo(f"stopped after {state.step} steps; making the model of the best state", err=True)
        done = work.finish(store)
        user_models.put(done.offer, host, replace=True)
    _print_finished(folder, done)


def _print_progress(progress: "Progress") -> None:
    """Print a line for each look at the held-out pictures, and in a terminal the running step."""
    score = "score -" if progress.score is None else f"{progress.score.measure} {progress.score.mean:.3f}"
    line = (
        f"{progress.share:4.0%}  step {progress.step}  loss {progress.loss:.3f}  held-out {score}  "
        f"best {max(0.0, progress.best):.3f}  {_time_text(progress.seconds_left)} left"
    )
    if progress.is_look:
        typer.echo(f"\r\033[K{line}" if sys.stderr.isatty() else line, err=True)
    elif sys.stderr.isatty():
        typer.echo(f"\r\033[K{line}", err=True, nl=False)


def _time_text(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def _print_finished(folder: "RunFolder", done: "Finished") -> None:
    from velum.evaluation import metrics

    for row in metrics.by_size(done.evaluation.observed.outcomes):
        low, high = row.found.interval
        typer.echo(
            f"{row.label}, {row.kind}: found {row.found.hits} of {row.found.total} held out "
            f"({row.found.share or 0:.1%}, 95 % interval {low:.1%} to {high:.1%})"
        )
    for label, rate in metrics.precision(done.evaluation.observed).items():
        typer.echo(f"{label}: {rate.total - rate.hits} of {rate.total} detections are false")
    for label, measures in (done.card["masks"] or {}).items():
        low, high = measures["iou_interval"]
        typer.echo(
            f"{label}: IoU of the held-out masks {measures['iou']:.2f} (95 % interval {low:.2f} to {high:.2f}), "
            f"{measures['recall']:.1%} of the pixels found"
        )
    if not done.reached:
        common.warn(
            f"the wanted recall of {done.card['wanted_recall']:.0%} is not reached on the held-out pictures; label "
            "more pictures like those that are missed, or train longer"
        )
    typer.echo(f"{done.offer.name}: from a score of {done.offer.threshold:g}, finds {', '.join(done.offer.labels)}")
    typer.echo(f"{folder.path}: model.onnx, model.xml, report.html, card.md")
    _print_comparison(done.card["compared"])
    typer.echo(f"use it: velum hide PICTURE --hide {','.join(done.offer.labels)}")


def _print_comparison(compared: "Mapping[str, Any] | None") -> None:
    """Print what the model that was replaced finds in the same held-out pictures."""
    if compared is None:
        return
    for label, figures in compared["present"]["labels"].items():
        shares = figures["found"]
        low, high = shares["interval"]
        typer.echo(
            f"{label}: the model before found {shares['hits']} of {shares['total']} of them (95 % interval {low:.1%} "
            f"to {high:.1%}); 'velum models switch-back' makes it the present one again"
        )
    if compared["seen"]:
        common.warn(
            f"the model before was trained with {compared['seen']} of the {compared['held_out']} held-out pictures, so "
            "its figures are too good"
        )
