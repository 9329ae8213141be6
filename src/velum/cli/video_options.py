"""Options that only videos need, shared by the commands that take them."""

from typing import Annotated, Any

import typer

Every = Annotated[
    int | None,
    typer.Option("--every", metavar="N", help="Look in each N-th frame, follow in between.", rich_help_panel="Video"),
]
TwoPass = Annotated[
    bool | None,
    typer.Option("--two-pass", help="Look through the whole file first: no gap is too long.", rich_help_panel="Video"),
]
Smart = Annotated[
    bool | None,
    typer.Option(
        "--smart", help="Copy what has nothing to hide, encode the rest. Takes two passes.", rich_help_panel="Video"
    ),
]
Track = Annotated[
    bool | None,
    typer.Option(
        "--track/--no-track", help="Follow things between finds (default), or hide only finds.", rich_help_panel="Video"
    ),
]
Codec = Annotated[
    str | None,
    typer.Option("--codec", help="h264, hevc, vp9, av1, ffv1, ... Default: like the source.", rich_help_panel="Video"),
]
Crf = Annotated[
    int | None,
    typer.Option("--crf", min=0, max=63, help="Quality of the codec; lower is better.", rich_help_panel="Video"),
]
Preset = Annotated[
    str | None, typer.Option("--preset", help="Speed of the encoder, by its own names.", rich_help_panel="Video")
]
Audio = Annotated[str | None, typer.Option("--audio", help="copy (default), drop or mute.", rich_help_panel="Video")]
Subtitles = Annotated[str | None, typer.Option("--subtitles", help="copy (default) or drop.", rich_help_panel="Video")]
OnDamage = Annotated[
    str | None,
    typer.Option(
        "--on-damage",
        help="fail (default), or cover: black frames for those that cannot be read.",
        rich_help_panel="Video",
    ),
]


def given(**options: Any) -> dict[str, Any]:
    """Return those options that were given, as fields of a plan's video settings."""
    return {name: value for name, value in options.items() if value is not None}
