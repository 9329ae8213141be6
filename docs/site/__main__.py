"""The site of the documentation, in two steps around its builder; `make docs` takes all three.

python -m docs.site write build/docs     its sources: the pages of docs/, and those that are generated
zensical build --strict --config-file build/docs/zensical.toml
python -m docs.site finish build/docs    the last touches; fails when a page would load anything from elsewhere
"""

import argparse
import re
import shutil
import sys
from pathlib import Path

from docs.site.commands import command_pages
from docs.site.http_api import http_page
from docs.site.python_api import python_pages
from docs.site.repository import repository_pages
from docs.site.settings import settings_page

DOCS = Path(__file__).parents[1]
HERE = Path(__file__).parent
ASSETS = ("velum.css", "frame_worker.js")
MARK = DOCS.parent / "src/velum/service/ui/mark.svg"

SHIM = re.compile(r'<script src="https://unpkg\.com/iframe-worker/shim"[^>]*></script>')
"""What the builder puts into each page, to search in pages that no server serves."""

LOADED = re.compile(r"<(?:script|img|link|iframe|source)\b[^>]*?\b(?:src|href)=\"?((?:https?:)?//[^\"\s>]+)")
"""An address from which a page loads something; links that a reader may follow are none."""


def main() -> None:
    """Do the step that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m docs.site", description=__doc__)
    parser.add_argument("step", choices=("write", "finish"))
    parser.add_argument("folder", type=Path)
    chosen = parser.parse_args()
    (write if chosen.step == "write" else finish)(chosen.folder)


def write(folder: Path) -> None:
    """Write the sources of the site into a folder, in place of those of an earlier run."""
    pages = folder / "pages"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(DOCS, pages, ignore=shutil.ignore_patterns("site", "*.py", "__pycache__"))
    for path, text in generated_pages().items():
        (pages / path).parent.mkdir(parents=True, exist_ok=True)
        (pages / path).write_text(text, encoding="utf-8")
    for name in ASSETS:
        shutil.copy(HERE / name, pages / name)
    shutil.copy(MARK, pages / "mark.svg")
    (folder / "zensical.toml").write_text(configuration(pages), encoding="utf-8")


def configuration(pages: Path) -> str:
    """Return what the builder is told, with the pages that the folders of the navigation hold."""

    def listed(found: re.Match[str]) -> str:
        names = sorted(path.name for path in (pages / found[1]).glob("*.md") if path.name != "index.md")
        return ", ".join(f'"{found[1]}/{name}"' for name in names)

    return re.sub(r'"(\w+)/\*\.md"', listed, (HERE / "zensical.toml").read_text())


def generated_pages() -> dict[str, str]:
    """Return the Markdown of every page that is not written by hand in docs/, by its path in the site."""
    return {
        **repository_pages(),
        **command_pages(),
        **python_pages(),
        "settings.md": settings_page(),
        "http.md": http_page(),
        "decisions/index.md": _decisions_page(),
    }


def finish(folder: Path) -> None:
    """Make the built pages work without any network. Raises `SystemExit` naming what one would load from elsewhere."""
    html = folder / "html"
    for page in sorted(html.rglob("*.html")):
        up = "../" * (len(page.relative_to(html).parts) - 1)
        text = SHIM.sub(f'<script src="{up}frame_worker.js"></script>', page.read_text(encoding="utf-8"))
        foreign = LOADED.findall(text)
        if foreign:
            sys.exit(f"{page.relative_to(html)} loads {', '.join(foreign)}; the site must load nothing from elsewhere")
        page.write_text(text, encoding="utf-8")
    sys.stdout.write(f"open {html / 'index.html'}\n")


def _decisions() -> list[Path]:
    return sorted(path for path in (DOCS / "decisions").glob("*.md") if path.name != "index.md")


def _decisions_page() -> str:
    """Return a list of the decisions, each with the question that it answers."""
    lines = []
    for path in _decisions():
        title, _, text = path.read_text().partition("\n")
        found = re.search(r"\*\*Question\.\*\* (.+?)\n\n", text, re.DOTALL)
        question = " ".join(found[1].split()) if found else ""
        lines.append(f"- [{title.removeprefix('# ')}]({path.name})  \n  {question}")
    return "# Decisions\n\nWhat was decided, what was refused, and why.\n\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
