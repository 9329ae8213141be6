"""Advice works: commands, options, variables, extras and models that messages and documents name are there."""

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from velum.cli.main import app
from velum.locate import registry
from velum.parts import names
from velum.plugins import RuntimeConfig
from velum.settings import variables

pytestmark = pytest.mark.xdist_group("advice")  # each file is parsed once

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src" / "velum").rglob("*.py"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"].keys()

#: A command in the middle of a sentence: up to the end of what is quoted, or of the clause.
COMMAND = re.compile(r"(?<![\w/.-])velum (?P<line>(?!-)[a-z][^'`;|#\n)]*)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
RULE = re.compile(r"(?<![\w.])([\w /-]+): ([a-z][\w-]*)(?:\([^)]*\))? -> ([a-z]\w*)")
#: After "velum", words that go on with a sentence rather than name a command. Verbs in -s need no entry.
PROSE = {
    "alone", "and", "can", "cannot", "computed", "does", "from", "import", "in", "is", "itself", "never", "or",
    "stopped", "then", "to", "write",
}  # fmt: skip

#: Hold the options of other commands: pip and npm.
OTHER_COMMANDS = {ROOT / "src/velum/locate/weights" / name for name in ("wheels.py", "npm_registry.py")}
#: Names that these pages teach to add.
ADDED = {"docs/models.md": {"best"}, "docs/techniques.md": {"paint"}}
NAMED_MODELS = re.compile(r"(?:--models |velum models (?:pull|path|verify|quantize) )(?!-)([a-z0-9][\w,-]*)")
#: Read by compose files and shell scripts instead of velum.
ELSEWHERE = {"VELUM_IMAGE", "VELUM_GPU_IMAGE"}
#: Avoided, because Kubernetes sets them; the documents say so.
AVOIDED = {"VELUM_SERVICE_HOST", "VELUM_SERVICE_PORT", "VELUM_PORT"}


def messages(file: Path) -> Iterator[tuple[int, str]]:
    """Every text in a file that is no docstring; what is put into it later is `{}`."""
    tree = ast.parse(file.read_text())
    apart = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            apart.update(map(id, node.values))
            yield (
                node.lineno,
                "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values),
            )
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in apart:
            yield node.lineno, node.value


def examples(page: Path) -> Iterator[tuple[int, str]]:
    """Every line of code in a page, and every piece of code in its sentences."""
    fenced = False
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            yield number, line
        else:
            yield from ((number, code) for code in re.findall(r"`([^`]+)`", line))


@cache
def root() -> Any:
    return get_command(app)


def faults(text: str) -> list[str]:
    """Return what commands in a text say that the command line does not know."""
    wrong = []
    for found in COMMAND.finditer(text):
        words = found["line"].split()
        command, first = root(), words[0].rstrip(".,:")
        if first not in command.commands:
            if first not in PROSE and not first.endswith("s"):
                wrong.append(f"no command {first!r}")
            continue
        for word in words:
            if not hasattr(command, "commands") or not re.fullmatch(r"[a-z][a-z-]*", word):
                break
            if word not in command.commands:
                wrong.append(f"no command {word!r} in {command.name}")
                break
            command = command.commands[word]
        known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"--help"}
        if not hasattr(command, "commands"):
            wrong += [f"{command.name} has no {name}" for name in OPTION.findall(found["line"]) if name not in known]
    return wrong


def options(command: Any) -> set[str]:
    own = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    return own.union(*(options(one) for one in getattr(command, "commands", {}).values()))


@cache
def told(file: Path) -> list[tuple[int, str]]:
    return list(messages(file) if file.suffix == ".py" else examples(file))


def test_named_commands_and_their_options_exist() -> None:
    wrong = [
        f"{file.relative_to(ROOT)}:{line}: {fault}: {text}"
        for file in (*SOURCES, *PAGES)
        for line, text in told(file)
        for fault in faults(text)
    ]
    assert not wrong, "\n".join(wrong)


def test_options_named_without_a_command_exist_in_some_command() -> None:
    known = options(root()) | {"--help"}
    wrong = [
        f"{file.relative_to(ROOT)}:{line}: {name}: {text}"
        for file in SOURCES
        if file not in OTHER_COMMANDS
        for line, text in told(file)
        for name in OPTION.findall(text)
        if name not in known
    ]
    assert not wrong, "\n".join(wrong)


def test_named_models_and_techniques_exist() -> None:
    catalog, fetched = (part(RuntimeConfig()).keys() for part in (registry.catalog, registry.listed_weights))
    localizers, techniques = (set(names(group, RuntimeConfig())) for group in ("velum.localizers", "velum.techniques"))
    wrong = []
    for file in (*SOURCES, *PAGES):
        added = ADDED.get(str(file.relative_to(ROOT)), set())
        for line, text in told(file):
            for _, localizer, technique in RULE.findall(text) if " -> " in text else ():
                if registry.catalog_spelling(localizer, catalog) not in catalog | localizers | added:
                    wrong.append(f"{file.relative_to(ROOT)}:{line}: no localizer {localizer}: {text}")
                if technique not in techniques | added:
                    wrong.append(f"{file.relative_to(ROOT)}:{line}: no technique {technique}: {text}")
            listed = {name for found in NAMED_MODELS.findall(text) for name in found.split(",")}
            wrong += [f"{file.relative_to(ROOT)}:{line}: no model {name}: {text}" for name in listed - fetched - added]
    assert not wrong, "\n".join(wrong)


def test_named_extras_exist() -> None:
    for file in (*SOURCES, *PAGES):
        text = file.read_text()
        named = [name for listed in re.findall(r"velum-anonymizer\[([\w,]+)\]", text) for name in listed.split(",")]
        assert {*named, *re.findall(r"\bextra `(\w+)`", text)} <= EXTRAS, file


def test_named_variables_exist() -> None:
    known = set(variables()) | ELSEWHERE | AVOIDED
    for file in (*SOURCES, *PAGES):
        for name in re.findall(r"\bVELUM_[A-Z_]+\b", file.read_text()):
            assert name in known or (name.endswith("_") and any(one.startswith(name) for one in known)), (file, name)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("see 'velum model list'", "no command 'model'"),
        ("run velum models fetch centerface first", "no command 'fetch' in models"),
        ("try velum hide photo.jpg --blur; it is quick", "hide has no --blur"),
        ("velum hides it, then velum hide photo.jpg --verify", None),
    ],
)
def test_advice_that_does_not_work_is_recognised(text: str, fault: str | None) -> None:
    assert faults(text) == ([fault] if fault else [])
