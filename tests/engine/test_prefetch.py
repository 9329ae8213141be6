"""Prefetching threads keep the order, hold a bounded number of items, and always end."""

import threading
import time
from collections.abc import Iterator
from weakref import ref

import pytest

from velum.engine.prefetch import prefetch


def lanes() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "velum-lane"]


def test_items_come_in_order() -> None:
    with prefetch(range(1000), depth=3) as items:
        assert list(items) == list(range(1000))
    assert not lanes()


def test_a_prefetch_thread_runs_no_further_ahead_than_allowed() -> None:
    made = []

    def source() -> Iterator[int]:
        for i in range(100):
            made.append(i)
            yield i

    with prefetch(source(), depth=3) as items:
        next(items)
        time.sleep(0.1)
        assert len(made) <= 1 + 3 + 1  # read, waiting in the channel, waiting to get in


def test_a_prefetch_thread_keeps_no_item_after_it_was_read() -> None:
    class Item:
        pass

    gone = []

    def source() -> Iterator[Item]:
        for _ in range(3):
            item = Item()
            seen = ref(item)
            yield item
            del item
            deadline = time.monotonic() + 5
            while seen() is not None and time.monotonic() < deadline:
                time.sleep(0.001)
            gone.append(seen() is None)

    with prefetch(source()) as items:
        for item in items:
            del item
    assert gone == [True] * 3


def test_a_failure_is_raised_after_the_items_before_it() -> None:
    def source() -> Iterator[int]:
        yield from range(5)
        raise ValueError("frame 5 is damaged")

    seen: list[int] = []
    with pytest.raises(ValueError, match="frame 5"), prefetch(source(), depth=2) as items:
        seen.extend(items)
    # extend keeps what came before the failure
    assert seen == [0, 1, 2, 3, 4]
    assert not lanes()


@pytest.mark.parametrize("depth", [1, 4])
def test_leaving_early_stops_the_thread_and_closes_its_source(depth: int) -> None:
    closed = threading.Event()

    def source() -> Iterator[int]:
        try:
            i = 0
            while True:
                yield i
                i += 1
        finally:
            closed.set()

    with pytest.raises(KeyboardInterrupt), prefetch(source(), depth) as items:
        assert next(items) == 0
        raise KeyboardInterrupt
    assert closed.is_set()
    assert not lanes()


def test_chained_threads_all_stop_when_the_last_stage_fails() -> None:
    with pytest.raises(RuntimeError), prefetch(range(10**9)) as one, prefetch(i + 1 for i in one) as two:
        assert next(two) == 1
        raise RuntimeError
    assert not lanes()


def test_chained_threads_work_at_the_same_time() -> None:
    """The second stage waits inside its first item until the first stage has gone on to its third."""
    third = threading.Event()

    def first() -> Iterator[int]:
        for i in range(5):
            if i == 2:
                third.set()
            yield i

    def second(items: Iterator[int]) -> Iterator[int]:
        for item in items:
            assert third.wait(timeout=30)
            yield item

    with prefetch(first()) as one, prefetch(second(one)) as two:
        assert list(two) == [0, 1, 2, 3, 4]
