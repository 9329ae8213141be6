"""Options that the commands of the service share: settings file and data folder."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from velum.settings import Settings

ConfigFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Settings file. Default: velum.toml in this folder.")
]
DataFolder = Annotated[
    Path | None,
    typer.Option("--data", metavar="FOLDER", help="Folder of jobs and keys. Default: see velum config show."),
]


def load_settings(config: Path | None, data: Path | None) -> "Settings":
    """Return the settings; `data` replaces their data folder. Raises `BadPlan` for wrong settings."""
    from velum.settings import Settings

    settings = Settings.load(file=config)
    return settings if data is None else replace(settings, jobs=replace(settings.jobs, data=data.absolute()))
