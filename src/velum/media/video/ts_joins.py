"""Finds where recordings were joined end to end in a transport stream (ISO/IEC 13818-1, 2.4.3.2)."""

from collections.abc import Iterator

_SYNC = 0x47
_TABLE_PID = 0
"""The programme association table, with which every recording begins."""


def is_join(data: bytes, pid: int, sizes: tuple[int, ...]) -> bool:
    """Tell whether `data` has gaps in the continuity counter of stream `pid`, and all of them are joins.

    At a join, the counter restarts after a programme association table, at the start of a payload unit. `sizes` are
    the possible packet sizes in bytes.
    """
    count, begun, joins = -1, False, 0
    for packet in _packet_headers(data, sizes):
        number = (packet[1] & 0x1F) << 8 | packet[2]
        if number == _TABLE_PID:
            begun = True
        if number != pid or not packet[3] & 0x10:
            continue
        if packet[1] & 0x80:  # the receiver noted a transmission error
            return False
        now = packet[3] & 0x0F
        if count >= 0 and now not in {count, (count + 1) % 16}:
            if not begun or not packet[1] & 0x40:
                return False
            joins += 1
        count, begun = now, False
    return joins > 0


def _packet_headers(data: bytes, sizes: tuple[int, ...]) -> Iterator[bytes]:
    for size in sizes:
        for start in range(size):
            if all(data[at] == _SYNC for at in range(start, min(len(data), start + 8 * size), size)):
                yield from (data[at : at + 4] for at in range(start, len(data) - 3, size))
                return
