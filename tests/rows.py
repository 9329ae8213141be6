"""Marks rows of parametrized tests that take the same path: a few run with every change, all of them at night."""

from collections.abc import Iterable
from typing import Any

import pytest


def exhaustive(rows: Iterable[Any]) -> list[Any]:
    """Return the rows, marked to run only where everything does (`make test-all`).

    To stand next to rows that run always: `[*FEW, *exhaustive(REST)]`. Marks that a row has are kept.
    """
    return [_marked(row) for row in rows]


def but_for(rows: Iterable[Any], always: Iterable[Any]) -> list[Any]:
    """Return the rows in their order; all but those in `always`, which must be among them, are exhaustive."""
    rows, always = list(rows), list(always)
    strange = [row for row in always if row not in rows]
    assert not strange, f"not in the table: {strange}"
    return [row if row in always else _marked(row) for row in rows]


def _marked(row: Any) -> Any:
    if hasattr(row, "marks"):  # a pytest.param
        return pytest.param(*row.values, marks=[*row.marks, pytest.mark.exhaustive], id=row.id)
    return pytest.param(*(row if isinstance(row, tuple) else (row,)), marks=pytest.mark.exhaustive)
