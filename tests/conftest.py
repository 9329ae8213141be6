"""Fixtures that more than one folder of tests needs."""

from pathlib import Path

import pytest

import velum.locate.runtime  # noqa: F401 - before any test imports OpenVINO itself: keeps its telemetry off


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with real weights and media; lies next to a working checkout, and is no part of it."""
    folder = Path(__file__).parents[2] / "shared"
    if not (folder / "media" / "ground_truth.json").is_file():
        pytest.skip("the folder with real weights and media, ../shared, is not here")
    return folder
