"""Shows the examples in docstrings as code; without headings of their own they would be taken for quotations."""

from typing import Any

from griffe import Extension, Object


class DoctestFences(Extension):  # type: ignore[misc]  # griffe is where the site is built
    """Puts a fence around every run of lines that begins with `>>>`."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Change the docstring of one object as it is loaded."""
        if obj.docstring and ">>> " in obj.docstring.value:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(text: str) -> str:
    """Return a docstring with fences; what a test runner is told in comments is left out."""
    lines: list[str] = []
    inside = False
    for line in text.splitlines():
        example = line.startswith((">>> ", "... ")) or (inside and bool(line.strip()))
        if example != inside:
            lines.append("```pycon" if example else "```")
            inside = example
        lines.append(line.split("  # doctest:")[0])
    return "\n".join([*lines, "```"] if inside else lines)
