"""HTML pages of reports: one style, tables and lists, with every text escaped."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light; font: 15px/1.5 system-ui, sans-serif; color: #1b1f24; background: #fff; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; } h3 { font-size: 1rem; margin: 0; }
.standing { display: inline-block; margin: .75rem 0; padding: .2rem .8rem; border: 2px solid; border-radius: 1rem;
  font-weight: 600; }
.good { color: #11632f; } .bad { color: #a31621; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid #d5dae0; }
th { font-weight: 600; }
code { font: .85em/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
ul { margin: .3rem 0; padding-left: 1.2rem; }
@page { size: A4; margin: 18mm 15mm; }
@media print {
  :root { font-size: 10pt; } body { max-width: none; margin: 0; padding: 0; }
  tr { break-inside: avoid; } h2, h3 { break-after: avoid; }
}
"""


def document(title: str, style: str, parts: Iterable[str]) -> str:
    """Return an HTML page of `parts`, which are HTML, with more `style` sheets."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}{style}</style></head>\n'
        f"<body>\n{chr(10).join(parts)}\n</body></html>\n"
    )


def table(rows: Mapping[str, str]) -> str:
    """Return a table with a row for each name and its cell, which is HTML."""
    return (
        "<table>"
        + "".join(f'<tr><th class="name">{escape(name)}</th><td>{html}</td></tr>' for name, html in rows.items())
        + "</table>"
    )


def grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of texts under a row of headings."""
    above = "".join(f"<th>{escape(heading)}</th>" for heading in head)
    below = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{above}</tr></thead><tbody>{below}</tbody></table>"


def bullet_list(lines: Iterable[Any]) -> str:
    """Return a bullet list of texts."""
    return "<ul>" + "".join(f"<li>{text(line)}</li>" for line in lines) + "</ul>"


def link_list(links: Mapping[str, str]) -> str:
    """Return a bullet list of texts, each a link to its address unless that is empty."""
    lines = (f'<a href="{escape(to)}">{escape(name)}</a>' if to else escape(name) for name, to in links.items())
    return "<ul>" + "".join(f"<li>{line}</li>" for line in lines) + "</ul>"


def code(value: Any) -> str:
    """Return a value in a fixed-width font."""
    return f"<code>{text(value)}</code>"


def text(value: Any) -> str:
    """Return a value as escaped text; None as `not known`."""
    return escape(str("not known" if value is None else value))
