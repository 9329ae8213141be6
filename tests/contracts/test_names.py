"""Names of classes and functions: one name for one thing; a function is a verb, or a noun with its subject.

python -m tests.contracts.test_names            counts the bare participles of each package
python -m tests.contracts.test_names FOLDER...  lists those of folders, such as `jobs` or `media/video`
"""

import ast
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import velum

pytestmark = pytest.mark.xdist_group("names")  # each file is parsed once

SOURCE = Path(velum.__file__).parent

PACKAGES = (
    ".", "batch", "bmw", "cli", "engine", "evaluation", "evidence", "locate", "media", "net", "service",
    "settings", "techniques", "track", "verify",
)  # fmt: skip
"""Folders of `src/velum` ('.': the files next to them) in which no function is named by a bare participle. It grows to
all of them; a package on the list has no way back."""

IRREGULAR = frozenset(
    re.findall(
        r"\w+",
        """
    been begun bent bitten blown born bound bought bred broken brought built burnt caught chosen dealt done drawn
    dreamt driven drunk dug eaten fallen fed felt flown forbidden forgiven forgotten fought found frozen given gone got
    gotten ground grown hanged heard held hidden hung kept known laid learnt led left lent lit lost made meant met
    mistaken paid proven ridden risen rung said sat seen sent sewn shaken shone shot shown shrunk slept sold sought
    spent spoken sprung spun stolen stood struck stuck stung sung sunk swept swollen sworn swung taken taught thought
    thrown told torn understood undone woken won worn wound woven written
    """,
    )
)
"""Read, set, cut, put, split, run, hit, spread and shut are verbs in that form as well, so they may stand."""

VERBS_AND_NOUNS = frozenset({"bleed", "breed", "embed", "exceed", "feed", "heed", "need", "proceed", "seed", "speed"})
"""Words that end as participles do and are none."""

ALLOWED = {
    "closed": "a property that files have in Python's own protocol (io.IOBase)",
}
"""Participles that stand, and why: the field's own word, or a name that a protocol of others gives."""


Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@cache
def definitions(file: Path) -> list[Definition]:
    """Return every class, function, method and property of a file. Expressions are not gone through: they hold none."""
    found, todo = list[Definition](), list[ast.AST]([ast.parse(file.read_bytes())])
    while todo:
        node = todo.pop()
        if isinstance(node, Definition):
            found.append(node)
        statements = ast.stmt | ast.ExceptHandler | ast.match_case
        todo += [child for child in ast.iter_child_nodes(node) if isinstance(child, statements)]
    return found


def functions(file: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function, method and property of a file."""
    for node in definitions(file):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def is_participle(name: str) -> bool:
    """Tell whether a name is one word, with or without underscores around it, and that word a past participle."""
    word = name.strip("_")
    if "_" in word or not word.islower() or word in VERBS_AND_NOUNS or word in ALLOWED:
        return False
    stems = {word, *(word.removeprefix(prefix) for prefix in ("re", "un", "over", "out", "with", "fore"))}
    return (word.endswith("ed") and len(word) > 3) or bool(stems & IRREGULAR)


def participles(package: str) -> list[str]:
    """Return the functions of a package that are named by a bare participle, each with its place."""
    folder = SOURCE / package
    files = sorted(folder.glob("*.py") if package == "." else folder.rglob("*.py"))
    assert files, f"there is no package {package}; name a folder of {SOURCE.name}"
    return [
        f"{file.relative_to(SOURCE)}:{node.lineno} {node.name}"
        for file in files
        for node in functions(file)
        if is_participle(node.name)
    ]


def test_no_public_class_name_stands_for_two_classes() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for file in sorted(SOURCE.rglob("*.py")):
        for node in definitions(file):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(f"{file.relative_to(SOURCE)}:{node.lineno}")
    twice = {name: places for name, places in homes.items() if len(places) > 1}
    assert not twice, "one class keeps the name, the others say which of its kind they are"


@pytest.mark.parametrize("package", PACKAGES)
def test_no_function_is_named_by_a_bare_participle(package: str) -> None:
    assert not participles(package), "name each with a verb (`keep_tags`), or a noun and its subject (`kept_tags`)"


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        ("told", True), ("_kept", True), ("opened", True), ("rebuilt", True), ("unseen", True), ("read", False),
        ("set", False), ("keep", False), ("kept_tags", False), ("feed", False), ("exceed", False), ("__init__", False),
    ],
)  # fmt: skip
def test_the_rule_knows_participles(name: str, bare: bool) -> None:
    assert is_participle(name) is bare


def _report(folders: list[str]) -> str:
    if folders:
        return "\n".join(line for folder in folders for line in participles(folder))
    homes = [
        file.relative_to(SOURCE) for file in SOURCE.rglob("*.py") for one in functions(file) if is_participle(one.name)
    ]
    counts = Counter(home.parts[0] if len(home.parts) > 1 else "." for home in homes)
    return "\n".join(
        [*(f"{number:5} {package}" for package, number in counts.most_common()), f"{counts.total():5} in all"]
    )


if __name__ == "__main__":
    sys.stdout.write(_report(sys.argv[1:]) + "\n")
