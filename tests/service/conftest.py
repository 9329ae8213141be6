"""A service that tests share."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient
from tests.service.factories import client, settings


@pytest.fixture(scope="session")
def usual_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service with the usual settings, for requests that it refuses, or that leave nothing which others could see."""
    with client(settings(tmp_path_factory.mktemp("usual"))) as api:
        yield api
