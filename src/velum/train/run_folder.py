"""The folder of a training: request, progress, best state, and at the end the model with its report and card.

    run.json        the request, the split, and the hash of each picture
    state.pt        all that is needed to continue
    progress.jsonl  a line for each look at the held-out pictures
    model.onnx      the best state so far
    model.xml .bin  the same as OpenVINO IR
    evaluation.json report.html  how good it is on the held-out part
    card.json card.md            what it was made from
    labels.jpg      labelled pictures, drawn, until the training begins

Each file is replaced in one step: whatever ends a training, the folder holds the last good state.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self

from velum import __version__
from velum.atomic import publish
from velum.errors import BadInput, BadPlan, OutputFailed

FORMAT = "velum-training/1"

Mode = Literal["start", "resume", "report"]
"""Begin anew, continue from the last state, or make the model of the best state, which needs no torch."""

TASKS = ("detect", "segment")
"""What can be trained: boxes, and outlines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRequest:
    """The request for a training. Paths are absolute."""

    truth: str
    media: str | None = None
    labels: tuple[str, ...] = ()
    task: str = "detect"
    base: str
    group: str | None = None
    seed: int = 1
    steps: int | None = None
    seconds: float | None = None
    batch: int = 6
    side: int = 288
    rate: float = 5e-4
    recall: float = 0.95
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("task", self.task, TASKS), ("device", self.device, ("cpu", "cuda")),
        ):  # fmt: skip
            if value not in allowed:
                raise BadPlan(f"{name} is {value!r}; it must be {' or '.join(allowed)}")
        for name, number, low, high in (
            ("steps", self.steps, 1, 10_000_000), ("budget in seconds", self.seconds, 1, 30 * 86400),
            ("batch", self.batch, 1, 256), ("side", self.side, 96, 1024), ("rate", self.rate, 1e-7, 1),
            ("recall", self.recall, 0.01, 1), ("seed", self.seed, 0, 2**31),
        ):  # fmt: skip
            if number is not None and not low <= number <= high:
                raise BadPlan(f"{name} is {number:g}; it must be from {low:g} to {high:g}")
        if self.side % 32:
            raise BadPlan(f"side is {self.side}; it must be a multiple of 32, such as 288")

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the request of a JSON object. Raises `BadPlan` for values out of range, `TypeError` for others."""
        names = {field.name for field in fields(cls)}
        stated: dict[str, Any] = {key: item for key, item in value.items() if key in names}
        return cls(**{**stated, "labels": tuple(value["labels"])})


@dataclass(frozen=True, slots=True)
class Run:
    """A training that has begun, as `run.json` describes it."""

    request: TrainingRequest
    labels: tuple[str, ...]
    train: Mapping[str, str]
    """Name of each picture that is trained with -> SHA-256 of its file."""
    held_out: Mapping[str, str]
    notes: tuple[str, ...]
    began: str
    """UTC, in the form of ISO 8601."""

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {
            "format": FORMAT, "velum": __version__, "request": asdict(self.request), "labels": list(self.labels),
            "train": dict(self.train), "held_out": dict(self.held_out), "notes": list(self.notes),
            "began": self.began,
        }  # fmt: skip


class RunFolder:
    """The folder of one training."""

    def __init__(self, path: Path) -> None:
        """Nothing is read or written yet."""
        self.path = path

    @property
    def name(self) -> str:
        """Name of the folder, and of the model."""
        return self.path.name

    @property
    def model(self) -> Path:
        """The best state so far, as ONNX."""
        return self.path / "model.onnx"

    @property
    def state(self) -> Path:
        """The file with all that is needed to continue."""
        return self.path / "state.pt"

    @property
    def sheet(self) -> Path:
        """Labelled pictures, drawn. They show people: only the user may read them, and `begin` deletes them."""
        return self.path / "labels.jpg"

    def write_sheet(self, jpeg: bytes) -> None:
        """Replace the sheet, in a folder that is made where there is none. Raises `OutputFailed`."""
        self._make()
        with publish(self.sheet, overwrite=True, mode=0o600) as part:
            part.write_bytes(jpeg)

    def begin(self, run: Run, *, replace: bool) -> None:
        """Make the folder. Raises `OutputFailed` where it exists and may not be replaced, or cannot be made."""
        self.check_free(replace=replace)
        self._make()
        for name in _OWN_FILES:
            (self.path / name).unlink(missing_ok=True)
        self.write_run(run)

    def _make(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputFailed(f"cannot make the folder {self.path}: {error.strerror or error}") from error

    def write_run(self, run: Run) -> None:
        """Write `run.json`. Raises `OutputFailed`."""
        self.write_text("run.json", json.dumps(run.to_json(), indent=1, ensure_ascii=False) + "\n")

    def check_free(self, *, replace: bool) -> None:
        """Raise `OutputFailed` for a folder with other files, or with a training that is not to be replaced."""
        if not self.path.exists() or (self.path.is_dir() and not set(self.path.iterdir()) - {self.sheet}):
            return
        if not (self.path / "run.json").is_file():
            raise OutputFailed(f"{self.path} exists and is no folder of a training; choose another name with -o")
        if not replace:
            raise OutputFailed(
                f"{self.path} holds a training already; go on with 'velum train resume {self.path}', replace it with "
                "--replace, or choose another name with -o"
            )

    def read(self) -> Run:
        """Return the training that `run.json` describes. Raises `BadInput` where there is none."""
        path = self.path / "run.json"
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            if value["format"] != FORMAT:
                raise BadInput(f"{path} is of format {value['format']!r}; this velum reads {FORMAT!r}")
            return Run(
                TrainingRequest.from_json(value["request"]), tuple(value["labels"]), value["train"], value["held_out"],
                tuple(value["notes"]), value["began"],
            )  # fmt: skip
        except FileNotFoundError as error:
            raise BadInput(
                f"{self.path} holds no training; give the folder that 'velum train' has written with -o"
            ) from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadInput(f"{path} cannot be read: {error}; begin anew with --replace") from error

    def write_text(self, name: str, text: str) -> None:
        """Replace a file. Raises `OutputFailed`."""
        self.write_bytes(name, text.encode())

    def write_bytes(self, name: str, content: bytes) -> None:
        """Replace a file. Raises `OutputFailed`."""
        with publish(self.path / name, overwrite=True) as part:
            part.write_bytes(content)

    def add_look(self, look: Mapping[str, Any]) -> None:
        """Add a line to the progress. Raises `OutputFailed`."""
        lines = [json.dumps(entry) for entry in (*self.looks(), look)]
        self.write_text("progress.jsonl", "\n".join(lines) + "\n")

    def looks(self) -> Sequence[Mapping[str, Any]]:
        """Return the lines of the progress, none where there is none. Raises `BadInput`."""
        path = self.path / "progress.jsonl"
        if not path.exists():
            return []
        try:
            return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        except (OSError, ValueError) as error:
            raise BadInput(f"{path} cannot be read: {error}") from error


_OWN_FILES = (
    "state.pt", "progress.jsonl", "model.onnx", "model.xml", "model.bin", "evaluation.json", "report.html", "card.json",
    "card.md", "labels.jpg",
)  # fmt: skip
