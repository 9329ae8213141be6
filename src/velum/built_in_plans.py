"""Plans that velum ships under a name, for work that many people have: `--plan street`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from velum.plan import Plan


@dataclass(frozen=True, slots=True)
class BuiltInPlan:
    """A plan with a name, and a line that says what it is for."""

    name: str
    purpose: str
    rules: tuple[str, ...]
    more: Mapping[str, Any] = field(default_factory=dict)
    """Further keys of the plan, as its JSON form has them."""

    def plan(self) -> Plan:
        """Return the plan."""
        return Plan.from_json({"rules": list(self.rules), **self.more})


_FACE = "face: centerface -> blacken"
_PLATE = "license_plate: lpd-yunet -> blacken"
_CODE = "code: codes -> blacken"
_ALL_TEXT = "text: text -> blacken"


def _text(*kinds: str) -> str:
    return f"text: text(match={'|'.join(kinds)!r}) -> blacken"


BUILT_IN_PLANS: Mapping[str, BuiltInPlan] = MappingProxyType(
    {
        named.name: named
        for named in (
            BuiltInPlan("street", "street imagery, dashcams: faces and license plates", (_FACE, _PLATE)),
            BuiltInPlan(
                "documents",
                "scans and photographs of documents: personal data in their text, faces, codes; passports",
                (_text("email", "iban", "phone", "card", "date", "mrz", "plate"), _FACE, _CODE),
            ),
            BuiltInPlan(
                "screen",
                "screenshots and recordings of a screen: addresses, numbers, coordinates, credentials, faces, codes",
                (_text("email", "iban", "phone", "card", "ip", "url", "mac", "gps", "secret"), _FACE, _CODE),
            ),
            BuiltInPlan(
                "family",
                "private photos and videos to share: every face that can be found, license plates; no sound",
                (_FACE, _PLATE),
                {"effort": "thorough", "video": {"audio": "drop"}},
            ),
            BuiltInPlan(
                "clinic",
                "pictures from care: every face that can be found, all text, codes; no sound; checked at the end",
                (_FACE, _ALL_TEXT, _CODE),
                {"effort": "thorough", "verify": True, "video": {"audio": "drop"}},
            ),
        )
    }
)
"""Name -> plan."""
