"""The pages of the Python interface: which names are public. The texts are filled in from the docstrings."""

import inspect
from collections.abc import Iterable

import velum
from velum import client, plugins
from velum.errors import VelumError

INTRODUCTION = """# Python

Names that programs may rely on. Import them from `velum`; they are loaded when they are first used, so that
`import velum` costs next to nothing.

"""

EXTENDING = """# Python, for parts of your own

The two seams at which others add to velum, and what crosses them: a *localizer* finds regions in frames, a *technique*
hides a region. Import these names from the module in front of them. [Techniques](../techniques.md) and the
[examples](../examples.md) show whole ones.

"""

CLIENT = """# Python, for clients of a service

Import these from `velum.client`; that needs the extra `remote`. [The client](../client.md) shows how they are used.

"""

FIRST = ("anonymize", "anonymize_pixels", "Engine", "Plan", "Rule")


def python_pages() -> dict[str, str]:
    """Return the Markdown of the pages, by their paths in the site."""
    public = [*FIRST, *(name for name in velum.__all__ if name not in FIRST and not _is_error(name))]
    errors = [name for name in velum.__all__ if _is_error(name)]
    parts = [f"velum.plugins.{name}" for name in _classes_of_plugins()]
    values = ["velum.frame.Frame", "velum.frame.Plane", "velum.frame.Role", "velum.testing.check_technique"]
    return {
        "python/index.md": INTRODUCTION
        + _directives(f"velum.{name}" for name in public)
        + "## Errors\n\n"
        + _directives((f"velum.{name}" for name in errors), level=3),
        "python/parts.md": EXTENDING + _directives((*parts, *values), full=True),
        "python/client.md": CLIENT + _directives(f"velum.client.{name}" for name in client.__all__),
    }


def _is_error(name: str) -> bool:
    value = getattr(velum, name)
    return inspect.isclass(value) and issubclass(value, VelumError)


def _classes_of_plugins() -> list[str]:
    """Return the classes that `velum.plugins` defines, but for those that the page before has."""
    return [
        name
        for name, value in vars(plugins).items()
        if inspect.isclass(value)
        and value.__module__ == plugins.__name__
        and name not in velum.__all__
        and name[0] != "_"
    ]


def _directives(names: Iterable[str], *, level: int = 2, full: bool = False) -> str:
    """Return one directive for each name, which the builder replaces by its signature and docstring."""
    options = f"    options:\n      heading_level: {level}\n      show_root_full_path: {str(full).lower()}\n"
    return "".join(f"::: {name}\n{options}\n" for name in names)
