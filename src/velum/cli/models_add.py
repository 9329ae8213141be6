"""`velum models add`, `try` and `remove`: models of the user."""

import dataclasses
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from velum.cli import common
from velum.errors import BadInput, BadPlan, printable

if TYPE_CHECKING:
    from velum.locate.import_model import ImportedModel, ImportOptions
    from velum.locate.normalization import Rgb3
    from velum.locate.registry import Asset, Model
    from velum.plugins import RuntimeConfig

Source = Annotated[
    Path,
    typer.Argument(
        metavar="PATH", help="Model file (ONNX, OpenVINO, TensorFlow, Paddle, Darknet), or a folder of model folders."
    ),
]
OwnName = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="Name of the model in plans. Default: its file name.")
]
Labels = Annotated[
    str | None,
    typer.Option(
        "--labels",
        metavar="LABELS",
        help="Its labels in order: face,person; or coco for its 80; or a file with one label a line, or data.yaml.",
    ),
]
FamilyName = Annotated[
    str | None,
    typer.Option("--family", metavar="FAMILY", help="Output format of the model; needed when it is not recognized."),
]
Threshold = Annotated[
    float | None,
    typer.Option("--threshold", metavar="SCORE", help="Score from which a detection counts, from 0.01 to 1."),
]
Mean = Annotated[
    str | None,
    typer.Option("--mean", metavar="R,G,B", help="Mean to subtract from pixel values (0 to 255)."),
]
Scale = Annotated[
    str | None,
    typer.Option("--scale", metavar="R,G,B", help="Divisor after that, such as 58.4,57.1,57.4."),
]
Normalise = Annotated[
    str | None,
    typer.Option(
        "--normalise",
        metavar="NAME",
        help="Mean and scale by name: none (0 to 255), unit (0 to 1), symmetric (-1 to 1), imagenet.",
    ),
]
Licence = Annotated[str, typer.Option("--licence", metavar="TEXT", help="Licence of the weights, for your records.")]
Replace = Annotated[bool, typer.Option("--replace", help="Replace a model of the same name.")]
Try = Annotated[
    Path | None, typer.Option("--try", metavar="PHOTO", help="Then draw what the model finds in this image.")
]
Reproduce = Annotated[
    bool,
    typer.Option(
        "--reproduce-channel-order",
        help="Feed colour channels in the order of the BMW service, even where that is wrong.",
    ),
]
Photo = Annotated[Path, typer.Argument(metavar="PHOTO", help="Image to detect in.")]
Drawing = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Drawing to write. Default: photo.found.jpg beside it."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing drawing.")]


def add(
    path: Source,
    name: OwnName = None,
    labels: Labels = None,
    family: FamilyName = None,
    threshold: Threshold = None,
    mean: Mean = None,
    scale: Scale = None,
    normalise: Normalise = None,
    licence: Licence = "not stated",
    replace: Replace = False,
    photo: Try = None,
    reproduce_channel_order: Reproduce = False,
) -> None:
    """Add a model of your own, under a name that plans can use."""
    from velum.locate.import_model import ImportOptions
    from velum.locate.normalization import input_for
    from velum.settings import Settings

    host = Settings.load().host()
    wish = ImportOptions(
        name=name,
        labels=_labels(labels),
        family=family,
        threshold=threshold,
        licence=licence,
        input=input_for(_rgb(mean, "--mean"), _rgb(scale, "--scale"), normalise),
    )
    folders = _folders(path)
    if len(folders) > 1 and (name or labels):
        raise BadPlan(
            f"{path} holds {len(folders)} models; --name and --labels are for one model; add the models one by one"
        )
    added, failed = [], []
    for source in folders or (path,):
        try:
            added.append(_add(source, wish, host, replace=replace, reproduce=reproduce_channel_order))
        except BadInput as error:
            if len(folders) < 2:
                raise
            common.fail(str(error))
            failed.append(source.name)
    for model in added:
        if photo is not None:
            _try_on(model.name, photo, photo.with_name(f"{photo.stem}.{model.name}.jpg"), host, overwrite=True)
    if failed:
        raise BadInput(f"of {len(folders)} model folders {len(failed)} were not added: {', '.join(failed)}")


def try_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A model, as 'velum models list' names it.")],
    photo: Photo,
    output: Drawing = None,
    overwrite: Overwrite = False,
) -> None:
    """Draw what a model finds in an image. The drawing is not anonymised: it shows people."""
    from velum.cli.progress import fetch_progress
    from velum.settings import Settings

    target = output or photo.with_name(f"{photo.stem}.found.jpg")
    with fetch_progress() as progress:
        _try_on(name, photo, target, Settings.load().host(progress), overwrite=overwrite)


def remove(name: Annotated[str, typer.Argument(metavar="NAME", help="A model that you added.")]) -> None:
    """Remove a model that you added, with its files."""
    from velum.locate import user_models
    from velum.settings import Settings

    user_models.remove(name, Settings.load().host())
    typer.echo(f"{name}: removed")


def switch_back(name: Annotated[str, typer.Argument(metavar="NAME", help="A model that replaced another.")]) -> None:
    """Make the former version of a model the present one again; a second time, the newer one."""
    from velum.locate import user_models
    from velum.settings import Settings

    model = user_models.switch_back(name, Settings.load().host())
    typer.echo(f"{name}: the former version is the present one now ({model.fingerprint[:19]})")


def _add(path: Path, wish: "ImportOptions", host: "RuntimeConfig", *, replace: bool, reproduce: bool) -> "Asset":
    from velum.locate import user_models
    from velum.locate.import_model import ImportOptions
    from velum.locate.registry import EmbeddingModel
    from velum.locate.weights import known_files

    known_model = None if path.is_dir() or reproduce else known_files.model_of_file(path)
    if isinstance(known_model, EmbeddingModel):
        if wish != ImportOptions(name=wish.name) or wish.name not in {None, known_model.name}:
            raise BadPlan(f"{path} is that of {known_model.name}, which compares faces; add it without options")
        user_models.put_known(known_model, path, host)
        typer.echo(f"{known_model.name}: its file is known by its hash, compares faces")
        return known_model
    if known_model and wish == ImportOptions(name=wish.name) and wish.name in {None, known_model.name}:
        user_models.put_known(known_model, path, host)
        return _tell(known_model, "its file is known by its hash, ")
    with TemporaryDirectory(prefix="velum-") as folder:
        wish = _as_known(wish, known_model) if known_model else wish
        return _tell(user_models.put(_import(path, wish, Path(folder), reproduce=reproduce), host, replace=replace))


def _as_known(wish: "ImportOptions", model: "Model") -> "ImportOptions":
    """Return the options for a file of the catalogue: options that the user leaves out are those of the catalogue."""
    from velum.locate.import_model import ImportOptions

    return ImportOptions(
        name=wish.name,
        labels=wish.labels or model.labels,
        family=wish.family or model.family,
        threshold=model.threshold if wish.threshold is None else wish.threshold,
        licence=model.licence if wish.licence == ImportOptions().licence else wish.licence,
        input={**model.input, **wish.input},
    )


def _tell(model: "Model", how: str = "") -> "Model":
    finds = [label for label in model.labels if label]
    listed = ", ".join(finds[:8]) + (f" and {len(finds) - 8} more" if len(finds) > 8 else "")
    typer.echo(f"{model.name}: {how}{model.family}, from a score of {model.threshold:g}, finds {listed}")
    return model


def _import(path: Path, wish: "ImportOptions", folder: Path, *, reproduce: bool) -> "ImportedModel":
    from velum.bmw import folders
    from velum.locate.import_model import identify_model

    if path.is_dir() and folders.is_model_folder(path):
        return folders.read(path, folders.ModelFolderOptions(wish, folder, reproduce))
    if path.suffix.lower() in {".cfg", ".weights"}:
        return _darknet(path, wish, folder)
    return identify_model(path, wish)


def _darknet(path: Path, wish: "ImportOptions", folder: Path) -> "ImportedModel":
    from velum.locate.import_model import identify_model, model_name
    from velum.locate.runtime import darknet

    target = folder / f"{model_name(path.stem, stated=False)}.xml"
    darknet.convert(path.with_suffix(".cfg"), path.with_suffix(".weights"), target)
    return identify_model(target, dataclasses.replace(wish, family="darknet"), origin=path.name)


def _folders(path: Path) -> tuple[Path, ...]:
    from velum.bmw.folders import model_folders

    return model_folders(path) if path.is_dir() else ()


def _labels(text: str | None) -> tuple[str, ...] | None:
    from velum.locate.detect_family import parse_labels
    from velum.locate.import_model import labels_from
    from velum.locate.labels import COCO

    if text is None:
        return None
    if text == "coco":
        return COCO
    file = Path(text)
    return labels_from(file) if "," not in text and (file.suffix or file.is_file()) else parse_labels(text)


def _rgb(text: str | None, option: str) -> "Rgb3 | None":
    from velum.locate.normalization import parse_rgb

    return None if text is None else parse_rgb(text, option)


def _try_on(name: str, photo: Path, target: Path, host: "RuntimeConfig", *, overwrite: bool) -> None:
    from velum.cli import annotate
    from velum.cli.common import count_labels
    from velum.engine.part_cache import PartCache
    from velum.media import open_source
    from velum.settings import Settings
    from velum.spec import PartSpec

    annotate.check_target(target, overwrite=overwrite)
    parts = PartCache(host)
    try:
        localizer = parts.localizer(PartSpec(name))
        with open_source(photo, Settings.load().limits()) as reader:
            frame = next(reader.frames())
        (regions,) = localizer.locate([frame])
        image = annotate.draw_regions(frame.rgb(frame.width, frame.height), regions)
    finally:
        parts.close()
    annotate.write_image(image, target, overwrite=overwrite)
    labels: dict[str, int] = {}
    for region in regions:
        labels[region.label] = labels.get(region.label, 0) + 1
    typer.echo(f"{printable(str(target))}: {count_labels(labels)} found and drawn")
    common.warn(f"{target} is NOT anonymised: it shows the image as it is; delete it after use")
