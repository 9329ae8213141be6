"""What classes are called: one name, one thing."""

import ast
from collections import defaultdict
from pathlib import Path

import velum

SOURCE = Path(velum.__file__).parent


def test_no_public_class_name_stands_for_two_classes() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for file in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(f"{file.relative_to(SOURCE)}:{node.lineno}")
    twice = {name: places for name, places in homes.items() if len(places) > 1}
    assert not twice, "one class keeps the name, the others say which of its kind they are"
