"""The published table has a row for each tested technique, and its texts agree with its figures."""

import re
from pathlib import Path

import pytest

from velum.evaluation.reidentification.attack import HEADING, TECHNIQUES, chance
from velum.parts import make
from velum.plugins import RuntimeConfig
from velum.spec import PartSpec

PAGE = Path(__file__).parents[3] / "docs" / "strength.md"


def published() -> list[list[str]]:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in table if len(row) == len(HEADING)]


def test_the_page_has_every_row_and_column() -> None:
    titles, *rows = published()
    assert tuple(titles) == HEADING
    assert [row[:2] for row in rows] == [
        [name, shot] for name in ("nothing", *TECHNIQUES) for shot in ("copy", "reshot")
    ]


@pytest.mark.parametrize("row", published()[1:], ids=lambda row: f"{row[0]} {row[1]}")
def test_the_column_at_chance_agrees_with_the_figures(row: list[str]) -> None:
    shares = [float(cell.removesuffix(" %")) / 100 for cell in row[2:-1] if cell != "-"]
    (faces,) = re.findall(r"(\d+) faces, three shots of each", PAGE.read_text())
    assert row[-1] == ("yes" if max(shares) <= chance(int(faces)) else "no")


@pytest.mark.parametrize("text", TECHNIQUES)
def test_every_technique_of_the_table_exists(text: str) -> None:
    assert make("velum.techniques", PartSpec.parse(text), RuntimeConfig())
