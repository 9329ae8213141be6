"""Plots of an evaluation as SVG: bars by size, a histogram of hidden shares, and curves by threshold."""

from collections.abc import Sequence
from html import escape

from velum.evaluation.metrics import MetricsRow, Rate, TruthOutcome
from velum.evaluation.thresholds import ThresholdChoice

WIDTH, HEIGHT = 640, 260

_LEFT, _TOP, _RIGHT, _BOTTOM = 48, 16, 16, 48

_ACROSS, _DOWN = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM


def plot_sizes(rows: Sequence[MetricsRow]) -> str:
    """Return bars by size: rate of found objects with its interval, and rate of objects hidden to at least a half."""
    step = _ACROSS / max(1, len(rows))
    marks = []
    for index, row in enumerate(rows):
        middle = _LEFT + (index + 0.5) * step
        wide = min(36.0, step / 3)
        marks += _bar(middle - wide - 2, wide, row.found, "found")
        marks += _bar(middle + 2, wide, row.hidden[0], "hidden")
        marks.append(_text(middle, HEIGHT - 28, row.kind, "middle"))
        marks.append(_text(middle, HEIGHT - 12, f"{row.found.total} labelled", "middle", "faint"))
    return _svg(f"Found and hidden by size, {rows[0].label}", [*_grid_lines(), *marks])


def plot_hidden_shares(outcomes: Sequence[TruthOutcome]) -> str:
    """Return a histogram of the hidden share of the objects, in tenths."""
    counts = [0] * 10
    for outcome in outcomes:
        counts[min(9, int(outcome.covered * 10))] += 1
    step, most = _ACROSS / 10, max(1, *counts)
    marks = []
    for index, count in enumerate(counts):
        tall = _DOWN * count / most
        kind = "missed" if index < 5 else "hidden"
        marks.append(_rect(_LEFT + index * step + 3, _TOP + _DOWN - tall, step - 6, tall, kind))
        marks.append(
            _text(_LEFT + (index + 0.5) * step, _TOP + _DOWN - tall - 4, str(count) if count else "", "middle")
        )
        marks.append(_text(_LEFT + (index + 0.5) * step, HEIGHT - 28, f"{index * 10}-{index * 10 + 10} %", "middle"))
    marks.append(_text(_LEFT + _ACROSS / 2, HEIGHT - 10, "hidden share of an object", "middle", "faint"))
    return _svg("How much of each object is hidden", marks)


def plot_thresholds(choice: ThresholdChoice) -> str:
    """Return the curves of recall and precision by threshold; the chosen threshold is marked."""
    x = _LEFT + choice.chosen.threshold * _ACROSS
    curve = [(point.threshold, point.found) for point in choice.curve]
    right = [(point.threshold, point.right) for point in choice.curve]
    marks = [
        *_grid_lines(), _line(curve, "found"), _line(right, "right"),
        f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_TOP + _DOWN}"/>',
        *(_text(_LEFT + at / 10 * _ACROSS, HEIGHT - 28, f"{at / 10:g}", "middle") for at in range(0, 11, 2)),
        _text(_LEFT + _ACROSS / 2, HEIGHT - 10, f"threshold; chosen: {choice.chosen.threshold:g}", "middle", "faint"),
    ]  # fmt: skip
    return _svg(f"Found and right by threshold, {choice.label}", marks)


def _bar(x: float, wide: float, rate: Rate, kind: str) -> list[str]:
    share, (low, high) = rate.share or 0.0, rate.interval
    middle, top, bottom = x + wide / 2, _y(high), _y(low)
    reach = f"M{middle:.1f} {top:.1f}V{bottom:.1f}M{middle - 5:.1f} {top:.1f}h10M{middle - 5:.1f} {bottom:.1f}h10"
    return [_rect(x, _y(share), wide, _DOWN * share, kind), f'<path class="reach" d="{reach}"/>']


def _line(points: Sequence[tuple[float, Rate]], kind: str) -> str:
    rates = [(at, rate.share) for at, rate in points if rate.share is not None]
    path = " ".join(f"{_LEFT + at * _ACROSS:.1f},{_y(share):.1f}" for at, share in rates)
    return f'<polyline class="line {kind}" points="{path}"/>'


def _grid_lines() -> list[str]:
    lines = []
    for tenth in range(0, 11, 2):
        y = _y(tenth / 10)
        lines.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        lines.append(_text(_LEFT - 8, y + 4, f"{tenth * 10} %", "end", "faint"))
    return lines


def _y(share: float) -> float:
    return _TOP + _DOWN * (1 - share)


def _rect(x: float, y: float, width: float, height: float, kind: str) -> str:
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str, kind: str = "") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(title: str, marks: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title, quote=True)}">'
        f"<title>{escape(title)}</title>{''.join(marks)}</svg>"
    )
