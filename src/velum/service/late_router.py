"""Endpoints of a part of the API, to be added to the application."""

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI, params
from fastapi.utils import get_value_or_default


class LateRouter(APIRouter):
    """A router whose endpoints FastAPI analyses once, in `add_to`.

    With `include_router` it does so twice, here and with the first request: a third of a second for all endpoints.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._endpoints: list[tuple[str, Callable[..., Any], dict[str, Any]]] = []

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        """Note an endpoint; `options` are those of `APIRouter.add_api_route`."""
        self._endpoints.append((path, endpoint, options))

    def add_to(self, app: FastAPI, *, prefix: str = "", dependencies: Sequence[params.Depends] = ()) -> None:
        """Add the endpoints, as `app.include_router` would."""
        for path, endpoint, options in self._endpoints:
            own = {
                "tags": [*self.tags, *(options["tags"] or [])],
                "dependencies": [*dependencies, *self.dependencies, *(options["dependencies"] or [])],
                "include_in_schema": options["include_in_schema"] and self.include_in_schema,
                "response_class": get_value_or_default(options["response_class"], self.default_response_class),
            }
            app.router.add_api_route(prefix + self.prefix + path, endpoint, **options | own)
