"""A short run of bench.fuzz: every parser gives a value or an error of velum, and none hangs."""

import contextlib
import random
from collections import Counter

import pytest
from bench.fuzz.apart import BAD, input_of, outcomes
from bench.fuzz.mutate import mutate
from bench.fuzz.targets import TARGETS, run
from tests.rows import exhaustive

from velum.errors import VelumError

pytestmark = pytest.mark.xdist_group("fuzz")  # the process whose forks run the inputs imports all parsers, once


COSTLY = {"pictures", "videos", "alpha", "layouts", "much work"}


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_every_input_is_valid_before_its_mutation(name: str) -> None:
    for seed in TARGETS[name].seeds():
        run(TARGETS[name], seed)


def test_inputs_depend_on_the_seed_alone() -> None:
    first = [input_of("plan.json", index, 7) for index in range(50)]
    assert [input_of("plan.json", index, 7) for index in reversed(range(50))] == first[::-1]
    assert [input_of("plan.json", index, 8) for index in range(50)] != first
    assert mutate(b"", [b""], random.Random(1)) == mutate(b"", [b""], random.Random(1))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # decoders and numpy have much to say of such inputs
@pytest.mark.parametrize("name", sorted(TARGETS.keys() - COSTLY))
def test_a_few_inputs_run_in_this_process(name: str) -> None:
    for index in range(30):
        with contextlib.suppress(VelumError):
            run(TARGETS[name], input_of(name, index, seed=40))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "count"),
    [
        *((name, 8) for name in sorted(TARGETS.keys() - {"much work"})),
        ("much work", 5),  # each of which costs as much as fifty of others
        *exhaustive((name, 100) for name in sorted(TARGETS)),
    ],
)
def test_every_parser_gives_a_value_or_an_error_of_velum(name: str, count: int) -> None:
    seen = list(outcomes(name, count, seed=20))
    assert [one for one in seen if one.kind in BAD] == []
    assert Counter(one.index for one in seen) == Counter(range(count))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("check", "kind", "fault"),
    [
        ("crash", "crash", "SIGSEGV"),
        ("hang", "hang", "no answer"),
        ("raise", "fault", "ZeroDivisionError"),
    ],
)
def test_a_finding_is_recorded_and_the_run_continues(check: str, kind: str, fault: str) -> None:
    seen = list(outcomes(f"(check) {check}", 3, seed=1, hang_seconds=2))
    assert [(one.index, one.kind) for one in seen] == [(0, "value"), (1, kind), (2, "value")]
    assert fault in seen[1].fault
