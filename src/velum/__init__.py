"""velum hides what identifies people in images and videos.

>>> import velum
>>> report = velum.anonymize("in.jpg", "out.jpg")  # doctest: +SKIP
"""

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from velum.annotations import Annotations
    from velum.engine.engine import Engine, anonymize, anonymize_pixels
    from velum.errors import (
        BadInput,
        BadPlan,
        LimitExceeded,
        OutputFailed,
        PluginFault,
        Unavailable,
        VelumError,
    )
    from velum.limits import Limits
    from velum.plan import Plan, Rule
    from velum.plugins import RuntimeConfig
    from velum.region import Box, Region
    from velum.report import Report
    from velum.spec import PartSpec

__version__ = "0.1.0"

# Names are loaded at first use: `import velum` costs nothing, and a mistake in a plan is found without loading OpenCV.
_HOMES = {
    "Engine": "velum.engine.engine",
    "anonymize": "velum.engine.engine",
    "anonymize_pixels": "velum.engine.engine",
    "BadInput": "velum.errors",
    "BadPlan": "velum.errors",
    "LimitExceeded": "velum.errors",
    "OutputFailed": "velum.errors",
    "PluginFault": "velum.errors",
    "Unavailable": "velum.errors",
    "VelumError": "velum.errors",
    "Annotations": "velum.annotations",
    "Limits": "velum.limits",
    "Plan": "velum.plan",
    "Rule": "velum.plan",
    "PartSpec": "velum.spec",
    "RuntimeConfig": "velum.plugins",
    "Box": "velum.region",
    "Region": "velum.region",
    "Report": "velum.report",
}

__all__ = [
    "Annotations",
    "BadInput",
    "BadPlan",
    "Box",
    "Engine",
    "LimitExceeded",
    "Limits",
    "OutputFailed",
    "PartSpec",
    "Plan",
    "PluginFault",
    "Region",
    "Report",
    "Rule",
    "RuntimeConfig",
    "Unavailable",
    "VelumError",
    "anonymize",
    "anonymize_pixels",
]


_OLD_NAMES = {"Findings": "Annotations", "Host": "RuntimeConfig", "Use": "PartSpec"}
"""Names of the last version, which the next one no longer has."""


def __getattr__(name: str) -> Any:
    if new := _OLD_NAMES.get(name):
        warnings.warn(f"velum.{name} is now called velum.{new}", DeprecationWarning, stacklevel=2)
        return getattr(import_module(_HOMES[new]), new)
    if name not in _HOMES:
        raise AttributeError(f"module 'velum' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
