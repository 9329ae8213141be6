"""Default techniques of the trial, and its results as rows of text."""

from velum.evaluation.reidentification.attack import ATTACKS, AttackResult

TECHNIQUES = (
    "blacken(degree=0.5)", "blacken(degree=0.9)", "blacken(degree=0.98)", "blacken",
    "pixelate(degree=0.05)", "pixelate(degree=0.1)", "pixelate", "pixelate(degree=0.5)", "pixelate(degree=1)",
    "blur(degree=0.1)", "blur(degree=0.25)", "blur(degree=0.5)", "blur",
)  # fmt: skip
"""Every built-in technique at several degrees; without a degree it is the default."""


HEADING = ("hidden by", "shot", *ATTACKS, "at chance")
"""Column titles."""


def result_row(result: AttackResult) -> list[str]:
    """Return a row of text: the share of faces that each attack identified, and whether it may be luck."""
    shares = (result.right.get(attack) for attack in ATTACKS)
    cells = ("-" if share is None else f"{100 * share:.1f} %" for share in shares)
    return [result.hidden, result.shot, *cells, "yes" if result.worst <= result.by_chance else "no"]


def describe_chance(result: AttackResult) -> str:
    """Return what guessing reaches, for comparison with the rows."""
    return f"{result.faces} faces; guessing identifies {1 / result.faces:.1%}, with luck up to {result.by_chance:.1%}"
