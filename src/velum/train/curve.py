"""The course of a training as a picture: loss and held-out average precision over the steps."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT = 640, 260
_LEFT, _TOP, _ACROSS, _DOWN = 48, 16, 544, 196


def draw_curve(looks: Sequence[Mapping[str, Any]]) -> str:
    """Return an SVG of the looks, each with `step`, `loss` and `score`; a text where there is none."""
    if not looks:
        return "<p>The training ended before the first look at the held-out pictures.</p>"
    last = max(1, *(look["step"] for look in looks))
    most = max(look["loss"] for look in looks) or 1.0
    best, measure = best_of(looks), escape(looks[0]["measure"])
    score = [(look["step"] / last, look["score"]) for look in looks]
    loss = [(look["step"] / last, look["loss"] / most) for look in looks]
    x = _LEFT + best["step"] / last * _ACROSS
    best_text = f"kept: step {best['step']}, {measure} {best['score']:.3f}"
    marks = [
        *(_grid_line(tenth / 10) for tenth in range(0, 11, 2)),
        _polyline(score, "#2f6fb5"), _polyline(loss, "#b0701c"),
        f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_TOP + _DOWN}"/>',
        f'<text x="{_LEFT}" y="{HEIGHT - 28}">0</text>',
        f'<text x="{_LEFT + _ACROSS}" y="{HEIGHT - 28}" text-anchor="end">{last} steps</text>',
        f'<text x="{_LEFT + _ACROSS / 2}" y="{HEIGHT - 10}" text-anchor="middle">{best_text}</text>',
    ]  # fmt: skip
    return (
        f'<p class="key"><span class="found">{measure} of the held-out pictures</span>'
        f'<span class="right">loss, of {most:.3g}</span></p>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape("Course of the training")}">'
        f"{''.join(marks)}</svg>"
    )


def best_of(looks: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the look with the best score, the last of several."""
    return max(looks, key=lambda look: (look["score"], look["step"]))


def _y(share: float) -> float:
    return _TOP + _DOWN * (1 - share)


def _grid_line(share: float) -> str:
    y = _y(share)
    return (
        f'<line class="grid" x1="{_LEFT}" x2="{_LEFT + _ACROSS}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="faint" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{share:g}</text>'
    )


def _polyline(points: Sequence[tuple[float, float]], colour: str) -> str:
    path = " ".join(f"{_LEFT + at * _ACROSS:.1f},{_y(value):.1f}" for at, value in points)
    dots = "".join(
        f'<circle cx="{_LEFT + at * _ACROSS:.1f}" cy="{_y(value):.1f}" r="3" fill="{colour}"/>' for at, value in points
    )
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>{dots}'
