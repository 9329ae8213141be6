"""Base networks for a training: from the catalogue by name, or in an ONNX file of a family that velum can train.

A `Head` holds what differs between families: how a base is made ready for other classes, and the loss.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx

from velum.errors import BadInput, BadPlan
from velum.file_hash import sha256_of
from velum.locate import registry
from velum.locate.detect_family import STATED, candidates, family_of, input_of
from velum.locate.import_model import files_of
from velum.locate.normalization import stated_input
from velum.locate.output_formats import Input, family, lpd_yunet, yolox
from velum.locate.output_formats.ultra_light_face import SIDES
from velum.locate.runtime.inspect_model import signature
from velum.locate.weights.fetch import ensure_local
from velum.plugins import RuntimeConfig
from velum.train import graph
from velum.train.crops import Crop

DEFAULTS: Mapping[str, str] = {"detect": "centerface", "segment": "pp-humanseg"}
"""Task -> the base that is taken where none is named. CenterFace is small, MIT, and good at small objects."""

Loss = Callable[[Sequence[Any], Sequence[Crop]], Any]
"""`loss(outputs, crops)` returns a tensor: how far the outputs for a batch are from what its crops show."""


@dataclass(frozen=True, slots=True)
class Head:
    """How networks of a family are trained.

    `sizes`: shorter side of the smallest and longer side of the largest object, in pixels of the input, that a trained
    network finds; both follow from the crops that it is shown. `takes`: what to start from, for messages.
    """

    task: Literal["detect", "segment"]
    takes: str
    prepare: Callable[[onnx.ModelProto, int, int], None]
    """`prepare(model, classes, seed)` gives the network that many classes, in place. Raises `BadInput`."""
    loss: Callable[[], Loss]
    """Returns the loss; it is what needs torch."""
    sizes: tuple[float, float]
    keeps_size: bool = False
    """Whether a network that was exported for one size stays at it: its operations may depend on it."""


def _prepare_centerface(model: onnx.ModelProto, classes: int, seed: int) -> None:
    outputs = [item.name for item in model.graph.output]
    if len(outputs) < 3:
        raise BadInput(f"the base has {len(outputs)} outputs; a CenterFace has heat, sizes and offsets at least")
    graph.keep_outputs(model, dict(zip(outputs[:3], ("heat", "size", "offset"), strict=True)))
    graph.open_input(model)
    graph.widen(model, "heat", classes, seed)


def _centerface_loss() -> Loss:
    from velum.train.centerface_loss import centerface_loss  # noqa: PLC0415 - it needs torch

    return centerface_loss


def _prepare_yolox(model: onnx.ModelProto, classes: int, seed: int) -> None:
    """Widen the convolution of the classes at each stride, and the shapes that follow: their first sides are fixed."""
    output = model.graph.output[0].name
    joined = graph.ancestor(model, output, "Concat")
    if joined is None or len(joined.input) != len(yolox.STRIDES):
        raise BadInput(
            f"the base has no rows of {len(yolox.STRIDES)} strides, as a YOLOX that is exported without decoding has"
        )
    levels = list(joined.input)
    graph.keep_outputs(model, {output: "output"})
    graph.open_input(model)
    for level in levels:
        reshape = graph.producer(model, level)
        parts = None if reshape is None else graph.producer(model, reshape.input[0])
        if reshape is None or reshape.op_type != "Reshape" or parts is None or parts.op_type != "Concat":
            raise BadInput("the base is no YOLOX: its rows are not put together from boxes, objectness and classes")
        graph.widen(model, parts.input[2], classes, seed)
        reshape.input[1] = graph.constant(model, f"{level} shape", [0, 5 + classes, -1])


def _yolox_loss() -> Loss:
    from velum.train.yolox_loss import yolox_loss  # noqa: PLC0415 - it needs torch

    return yolox_loss


def _prepare_lpd_yunet(model: onnx.ModelProto, classes: int, seed: int) -> None:
    """Give each prior a score of each class, and the outputs a first axis for the pictures."""
    joined = graph.ancestor(model, "loc", "Concat")
    heads = [head for name in joined.input if (head := graph.ancestor(model, name, "Conv"))] if joined else []
    if len(heads) != len(SIDES):
        raise BadInput(f"the base has no rows of {len(SIDES)} strides, as an LPD-YuNet has")
    random, nodes = np.random.default_rng(seed), model.graph.node
    for node in nodes:
        node.output[:] = [f"old {name}" if name in {"loc", "conf", "iou"} else name for name in node.output]
    columns = lpd_yunet.COLUMNS + 1 + classes + 1
    for number, (head, sides) in enumerate(zip(heads, SIDES.values(), strict=True)):
        _widen_priors(model, head, len(sides), classes, random)
        shape = graph.constant(model, f"shape {number}", [0, -1, columns])
        nodes.append(onnx.helper.make_node("Transpose", [head.output[0]], [f"last {number}"], perm=[0, 2, 3, 1]))
        nodes.append(onnx.helper.make_node("Reshape", [f"last {number}", shape], [f"rows {number}"]))
    nodes.append(onnx.helper.make_node("Concat", [f"rows {n}" for n in range(len(SIDES))], ["rows"], axis=1))
    cuts = {"loc": (0, 14), "score": (14, 15 + classes), "iou": (15 + classes, columns)}
    nodes.extend(graph.slice_last(model, "rows", made, *edges) for made, edges in cuts.items())
    nodes.append(onnx.helper.make_node("Softmax", ["score"], ["conf"], axis=2))
    graph.keep_outputs(model, {name: name for name in ("loc", "conf", "iou")})
    graph.open_input(model)


def _widen_priors(
    model: onnx.ModelProto, head: onnx.NodeProto, priors: int, classes: int, random: np.random.Generator
) -> None:
    """Repeat the score of an object in the channels of each prior, back to the convolution that mixes channels."""
    node: onnx.NodeProto | None = head
    while node is not None and node.op_type == "Conv":
        group = next((item for item in node.attribute if item.name == "group"), None)
        mixes = group is None or group.i == 1
        for name in node.input[1:]:
            old = graph.weight(model, name)
            rows = old.reshape(priors, -1, *old.shape[1:])
            objects = np.repeat(rows[:, 15:16], classes, axis=1)
            if mixes and old.ndim > 1 and classes > 1:
                objects = objects + random.normal(0, graph.NOISE * float(old.std()), objects.shape).astype(np.float32)
            wide = np.concatenate((rows[:, :15], objects, rows[:, 16:]), axis=1)
            graph.set_weight(model, name, wide.reshape(-1, *old.shape[1:]))
        if group is None or mixes:
            return
        group.i = priors * (lpd_yunet.COLUMNS + 2 + classes)
        node = graph.producer(model, node.input[0])
    raise BadInput("the base is no LPD-YuNet: the channels of its priors do not come from convolutions")


def _lpd_yunet_loss() -> Loss:
    from velum.train.lpd_yunet_loss import lpd_yunet_loss  # noqa: PLC0415 - it needs torch

    return lpd_yunet_loss


def _prepare_semantic(model: onnx.ModelProto, classes: int, seed: int) -> None:
    graph.open_input(model, batch_only=True)
    graph.replace_map(model, "masks", classes, seed)


def _mask_loss() -> Loss:
    from velum.train.mask_loss import mask_loss  # noqa: PLC0415 - it needs torch

    return mask_loss


HEADS = {
    "centerface": Head("detect", "centerface or a FILE.onnx like it", _prepare_centerface, _centerface_loss, (12, 256)),
    "yolox": Head(
        "detect", "yolox-nano, yolox-s or another YOLOX without decoding", _prepare_yolox, _yolox_loss, (16, 256)
    ),
    "lpd_yunet": Head("detect", "lpd-yunet", _prepare_lpd_yunet, _lpd_yunet_loss, (16, 256)),
    "semantic": Head(
        "segment", "pp-humanseg or another model that gives maps", _prepare_semantic, _mask_loss, (32, 256),
        keeps_size=True,
    ),
}  # fmt: skip
"""Heads by family; the families that can be trained."""


def names_of_bases(task: str) -> str:
    """Return what a training of that task can start from, for messages."""
    return ", or ".join(head.takes for head in HEADS.values() if head.task == task)


def list_bases(task: str, host: RuntimeConfig) -> list[str]:
    """Return the models of the catalogue that a training of that task can start from."""
    families = {name for name, head in HEADS.items() if head.task == task}
    return [
        name
        for name, model in registry.catalog(host).items()
        if model.family in families and Path(model.file).suffix.lower() == ".onnx"
    ]


@dataclass(frozen=True, slots=True)
class Base:
    """A network to start from. `licence` and `copyright` go into the model card: the trained model inherits them."""

    name: str
    path: Path
    family: str
    form: Input
    licence: str
    copyright: str
    sha256: str


def find_base(name: str, host: RuntimeConfig, task: str = "detect") -> Base:
    """Return the base of that name or in that ONNX file. Fetches weights that are not here.

    Raises `BadPlan` for a name that is unknown or of a family that cannot be trained for the task, `BadInput` for a
    file that cannot be, and `Unavailable` when weights cannot be fetched.
    """
    file = Path(name)
    if file.suffix.lower() == ".onnx":
        return _base_in_file(file, task)
    if file.suffix and file.is_file():
        raise BadInput(f"{file} cannot be a base: only networks in ONNX can be trained; export it as ONNX")
    model = registry.find(name, host)
    _check_family(model.family, task, f"base {model.name}", BadPlan)
    if Path(model.file).suffix.lower() != ".onnx":
        raise BadPlan(f"base {model.name} is not in ONNX: only that can be trained; take {names_of_bases(task)}")
    path = ensure_local(model, host)
    form = _trained_form(replace(family(model.family).input, **model.input), model.family, f"base {model.name}")
    return Base(model.name, path, model.family, form, model.licence, model.copyright, sha256_of(path))


def _base_in_file(path: Path, task: str) -> Base:
    files_of(path)
    network = signature(path)
    fitting = [name for name in candidates(network) if name in HEADS]
    # Rows of other families look like those of YOLOX; whether they are shows when the base is made ready.
    detected_family = (
        fitting[0] if len(fitting) == 1 and STATED not in network.metadata else family_of(network, path.name)
    )
    _check_family(detected_family, task, str(path), BadInput)
    stated = input_of(network) | stated_input(network, path.name)
    if family(detected_family).input_varies(network) and not {"mean", "scale"} & stated.keys():
        raise BadInput(
            f"{path.name} does not state how to normalise pixels for its network; run 'velum models add {path} --name "
            "NAME --labels LABEL --normalise ...', and then name it with --from NAME"
        )
    form = _trained_form(replace(family(detected_family).input, **stated), detected_family, path.name)
    return Base(path.name, path, detected_family, form, "not stated", "", sha256_of(path))


def _trained_form(form: Input, name: str, subject: str) -> Input:
    """Return the form in which a base is trained and used: of any size where its family allows that."""
    if not HEADS[name].keeps_size or form.size_wh is None:
        return replace(form, size_wh=None)
    if form.size_wh[0] != form.size_wh[1] or form.size_wh[0] % 32:
        across, down = form.size_wh
        raise BadInput(
            f"{subject} takes pictures of {across} x {down} pixels only; its sides must be equal and multiples of 32"
        )
    return replace(form, fit="letterbox")


def _check_family(name: str, task: str, subject: str, error: type[BadInput | BadPlan]) -> None:
    if name not in HEADS:
        raise error(f"{subject} is of family {name}, which velum cannot train; take {names_of_bases(task)}")
    if HEADS[name].task != task:
        gives = {"detect": "boxes", "segment": "outlines"}
        raise error(
            f"{subject} gives {gives[HEADS[name].task]}, and --task {task} trains {gives[task]}; take "
            f"{names_of_bases(task)}, or --task {HEADS[name].task}"
        )
