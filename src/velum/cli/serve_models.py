"""`velum serve-models`: serve local models through a BMW inference API."""

import re
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from velum.errors import BadPlan, Unavailable

if TYPE_CHECKING:
    from fastapi import FastAPI

    from velum.bmw.inference_server.loaded_models import LoadedModel
    from velum.bmw.inference_server.profiles import ApiVariant
    from velum.engine.part_cache import PartCache
    from velum.plugins import RuntimeConfig
    from velum.settings.schema import ServiceSettings

ProfileName = Annotated[
    str, typer.Option("--profile", metavar="NAME", help="Inference API to speak: openvino-detection, yolo, ...")
]
Models = Annotated[
    list[str],
    typer.Option("--models", metavar="NAME", help="Models to serve, separated by commas. Default: the face detector."),
]
Folder = Annotated[
    Path | None,
    typer.Option("--folder", metavar="DIR", help="Serve all BMW model folders in this folder under their names."),
]
Address = Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")]
Port = Annotated[
    int | None,
    typer.Option("--port", metavar="N", min=0, max=65535, help="Port to listen on. Default: that of the profile."),
]
Hashes = Annotated[
    Path | None,
    typer.Option("--hashes", metavar="DIR", help="Folder in which model_hash.json keeps the ids of the models."),
]
Parallel = Annotated[
    int, typer.Option("--parallel", metavar="N", min=1, help="Images that are processed at the same time.")
]
Upload = Annotated[int, typer.Option("--upload-mb", metavar="N", min=1, help="Largest request, in megabytes.")]
Wait = Annotated[
    bool, typer.Option("--wait-for-load", help="List a model only after /load was called, as YOLO servers do.")
]


def serve_models(
    profile: ProfileName,
    names: Models = [],
    folder: Folder = None,
    host: Address = "127.0.0.1",
    port: Port = None,
    hashes: Hashes = None,
    parallel: Parallel = 2,
    upload_mb: Upload = 256,
    wait_for_load: Wait = False,
) -> None:
    """Serve local models as one of the BMW inference APIs."""
    create_app = _load_app_factory()
    from velum.bmw.inference_server.endpoints import Capacity
    from velum.bmw.inference_server.ocr import Ocr
    from velum.bmw.inference_server.profiles import profile as find_profile
    from velum.cli.progress import fetch_progress
    from velum.engine.part_cache import PartCache
    from velum.limits import WAITED_SECONDS, Limits
    from velum.service.middleware.origins import Sites
    from velum.settings import Settings

    settings, chosen = Settings.load(), find_profile(profile)
    limits = Limits(**{"work_seconds": WAITED_SECONDS, **settings.limit})
    with fetch_progress() as progress:
        local = settings.host(progress)
        with (
            _closing(PartCache(local)) as parts,
            _load_models(_split_names(names), folder, chosen, parts, local, hashes) as models,
        ):
            app = create_app(
                chosen, models, limits=limits, texts=Ocr.of(parts, local),
                capacity=Capacity(parallel, upload=upload_mb << 20), wait_for_load=wait_for_load,
                sites=Sites((*settings.access.hosts, host), settings.access.origins),
            )  # fmt: skip
            with _listening(host, chosen.port if port is None else port) as bound:
                where = "http://{}:{}/".format(f"[{host}]" if ":" in host else host, bound.getsockname()[1])
                typer.echo(f"serving {', '.join(model.name for model in models)} as {chosen.name} at {where}")
                _run(app, bound, settings.service)


def _load_app_factory() -> "Callable[..., FastAPI]":
    try:
        import uvicorn  # noqa: F401 - asked for here, so that it is missed before models are loaded

        from velum.bmw.inference_server.app import create_app
    except ImportError as error:
        raise Unavailable(
            f"serving models needs a library that is not installed ({error}); pip install 'velum-anonymizer[service]'"
        ) from error
    return create_app


def _split_names(names: list[str]) -> list[str]:
    """Return the model names in repeated options; commas outside parentheses separate names."""
    parts = [name.strip() for text in names for name in re.split(r",(?![^(]*\))", text)]
    return [name for name in parts if name]


@contextmanager
def _load_models(
    names: list[str],
    folder: Path | None,
    profile: "ApiVariant",
    parts: "PartCache",
    host: "RuntimeConfig",
    hashes: Path | None,
) -> "Iterator[list[LoadedModel]]":
    """Yield the models to serve. Models of `folder` are imported into a temporary folder for that time."""
    from velum.bmw.inference_server.loaded_models import from_folder, from_names
    from velum.engine.part_cache import PartCache

    if not names and folder is None:
        names = [_default(profile)]
    models = from_names(names, profile, parts, host, hashes)
    if folder is None:
        yield models
        return
    with TemporaryDirectory(prefix="velum-models-") as temporary:
        private = replace(host, models=Path(temporary))
        with _closing(PartCache(private)) as own:
            models += from_folder(folder, profile, own, private, hashes)
            twice = {model.name for model in models if [other.name for other in models].count(model.name) > 1}
            if twice:
                raise BadPlan(f"{', '.join(sorted(twice))} is both named and in {folder}; leave it out of --models")
            yield models


def _default(profile: "ApiVariant") -> str:
    from velum.locate.registry import default_model

    if profile.kind == "segmentation":
        raise BadPlan(f"profile {profile.name} needs a segmentation model; name one with --models, or give --folder")
    return default_model().name


@contextmanager
def _closing(parts: "PartCache") -> "Iterator[PartCache]":
    try:
        yield parts
    finally:
        parts.close()


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """Yield a socket that listens at an address. Raises `Unavailable` when it cannot."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        bound = socket.create_server((host, port), family=family)
    except OSError as error:
        raise Unavailable(
            f"cannot listen at {host}, port {port}: {error.strerror or error}; choose another with --host and --port"
        ) from error
    with bound:
        yield bound


def _run(app: "FastAPI", bound: socket.socket, service: "ServiceSettings") -> None:
    import uvicorn

    from velum.service.timed_protocol import timed_protocol

    # The access log would contain the names that clients give their models, and nothing useful.
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, timeout_graceful_shutdown=30,
        http=timed_protocol(service.head_seconds, service.idle_seconds),
    )  # fmt: skip
    # Uvicorn stops in good order at a signal, and then sends it once more: it must end this call and not the process,
    # which still has files to remove.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        uvicorn.Server(config).run(sockets=[bound])
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)
