"""The words of each BMW interface stand in one file; and a web framework is loaded only by who serves."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.rows import exhaustive

SOURCE = Path(__file__).parents[2] / "src" / "velum"
WIRE = (SOURCE / "bmw" / "wire.py", SOURCE / "bmw" / "inference_wire.py")
WORDS = (
    "sensitive_info", "class_name", "model_name", "anonymization_technique", "anonymization_degree", "inference_type",
    "ObjectClassName", "ObjectClassId", "bounding-boxes", "input_data", "url_configuration", "unexpected server error",
    "url added", "Json file corrupted", "sensitive info",
)  # fmt: skip


def texts(file: Path) -> Iterator[tuple[int, str]]:
    """Every text in a file that is no docstring."""
    tree = ast.parse(file.read_text())
    loose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in loose:
            yield node.lineno, node.value


def may_hold(file: Path, word: str) -> bool:
    """Tell whether the file has the parts of a word at all: most need no parsing then."""
    source = file.read_text()
    return all(part in source for part in word.split())


def test_wire_words_of_the_bmw_apis_are_in_one_file_each() -> None:
    files = [file for file in sorted(SOURCE.rglob("*.py")) if file not in WIRE]
    found = [
        f"{file.relative_to(SOURCE)}, line {line}: {word}"
        for file in files
        if any(may_hold(file, word) for word in WORDS)
        for line, text in texts(file)
        for word in WORDS
        if word in text
    ]
    assert not found


def test_the_files_of_the_wire_words_contain_them() -> None:
    there = " ".join(text for file in WIRE for _, text in texts(file))
    assert [word for word in WORDS if word not in there] == []


@pytest.mark.parametrize(
    ("statement", "never"),
    [
        ("import velum", {"fastapi", "httpx2", "openvino", "numpy"}),
        ("import velum.engine.subprocess_main", {"av", "fastapi", "starlette", "httpx2", "httpcore2", "openvino"}),
        ("from velum.cli.main import command_line; command_line('hide')", {"numpy", "rich"}),
        *exhaustive(
            [
                ("import velum.settings", {"fastapi", "starlette", "httpx2", "httpcore2", "openvino"}),
                ("import velum.bmw.localizer", {"fastapi", "starlette", "uvicorn"}),
                ("import velum.bmw.plan", {"fastapi", "starlette", "uvicorn"}),
                ("import velum.service.job_backend, velum.service.process", {"fastapi", "pydantic", "starlette"}),
                ("import velum.cli.main", {"fastapi", "httpx2", "numpy", "pydantic", "rich", "uvicorn"}),
                ("import velum.locate.detector", {"filelock", "openvino", "rich", "tarfile"}),
            ]
        ),
    ],
)
def test_an_import_loads_no_web_framework_it_does_not_need(statement: str, never: set[str]) -> None:
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert {re.split(r"\.", name)[0] for name in loaded.split()} & never == set()
