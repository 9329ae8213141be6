"""The service from Python: the same methods with and without `await`. Needs the extra `remote`.

>>> from velum.client import Client
>>> with Client("http://127.0.0.1:4343") as velum:  # doctest: +SKIP
...     velum.hide("photo.jpg", "safe.jpg", "street")
...     job = velum.wait(velum.submit("clip.mp4", "street"))
...     velum.result(job, "safe.mp4")

Failures are the errors of `velum.errors`, with the text of the service. Where the service cannot be reached it is
`Unavailable`.
"""

from velum.client.awaiting import AsyncClient
from velum.client.blocking import Client
from velum.client.refusals import Busy, Conflict, Denied, Expired, NotFound, Oversized
from velum.client.values import (
    Failure,
    Hidden,
    Job,
    Label,
    Model,
    NamedPlan,
    NamedRule,
    State,
    Technique,
    Upload,
)

__all__ = [
    "AsyncClient",
    "Busy",
    "Client",
    "Conflict",
    "Denied",
    "Expired",
    "Failure",
    "Hidden",
    "Job",
    "Label",
    "Model",
    "NamedPlan",
    "NamedRule",
    "NotFound",
    "Oversized",
    "State",
    "Technique",
    "Upload",
]
