"""Pages made of files outside of docs/: the README, the examples, the notebook, CONTRIBUTING and the changes."""

import ast
import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]

README_PAGES = {
    "Install": "install.md",
    "Use it": "use.md",
    "Serve it": "serve.md",
    "What you can rely on": "promises.md",
}
"""The page of the site that each section of the README becomes."""

EXAMPLES = """# Examples

Small programs, each whole and in one file of the folder `examples`. They draw what they work on, so they run as they
are: `python examples/hide_folder.py`. The tests run every one of them.

"""


def repository_pages() -> dict[str, str]:
    """Return the Markdown of the pages, by their paths in the site."""
    readme = sections((ROOT / "README.md").read_text())
    pages = {path: f"# {title}\n\n{_inside(readme[title])}" for title, path in README_PAGES.items()}
    return pages | {
        "first-steps.md": notebook_page(ROOT / "examples" / "first_steps.ipynb"),
        "examples.md": EXAMPLES + "".join(map(_example, sorted((ROOT / "examples").glob("*.py")))),
        "contributing.md": _inside((ROOT / "CONTRIBUTING.md").read_text()),
        "changes.md": _inside((ROOT / "CHANGELOG.md").read_text()),
    }


def sections(text: str) -> dict[str, str]:
    """Return the text under each heading of the second level, by the heading."""
    parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], (part.strip() + "\n" for part in parts[2::2]), strict=True))


def notebook_page(path: Path) -> str:
    """Return a notebook as Markdown: its texts as they are, its code in blocks."""
    cells = json.loads(path.read_text())["cells"]
    return "\n\n".join(
        "".join(cell["source"]) if cell["cell_type"] == "markdown" else f"```python\n{''.join(cell['source'])}\n```"
        for cell in cells
    )


def _example(path: Path) -> str:
    """Return an example under a heading made of its file name: what its docstring says, then its code."""
    code = path.read_text()
    tree = ast.parse(code)
    said = ast.get_docstring(tree) or ""
    body = "\n".join(code.splitlines()[tree.body[0].end_lineno or 0 :]).strip()
    title = path.stem.replace("_", " ").capitalize().replace("Bmw", "BMW").replace("python", "Python")
    return f'## {title}\n\n{said}\n\n```python title="examples/{path.name}"\n{body}\n```\n\n'


def _inside(text: str) -> str:
    """Return a text of the repository with its links as they are in the site."""
    text = text.replace("](docs/decisions)", "](decisions/index.md)").replace("](docs/", "](")
    text = text.replace("](examples)", "](examples.md)")
    return text.replace("](CHANGELOG.md)", "](changes.md)").replace("](CONTRIBUTING.md)", "](contributing.md)")
