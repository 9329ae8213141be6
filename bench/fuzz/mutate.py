"""Inputs made from good ones, the same for the same seed."""

import copy
import json
import random
from typing import Any

ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 10**400, 0.5, -0.0, 1e308, float("nan"), float("inf"),
    "", "x", "0", "\0", "\ud800", "é" * 300, "../../x", "face", "name(", [], [[]], [None], {}, {"": {}}, {"x": 1},
    [1, 2, 3, 4], "1" * 5000, [[[[[[[[]]]]]]]],
)  # fmt: skip
"""Values that tend to surprise whoever reads them."""

_KEYS = ("", "x", "0", "\0", "\ud800", "é" * 300, "__class__", "label", "format")
_WORDS = (
    b"\0", b"\xff", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\xef\xbb\xbf", b"\r\n", b"'", b'"', b"(",
    b")", b"[", b"]", b"{", b"}", b"->", b":", b"=", b"#", b"\\", b"-1", b"1e999", b"nan", b"9" * 400, b"\xed\xa0\x80",
    b"[" * 3000, b"(" * 300, b"-" * 2000, b"\xd9\xa1",
)  # fmt: skip


def mutate(seed: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """Return `seed` with something wrong in it. JSON is most often still JSON; `others` are to be mixed in."""
    if seed[:1] in {b"{", b"["} and rng.random() < 0.6:
        try:
            return _mutate_json(json.loads(seed), rng)
        except ValueError:
            pass
    data = bytearray(seed)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        _mutate_bytes(data, others, rng)
    return bytes(data)


def _mutate_json(value: Any, rng: random.Random) -> bytes:
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        holder, key = _choose_place(value, rng)
        if holder is None:
            value = _odd_value(rng)
        elif rng.random() < 0.15:
            del holder[key]
        elif isinstance(holder, dict) and rng.random() < 0.1:
            holder[rng.choice(_KEYS)] = _odd_value(rng)
        else:
            holder[key] = _odd_value(rng)
    return json.dumps(value).encode()


def _odd_value(rng: random.Random) -> Any:
    # A copy: it is changed in its turn, and the next input must not depend on this one.
    return copy.deepcopy(rng.choice(ODD))


def _choose_place(value: Any, rng: random.Random) -> tuple[Any, Any]:
    """Return an object or list inside a value, and one of its keys; None for the value itself."""
    places: list[tuple[Any, Any]] = [(None, None)]
    rest = [value]
    while rest:
        one = rest.pop()
        keys = list(one) if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ()
        places += [(one, key) for key in keys]
        rest += [one[key] for key in keys]
    return rng.choice(places)


def _mutate_bytes(data: bytearray, others: list[bytes], rng: random.Random) -> None:
    at = rng.randrange(len(data) + 1)
    # Heads decide most of what is done with a file.
    at = min(at, rng.choice((16, 64, 512, len(data), len(data))))
    match rng.randrange(7):
        case 0:
            del data[at:]
        case 1:
            del data[at : at + rng.choice((1, 2, 4, 16, 256))]
        case 2:
            data[at:at] = rng.choice(_WORDS)
        case 3:
            word = rng.choice(_WORDS)
            data[at : at + len(word)] = word
        case 4:
            data[at : at + 1] = bytes([rng.randrange(256)])
        case 5:
            if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
        case _:
            other = rng.choice(others)
            start = rng.randrange(len(other) + 1)
            data[at:at] = other[start : start + rng.choice((4, 32, 256))]
