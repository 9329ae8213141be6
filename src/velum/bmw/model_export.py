"""Writes a model as a folder that the BMW OpenVINO detection inference API loads; `velum.bmw.folders` reads it."""

import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from velum.errors import BadPlan, OutputFailed
from velum.locate import registry
from velum.locate.output_formats import Family, family
from velum.locate.weights.fetch import ensure_local
from velum.plugins import RuntimeConfig

KINDS = ("openvino-detection",)
"""What a model can be exported as."""

SIZE_WH = 960, 544
"""Size to which the service scales every picture, where none is chosen."""


def export_model(name: str, kind: str, target: Path, host: RuntimeConfig, size_wh: tuple[int, int] = SIZE_WH) -> None:
    """Write the model folder `target`, whole or not at all.

    Raises `BadPlan` for an unknown name or kind, a size out of range, and a model of a family that cannot be exported,
    `OutputFailed` when the folder exists or cannot be written.
    """
    from velum.locate.runtime.detection_output import DECODERS, write_detector  # noqa: PLC0415 - loads OpenVINO

    if kind not in KINDS:
        raise BadPlan(f"--as is {kind!r}; it must be {' or '.join(KINDS)}")
    if any(side % 32 or not 96 <= side <= 2048 for side in size_wh):
        raise BadPlan(f"size is {size_wh[0]}x{size_wh[1]}; both sides must be multiples of 32 from 96 to 2048")
    model = registry.find(name, host)
    detector = family(model.family)
    if model.family not in DECODERS or not isinstance(detector, Family):
        raise BadPlan(
            f"model {model.name} is of family {model.family}; only {', '.join(sorted(DECODERS))} can be exported as "
            f"{kind}"
        )
    if target.exists():
        raise OutputFailed(f"{target} exists; choose another folder, or remove it")
    path = ensure_local(model, host)
    form = replace(detector.input, **{**model.input, "size_wh": None})
    threshold = model.effort["balanced"].image.threshold if "balanced" in model.effort else model.threshold
    config = {
        "inference_engine_name": "openvino_detection", "framework": "openvino", "type": "detection",
        "network": model.family, "confidence": max(1, int(threshold * 100)), "predictions": 200,
        "number_of_classes": len(model.labels),
    }  # fmt: skip
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".velum-export-", dir=target.parent) as room:
            folder = Path(room) / "model"
            folder.mkdir()
            write_detector(path, model.family, form, size_wh, detector.nms_iou or 0.5, folder / f"{target.name}.xml")
            (folder / "classes.txt").write_text("".join(f"{label}\n" for label in model.labels), encoding="utf-8")
            (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
            shutil.move(folder, target)
    except OSError as error:
        raise OutputFailed(f"{target} cannot be written: {error.strerror or error}") from error
