"""`velum mcp`: a server of the Model Context Protocol for assistants, over standard input and output."""

import os
import signal
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from velum.cli import common
from velum.errors import Unavailable

EXIT_TERMINATED = 143


def mcp(
    folders: Annotated[
        list[str],
        typer.Option(
            "--folder",
            metavar="DIR[:ro]",
            help="A folder that assistants may use; with :ro they only read. Repeatable.",
        ),
    ],
    time_limit: Annotated[
        str, typer.Option("--time-limit", metavar="TIME", help="Most time for one file, such as 90s, 10m or 2h.")
    ] = "10m",
) -> None:
    """Serve assistants over the Model Context Protocol: inspect, hide and read reports in the folders you name."""
    import anyio

    from velum.assistant.folders import open_folders
    from velum.atomic import folder_next_to
    from velum.settings import Settings
    from velum.settings.describe import offline_environment

    seconds = common.parse_duration(time_limit, "--time-limit")
    shared = open_folders(folders)
    try:
        from velum.assistant.server import Assistant
    except ImportError as error:
        raise Unavailable(f"velum mcp needs the package mcp ({error}); pip install 'velum-anonymizer[mcp]'") from error
    with folder_next_to(Path(tempfile.gettempdir()) / "velum-mcp") as private:
        assistant = Assistant(
            shared, private, seconds=seconds, most_bytes=Settings.load().limits().bytes,
            environment=offline_environment(),
        )  # fmt: skip

        def end(*_: object) -> None:
            # The thread that waits for standard input would keep the process alive.
            assistant.stop()
            os._exit(EXIT_TERMINATED)

        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, end)
        anyio.run(assistant.server().run_stdio_async)
