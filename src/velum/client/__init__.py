"""The service from Python: the same methods with and without `await`. Needs the extra `remote`.

>>> from velum.client import Client
>>> with Client("http://127.0.0.1:4343") as velum:  # doctest: +SKIP
...     velum.hide("photo.jpg", "safe.jpg", "street")
...     job = velum.wait(velum.submit("clip.mp4", "street"))
...     velum.result(job, "safe.mp4")

Failures are the errors of `velum.errors`, with the text of the service. Where the service cannot be reached it is
`Unavailable`.
"""

import warnings
from typing import Any

from velum.client.client import AsyncClient, Client
from velum.client.errors import Busy, Conflict, Denied, Expired, NotFound, Oversized
from velum.client.models import (
    HiddenFile,
    Job,
    JobFailure,
    LabelInfo,
    ModelInfo,
    NamedPlan,
    NamedRule,
    State,
    TechniqueInfo,
    Upload,
)

__all__ = [
    "AsyncClient",
    "Busy",
    "Client",
    "Conflict",
    "Denied",
    "Expired",
    "HiddenFile",
    "Job",
    "JobFailure",
    "LabelInfo",
    "ModelInfo",
    "NamedPlan",
    "NamedRule",
    "NotFound",
    "Oversized",
    "State",
    "TechniqueInfo",
    "Upload",
]

_OLD_NAMES = {
    "Failure": JobFailure,
    "Hidden": HiddenFile,
    "Label": LabelInfo,
    "Model": ModelInfo,
    "Technique": TechniqueInfo,
}
"""Old names, which the next version removes."""


def __getattr__(name: str) -> Any:
    if name not in _OLD_NAMES:
        raise AttributeError(f"module 'velum.client' has no attribute {name!r}")
    new = _OLD_NAMES[name]
    warnings.warn(f"velum.client.{name} is now called velum.client.{new.__name__}", DeprecationWarning, stacklevel=2)
    return new
