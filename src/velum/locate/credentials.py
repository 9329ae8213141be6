"""Find credentials in a line of text: keys of services, tokens, private keys, and passwords beside the word for them.

A screenshot of a terminal, a configuration or a chat shows them. A miss is worse than a false match.
"""

import re
from collections.abc import Iterator
from itertools import pairwise

PREFIXES = (
    "sk-", "sk_live_", "sk_test_", "rk_live_", "pk_live_", "whsec_",  # OpenAI and others, Stripe
    "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-",  # GitHub, GitLab
    "xoxb-", "xoxa-", "xoxp-", "xoxr-", "xoxs-", "xapp-",  # Slack
    "AKIA", "ASIA", "AIza", "ya29.", "SG.", "npm_", "pypi-", "hf_", "dop_v1_", "shpat_", "AGE-SECRET-KEY-1",
)  # fmt: skip
"""How keys of widespread services begin, from these services' own documentation. Letters and case as they are."""

_KEY = re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(map(re.escape, PREFIXES))})[A-Za-z0-9_.+/-]{{10,}}=*")

_SIGN = r"[A-Za-z0-9_-]"
_JSON_WEB_TOKEN = re.compile(rf"(?<!{_SIGN})eyJ{_SIGN}{{8,}}(?: ?\. ?{_SIGN}+){{0,2}}")
"""RFC 7519: base64url of an object of JSON, which begins with `{"`, and up to two further parts."""

_PRIVATE_KEY = re.compile(r"-{2,}\s?(?:BEGIN|END)\s[A-Z0-9 ]*(?:PRIVATE\s?KEY|OPENSSH)[A-Z ]*(?:-{2,})?.*")
"""The line before and after a private key (RFC 7468)."""

_TOKEN = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{20,}={0,2}(?![A-Za-z0-9+/_-])")
"""Long words; those of a random mixture of letters and digits are keys, or lines of a key."""

_NAMED = re.compile(
    r"(?i)(?<![a-z])(?:pass(?:wor[dt]|wd|phrase|code)?|pwd|kennwort|pass?wort|mot de passe|contrase[nñ]a|senha|secret"
    r"|token|api[ _-]?key|access[ _-]?key|client[ _-]?secret|private[ _-]?key|auth(?:orization)?|bearer|pin|puk|tan)"
    r"(?:[_-][a-z0-9]+)?[\"']?\s?(?:[:=]|(?:is|ist|lautet)\s|->)\s{0,3}[\"']?(?:bearer\s|basic\s)?(?P<value>[^\s\"']{3,})",
)


def is_random(word: str) -> bool:
    """Tell whether a word looks like a random key: letters and digits in turn, or letters of both cases without order.

    Words of a language, and names made of several, change between capitals, small letters and digits less often. A hash
    of 32 and more hexadecimal digits counts, too.

    >>> is_random("wJalrXUtnFEMIK7MDENGbPxRfiCYzz"), is_random("InternationalizationOfApplications")
    (True, False)
    """
    kinds = ["0" if sign.isdigit() else "A" if sign.isupper() else "a" for sign in word if sign.isalnum()]
    changes = sum(first != second for first, second in pairwise(kinds))
    if re.fullmatch(r"[0-9a-f]{32,}|[0-9A-F]{32,}", word):
        return True
    return changes >= len(kinds) / 4 and ("0" in kinds or changes >= len(kinds) / 3) and len(set(kinds)) > 1


def secrets(text: str) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each credential in a line of text; they can overlap."""
    for pattern in (_KEY, _JSON_WEB_TOKEN, _PRIVATE_KEY):
        for hit in pattern.finditer(text):
            yield hit.span()
    for hit in _NAMED.finditer(text):
        yield hit.span("value")
    for hit in _TOKEN.finditer(text):
        if is_random(hit.group()):
            yield hit.span()
