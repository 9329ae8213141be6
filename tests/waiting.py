"""Waiting for events elsewhere: until they have happened, never for a fixed time."""

import time
from collections.abc import Callable
from typing import Any

LONGEST_SECONDS = 60.0
"""For what hangs; a busy machine may be slow."""


def until(told: Callable[[], Any]) -> Any:
    """Return what `told` gives as soon as that is true."""
    end = time.monotonic() + LONGEST_SECONDS
    while not (value := told()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
    return value
