"""Examples that `--help` shows under the options of a command."""

_HIDE = (
    "velum hide photo.jpg",
    "velum hide photo.jpg -o safe.jpg --hide face,license_plate --with 'blur(degree=0.8)'",
    "velum hide photos/ -o safe/ --exclude '*_thumb.jpg' --report safe.jsonl",
    "velum hide photos/ -o safe/ --resume",
    "velum hide clip.mp4 --audio drop --verify",
)
_LOCATE = ("velum locate photo.jpg -o photo.regions.json", "velum hide photo.jpg --regions photo.regions.json")
_CHECK = ("velum check safe.jpg --against photo.jpg", "velum check safe.jpg --text")
_SUBMIT = ("velum submit clip.mp4 --wait", "velum submit a.jpg b.jpg -o safe/ --server http://127.0.0.1:4343")
_SERVE = ("velum serve", "velum serve --port 8070 --data service-data/ --config velum.toml")
_EVALUATE = ("velum evaluate --truth labels.json --media photos/ --html report.html",)

EXAMPLES = {
    "hide": _HIDE, "locate": _LOCATE, "check": _CHECK, "submit": _SUBMIT, "serve": _SERVE, "evaluate": _EVALUATE,
}  # fmt: skip


def examples_of(command: str) -> str:
    """Return the examples of a command as text, one a paragraph, so that the help screen keeps each on its own line."""
    return "\n\n".join(["Examples:", *(f"  {line}" for line in EXAMPLES[command])])
