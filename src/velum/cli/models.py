"""`velum models`: list, download, verify, add and quantize detection models."""

import json
import re
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from velum.cli import common, models_add
from velum.errors import BadPlan, Unavailable

if TYPE_CHECKING:
    from velum.frame import Frame
    from velum.limits import Limits
    from velum.locate.quantize import QuantizationTrial, Quantized, Share
    from velum.locate.registry import Asset, EmbeddingModel, Model
    from velum.locate.runtime.int8 import Preset
    from velum.plugins import RuntimeConfig


app = typer.Typer(help="List, download, verify and add detection models.", no_args_is_help=True)
app.command("add")(models_add.add)
app.command("try")(models_add.try_model)
app.command("remove")(models_add.remove)
app.command("switch-back")(models_add.switch_back)

Names = Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Models, as 'velum models list' names them.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A model, as 'velum models list' names it.")]
BundledNames = Annotated[list[str], typer.Argument(metavar="NAME", help="Models, as 'velum models list' names them.")]
BundleOutput = Annotated[
    Path,
    typer.Option(
        "--output", "-o", metavar="PATH", help="Folder for the wheel, or its name: NAME-VERSION-py3-none-any.whl."
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a wheel of the same name.")]

Images = Annotated[
    Path, typer.Option("--images", metavar="DIR", help="Some dozens of typical images that contain objects to find.")
]
ExportFolder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder to write; its name is the model's.")]
ExportKind = Annotated[str, typer.Option("--as", metavar="KIND", help="openvino-detection.")]
ExportSize = Annotated[
    str, typer.Option("--size", metavar="WxH", help="Size to which the service scales every picture.")
]
NewName = Annotated[str | None, typer.Option("--name", metavar="NAME", help="Name of the copy. Default: NAME-int8.")]
Ranges = Annotated[
    str, typer.Option("--preset", metavar="PRESET", help="mixed: more exact; performance: slightly faster.")
]
Replace = Annotated[bool, typer.Option("--replace", help="Replace a model of the same name.")]
QuantizeJson = Annotated[bool, typer.Option("--json", help="Print the comparison as a line of JSON.")]


@app.command("list")
def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="Print all data of each model as JSON.")] = False,
) -> None:
    """List the models and whether their files are on this machine."""
    from velum.locate.registry import listed_weights
    from velum.settings import Settings

    host = Settings.load().host()
    rows = [_describe_model(model, host) for model in listed_weights(host).values()]
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        _print_table(rows)


@app.command()
def pull(names: Names = None) -> None:
    """Download models and print the paths of their files. Default: the face detector."""
    from velum.locate.weights.missing_weights import call_for_all
    from velum.settings import Settings

    call_for_all(lambda model: typer.echo(_obtain(model)), _find_models(names, Settings.load().host()), detailed=True)


@app.command()
def bundle(names: BundledNames, output: BundleOutput, overwrite: Overwrite = False) -> None:
    """Make a wheel of models with their licences, for your own package index or a machine without network."""
    from velum.locate.registry import find_weights, listed_weights
    from velum.locate.weights.bundle_wheel import bundle_target, write_bundle
    from velum.locate.weights.missing_weights import call_for_all
    from velum.settings import Settings

    host = Settings.load().host()
    target, shipped = bundle_target(output), listed_weights()
    models = [find_weights(name, host) for name in dict.fromkeys(names)]
    if own := [model.name for model in models if shipped.get(model.name) != model]:
        raise BadPlan(
            f"{', '.join(own)} cannot be bundled: a wheel holds files of velum's own catalogue; copy the files of a "
            "model that you added, and add them with 'velum models add' where they are needed"
        )
    paths = call_for_all(_obtain, models, detailed=True)
    write_bundle(dict(zip(models, paths, strict=True)), target, overwrite=overwrite)
    typer.echo(target.path)


@app.command()
def path(name: Name) -> None:
    """Print the path of the file of a model. Nothing is downloaded."""
    from velum.locate.registry import find_weights
    from velum.locate.weights.fetch import find_local, pull_command
    from velum.settings import Settings

    host = Settings.load().host()
    model = find_weights(name, host)
    file = find_local(model, host)
    if file is None:
        raise Unavailable(f"{model.name} is not on this machine; run '{pull_command(model)}'")
    typer.echo(file)


@app.command()
def verify(names: Names = None) -> None:
    """Verify the hashes of model files. Default: the face detector and all files on this machine."""
    from velum.locate.registry import listed_weights
    from velum.locate.weights.fetch import copies
    from velum.settings import Settings

    host = Settings.load().host()
    models = _find_models(names, host)
    if not names:
        models += [model for model in listed_weights(host).values() if model not in models and any(copies(model, host))]
    states = {model.name: _file_state(model, host) for model in models}
    for name, state in states.items():
        typer.echo(f"{name}: {state}")
    if wrong := [name for name, state in states.items() if state != "ok"]:
        raise Unavailable(f"missing or wrong: {', '.join(wrong)}; run 'velum models pull {' '.join(wrong)}'")


@app.command()
def export(name: Name, target: ExportFolder, kind: ExportKind, size: ExportSize = "960x544") -> None:
    """Write a detector as a model folder of a BMW inference API, which velum serve-models loads as well."""
    from velum.bmw.model_export import export_model
    from velum.settings import Settings

    match = re.fullmatch(r"(\d{1,4})x(\d{1,4})", size)
    if match is None:
        raise BadPlan(f"--size is {size!r}; write it as 960x544")
    export_model(name, kind, target, Settings.load().host(), (int(match[1]), int(match[2])))
    typer.echo(target)


@app.command()
def quantize(
    name: Name, images: Images, new_name: NewName = None, preset: Ranges = "mixed",
    replace: Replace = False, as_json: QuantizeJson = False,
) -> None:  # fmt: skip
    """Make a faster 8-bit copy of a model, and compare speed and detections on your images."""
    from functools import partial

    from velum.batch.arrange import arrange
    from velum.cli.progress import fetch_progress
    from velum.locate import quantize as work
    from velum.settings import Settings

    settings = Settings.load()
    jobs, _ = arrange([images], None)
    pictures = [partial(_first_frame, job.source, settings.limits()) for job in jobs]
    # NNCF prints to standard output; keep that free for the result.
    with fetch_progress() as progress, redirect_stdout(sys.stderr):
        quantized = work.quantize(
            name, settings.host(progress), pictures,
            new_name=new_name, preset=_preset(preset), replace_old=replace, say=_print_step,
        )  # fmt: skip
    if as_json:
        trials = [trial.to_json() for trial in quantized.trials]
        common.print_json(
            {
                "name": quantized.model.name,
                "pictures": quantized.pictures,
                "held_back": quantized.held_back,
                "trials": trials,
            }
        )
    else:
        _print_trials(name, quantized)


@app.command(hidden=True)
def sample(name: Annotated[str, typer.Argument(metavar="NAME", help="A sample image, such as portrait.")]) -> None:
    """Download a sample image and print its path."""
    from velum.locate.registry import sample as find_sample

    typer.echo(_obtain(find_sample(name)))


def _find_models(names: list[str] | None, host: "RuntimeConfig") -> "list[Model | EmbeddingModel]":
    from velum.locate.registry import default_model, find_weights

    return [find_weights(name, host) for name in dict.fromkeys(names)] if names else [default_model()]


def _obtain(asset: "Asset") -> Path:
    from velum.cli.progress import fetch_progress
    from velum.locate.weights.fetch import ensure_local
    from velum.settings import Settings

    with fetch_progress() as progress:
        return ensure_local(asset, Settings.load().host(progress))


def _file_state(model: "Model | EmbeddingModel", host: "RuntimeConfig") -> str:
    from velum.locate.weights.fetch import copies

    faults = [copy.fault for copy in copies(model, host)]
    return "; ".join(fault for fault in faults if fault) or ("ok" if faults else "missing")


def _describe_model(model: "Model | EmbeddingModel", host: "RuntimeConfig") -> dict[str, Any]:
    from velum.locate.registry import Model
    from velum.locate.weights.fetch import copies, is_bundled

    files = list(copies(model, host))
    good = next((copy for copy in files if copy.fault is None), None)
    unreachable = host.offline and not is_bundled(model, host)
    lacking = "damaged" if files else "not here, and offline" if unreachable else "obtainable"
    finder = model if isinstance(model, Model) else None
    return {
        "name": model.name, "labels": list(finder.labels) if finder else [],
        "family": finder.family if finder else "embedding", "licence": model.licence,
        "bytes": model.bytes, "state": good.place if good else lacking, "path": str(good.path) if good else None,
        "sha256": model.sha256 or None, "hashes": model.fingerprint,
        "threshold": finder.threshold if finder else None, "sources": [str(source) for source in model.sources],
        "good_for": model.good_for, "not_for": model.not_for,
    }  # fmt: skip


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.filesize import decimal
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("name", "finds", "size", "state"):
        table.add_column(title, overflow="fold", justify="right" if title == "size" else "left")
    for row in rows:
        labels = _short([label for label in row["labels"] if label], 3)
        labels = labels or "compares faces"
        table.add_row(row["name"], labels, decimal(row["bytes"]), row["state"])
    Console().print(table)
    typer.echo("\nLicences, sources and what each is good for: velum models list --json")


def _short(labels: list[str], most: int) -> str:
    return ", ".join(labels[:most]) + (f" and {len(labels) - most} more" if len(labels) > most else "")


def _print_step(step: str) -> None:
    typer.echo(f"{step} ...", err=True)


def _preset(text: str) -> "Preset":
    match text:
        case "mixed" | "performance":
            return text
    raise typer.BadParameter(f"--preset is {text!r}; it must be mixed or performance")


def _first_frame(path: Path, limits: "Limits") -> "Frame":
    from velum.media import open_source

    with open_source(path, limits) as reader:
        return next(reader.frames())


def _print_trials(name: str, quantized: "Quantized") -> None:
    from rich.console import Console
    from rich.table import Table

    sizes = list(quantized.trials[0].by_size)
    table = Table(box=None, pad_edge=False)
    for title in ("arithmetic", "ms", "found again", "more", "score drop", *(f"{size} px" for size in sizes)):
        table.add_column(title, justify="left" if title == "arithmetic" else "right", no_wrap=True)
    for trial in quantized.trials:
        table.add_row(*_trial_row(trial, sizes))
    Console().print(table)
    source = (
        "images that were not used for calibration" if quantized.held_back else "images, the same as for calibration"
    )
    typer.echo(f"{quantized.model.name}: made from {name}, compared on {quantized.pictures} {source}")
    if not quantized.trials[0].share.of:
        common.warn(
            "the original model finds nothing in these images, so nothing can be compared; give images with objects"
        )


def _trial_row(trial: "QuantizationTrial", sizes: list[str]) -> list[str]:
    shares = [_share(trial.by_size[size]) for size in sizes]
    return [
        trial.precision, f"{trial.ms_per_picture:.1f}", _share(trial.share), str(trial.more),
        f"{trial.largest_drop:.2f}", *shares,
    ]  # fmt: skip


def _share(share: "Share") -> str:
    return "-" if share.value is None else f"{share.again}/{share.of}"
