"""Every error velum raises on purpose.

    VelumError
    ├── BadInput       (ValueError)    the source is unreadable, damaged or of an unknown kind      exit 3, HTTP 422
    ├── BadPlan        (ValueError)    the plan names or asks the impossible                        exit 4, HTTP 422
    ├── LimitExceeded  (ValueError)    the source is larger than the limits allow                   exit 5, HTTP 413
    ├── Unavailable    (RuntimeError)  an extra, weights, a device or a remote service is missing   exit 6, HTTP 503
    │   └── MissingWeights             weights of models are not here and cannot be fetched
    ├── PluginFault    (RuntimeError)  a part broke its contract                                    exit 7, HTTP 500
    ├── OutputFailed   (OSError)       the result could not be published; nothing was               exit 8, HTTP 500
    └── NotHidden      (RuntimeError)  the check of the finished file found something               exit 9, HTTP 422

A message says what failed, the value, what is allowed and what to do. Errors of other libraries are translated in the
one file that imports the library.
"""

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

_ESCAPED = {"Cc", "Cs", "Zl", "Zp"}
"""Categories of control characters, of bytes of a name that are not UTF-8, and of separators of lines."""

_REORDERING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that show others in another order (Unicode, UAX 9): a name could look like another one."""


class VelumError(Exception):
    """Base of every error that velum raises on purpose."""

    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500
    code: ClassVar[str] = "VelumError"
    """Name of the error for programs: in JSON, in problem details, in metrics. It stays when the class is renamed."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "code" not in cls.__dict__:
            cls.code = cls.__name__


class BadInput(VelumError, ValueError):
    """The source cannot be read: damaged, empty, of an unknown kind, or not a file."""

    exit_code = 3
    http_status = 422


class BadPlan(VelumError, ValueError):
    """The plan names something that does not exist or asks for something impossible."""

    exit_code = 4
    http_status = 422


class LimitExceeded(VelumError, ValueError):
    """The source is larger than the limits allow.

    `limit` is the name of a field of `Limits`, `value` the value of the source, `allowed` the limit.
    """

    exit_code = 5
    http_status = 413

    def __init__(self, limit: str, value: float, allowed: float, what: str) -> None:
        super().__init__(
            f"{what} has {value:,} {limit}, more than the {allowed:,} allowed; raise the limit to accept it"
        )
        self.limit = limit
        self.value = value
        self.allowed = allowed


class Unavailable(VelumError, RuntimeError):
    """Something the plan needs is not here: an extra, weights, a device, a remote service."""

    exit_code = 6
    http_status = 503


@dataclass(frozen=True, slots=True)
class WeightsGap:
    """A model whose weights are not available: its name, its file, and the reasons, one line for each attempt."""

    model: str
    file: str
    reasons: tuple[str, ...] = ()
    forbidden: bool = False
    """Whether nothing was tried, since fetching is forbidden."""


class MissingWeights(Unavailable):
    """Weights that are needed are not on this machine and cannot be fetched; `gaps` has one entry for each model."""

    def __init__(self, message: str, gaps: tuple[WeightsGap, ...] = ()) -> None:
        super().__init__(message)
        self.gaps = gaps


class PluginFault(VelumError, RuntimeError):
    """A localizer or technique broke its contract; the message names it."""

    exit_code = 7
    http_status = 500


class OutputFailed(VelumError, OSError):
    """The result could not be written. Nothing was published and nothing half-written remains."""

    exit_code = 8
    http_status = 500


class NotHidden(VelumError, RuntimeError):
    """The finished file shows something that it should not, or holds it. Nothing was published."""

    exit_code = 9
    http_status = 422


@contextmanager
def names_for_places(place: object, name: str) -> Iterator[None]:
    """Have errors that are raised inside call a file by its name: where it lies is nobody's business."""
    try:
        yield
    except VelumError as error:
        error.args = (str(error).replace(str(place), name), *error.args[1:])
        raise


def printable(text: str) -> str:
    """Return a text with escapes for characters that a terminal would act on."""
    if text.isprintable():
        return text
    return "".join(char.encode("unicode_escape").decode() if _is_escaped(char) else char for char in text)


def _is_escaped(char: str) -> bool:
    return unicodedata.category(char) in _ESCAPED or char in _REORDERING
