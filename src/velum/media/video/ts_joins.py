"""Where recordings were joined end to end in a transport stream (ISO/IEC 13818-1, 2.4.3.2)."""

from collections.abc import Iterator

_SYNC = 0x47
_TABLE_PID = 0
"""The programme association table, with which every recording begins."""


def is_join(data: bytes, pid: int, sizes: tuple[int, ...]) -> bool:
    """Tell whether each gap in the count of the packets `pid` in these bytes is a join, and there is one.

    At a join the counts begin anew, after a table, with the start of a picture or the like. `sizes` are those that
    packets may have.
    """
    count, begun, joins = -1, False, 0
    for packet in _packet_headers(data, sizes):
        number = (packet[1] & 0x1F) << 8 | packet[2]
        if number == _TABLE_PID:
            begun = True
        if number != pid or not packet[3] & 0x10:
            continue
        if packet[1] & 0x80:  # the receiver knows of an error
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
