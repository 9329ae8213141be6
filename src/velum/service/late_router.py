"""Endpoints of a part of the API, to be added to the application."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from fastapi import APIRouter, FastAPI, params
from fastapi.utils import get_value_or_default
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Receive, Scope, Send


class LateRouter(APIRouter):
    """A router whose endpoints FastAPI analyses when they are first asked for.

    All of them take a fifth of a second, each time that a service starts; `include_router` would do it twice.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._endpoints: list[tuple[str, Callable[..., Any], dict[str, Any]]] = []

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        """Note an endpoint; `options` are those of `APIRouter.add_api_route`."""
        self._endpoints.append((path, endpoint, options))

    def add_to(self, app: "LateApp", *, prefix: str = "", dependencies: Sequence[params.Depends] = ()) -> None:
        """Add the endpoints, as `app.include_router` would."""
        for path, endpoint, options in self._endpoints:
            own = {
                "tags": [*self.tags, *(options["tags"] or [])],
                "dependencies": [*dependencies, *self.dependencies, *(options["dependencies"] or [])],
                "include_in_schema": options["include_in_schema"] and self.include_in_schema,
                "response_class": get_value_or_default(options["response_class"], self.default_response_class),
            }
            whole = prefix + self.prefix + path
            app.router.routes.append(
                _LateRoute(whole, endpoint, partial(app.router.add_api_route, whole, endpoint, **options | own), app)
            )


class LateApp(FastAPI):
    """An application with endpoints of late routers."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document, which names every endpoint."""
        for route in list(self.routes):
            if isinstance(route, _LateRoute):
                route.analyse()
        return super().openapi()


class _LateRoute(Route):
    """Takes the place of FastAPI's route until a request has its path."""

    def __init__(self, path: str, endpoint: Callable[..., Any], add: Callable[[], None], app: FastAPI) -> None:
        super().__init__(path, endpoint)
        self._add, self._app = add, app

    def analyse(self) -> BaseRoute:
        """Put FastAPI's route in the place of this one, and return it."""
        routes = self._app.router.routes
        self._add()
        route = routes.pop()
        routes[routes.index(self)] = route
        return route

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child_scope = super().matches(scope)
        return (match, child_scope) if match is Match.NONE else self.analyse().matches(scope)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        # `matches` has put the route that replaces this one into the scope.
        await scope["route"].handle(scope, receive, send)
