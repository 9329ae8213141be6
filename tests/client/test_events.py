"""Streams of events are read the same in whatever pieces they come."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from velum.client.jobs import EVENT_BYTES, take_events
from velum.errors import Unavailable

STREAM = (
    b': ping\n\nevent: progress\ndata: {"a": 1}\n\r\nid: 7\r\n\r\ndata:one\r\ndata: two\r\n\r\n'
    b"event: nothing\n\nevent: end\ndata: \xc3\xa9\n\nevent: broken off\ndata: x\n"
)
EVENTS = [("progress", '{"a": 1}'), ("message", "one\ntwo"), ("end", "é")]


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_reads_events_in_chunks_of_any_size(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    buffer = bytearray()
    found = [event for a, b in pairwise(edges) for event in take_events(buffer, STREAM[a:b])]
    assert found == EVENTS


@given(st.binary(max_size=200))
def test_any_bytes_of_a_stream_are_read(data: bytes) -> None:
    take_events(bytearray(), data)


@pytest.mark.parametrize("stream", [b"data: " + b"x" * EVENT_BYTES, (b"data: " + b"x" * 1000 + b"\n") * 1100])
def test_refuses_an_endless_event(stream: bytes) -> None:
    with pytest.raises(Unavailable, match="event of more than"):
        take_events(bytearray(), stream)
