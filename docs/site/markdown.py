"""Pieces of Markdown: text that means what it says, and tables."""

import re
from collections.abc import Iterable, Sequence


def escape(text: str) -> str:
    """Return text in which Markdown changes nothing, but for code in backticks; line breaks become blanks."""
    parts = re.split(r"(`[^`]+`)", " ".join(text.split()))
    return "".join(
        part if part.startswith("`") and len(part) > 1 else re.sub(r"([*_\\<>\[\]])", r"\\\1", part) for part in parts
    )


def code(text: str) -> str:
    """Return text as code in a line; nothing for no text."""
    return f"`{text}`" if text else ""


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; cells are Markdown, without line breaks. Nothing where there are no rows."""
    lines = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in rows]
    if not lines:
        return ""
    return "\n".join(f"| {line} |" for line in (" | ".join(heads), " | ".join("---" for _ in heads), *lines)) + "\n\n"
