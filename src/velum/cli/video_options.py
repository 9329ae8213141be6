"""Options for videos, shared by `hide`, `locate` and `submit`."""

from typing import Annotated, Any

import typer

Every = Annotated[
    int | None,
    typer.Option(
        "--every", metavar="N", help="Detect in every N-th frame and track in between.", rich_help_panel="Video"
    ),
]
TwoPass = Annotated[
    bool | None,
    typer.Option(
        "--two-pass",
        help="Detect in the whole file first, so that gaps of any length are filled.",
        rich_help_panel="Video",
    ),
]
Smart = Annotated[
    bool | None,
    typer.Option(
        "--smart",
        help="Copy segments with nothing to hide; encode only the others. Two passes.",
        rich_help_panel="Video",
    ),
]
Track = Annotated[
    bool | None,
    typer.Option(
        "--track/--no-track",
        help="Track objects between detections (default), or hide detections only.",
        rich_help_panel="Video",
    ),
]
Codec = Annotated[
    str | None,
    typer.Option(
        "--codec", help="Video codec: h264, hevc, vp9, av1, ffv1. Default: as in the source.", rich_help_panel="Video"
    ),
]
Crf = Annotated[
    int | None,
    typer.Option(
        "--crf", min=0, max=63, help="Constant rate factor: lower is better and larger.", rich_help_panel="Video"
    ),
]
Preset = Annotated[
    str | None, typer.Option("--preset", help="Preset of the encoder, such as fast or slow.", rich_help_panel="Video")
]
Audio = Annotated[
    str | None, typer.Option("--audio", help="Sound: copy (default), drop or mute.", rich_help_panel="Video")
]
Subtitles = Annotated[
    str | None, typer.Option("--subtitles", help="Subtitles: copy (default) or drop.", rich_help_panel="Video")
]
OnDamage = Annotated[
    str | None,
    typer.Option(
        "--on-damage",
        help="Unreadable frames: fail (default), or cover (show black frames instead).",
        rich_help_panel="Video",
    ),
]


def video_fields(**options: Any) -> dict[str, Any]:
    """Return the options that are not None, as fields of `velum.plan.Video`."""
    return {name: value for name, value in options.items() if value is not None}
