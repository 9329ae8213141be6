"""What the commands of the service share: which settings file, and where its data is."""

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
    typer.Option("--data", metavar="FOLDER", help="Where jobs and keys are kept. Default: see velum config show."),
]


def load_settings(config: Path | None, data: Path | None) -> "Settings":
    """Return the settings, with the folder of data that the command line says. Raises `BadPlan`."""
    from velum.settings import Settings

    settings = Settings.load(file=config)
    return settings if data is None else replace(settings, jobs=replace(settings.jobs, data=data.absolute()))
