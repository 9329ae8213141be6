"""The text that a document has of its own: in PDFs, words are taken out of it; other documents are refused."""

from typing import Any

from velum.errors import BadPlan
from velum.locate.text.written import reads_text, text_finder
from velum.media import archive
from velum.media.archive import MediaContainer
from velum.parts import make
from velum.plan import Plan, Rule
from velum.plugins import RuntimeConfig
from velum.techniques.fill import Fill

TEXT_STAYS = (
    "it has text of its own, which stays wherever it is shown; of pages in which something was hidden, invisible "
    "text is left out"
)
TEXT_SEARCHED = (
    "what the rules for text find is taken out of its own text; letters that are drawn as lines are not searched, and "
    "the length of a box tells the length of a word"
)


def hide_document_text(
    container: MediaContainer, format: str, plan: Plan, name: str
) -> tuple[list[dict[str, Any]], list[str]]:
    """Take what the plan's rules for text find out of a document that is open.

    Returns what was done, for the members of the report, and warnings. Raises `BadPlan` for documents whose text velum
    does not edit, and `BadInput` for a PDF whose text cannot be searched.
    """
    rules = [rule for rule in plan.rules if reads_text(rule)]
    if format != "PDF" and rules and container.has_text:
        raise BadPlan(
            f"cannot hide text in {name}: rules with text search pictures only, and a {format} has text of its own, "
            "which stays; leave that rule out, or save the document as a PDF and hide in that"
        )
    if format != "PDF" or not rules:
        return [], [TEXT_STAYS] if format == "PDF" and container.has_text else []
    counts = archive.remove_text(container, text_finder(rules), _color_of(rules[0]))
    done = [{"name": place, "action": "edited", "hidden": {"text": count}} for place, count in counts.items()]
    return done, [TEXT_SEARCHED] if container.has_text else []


def _color_of(rule: Rule) -> tuple[float, float, float]:
    """Return the colour of boxes in the place of words: that of the technique `fill`, else black."""
    if rule.hide.name != "fill":
        return 0.0, 0.0, 0.0
    technique = make("velum.techniques", rule.hide, RuntimeConfig())
    return technique.rgb if isinstance(technique, Fill) else (0.0, 0.0, 0.0)
