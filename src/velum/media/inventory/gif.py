"""Inventory of a GIF: finds blocks that do not affect the image, and data after the samples (GIF89a)."""

from collections.abc import Generator, Iterator

from velum.media.inventory.surplus import PADDING, Surplus

_CONTROL, _COMMENT, _APPLICATION = 0xF9, 0xFE, 0xFF
_LOOPS = {b"NETSCAPE2.0", b"ANIMEXTS1.0"}


def gif(data: bytes) -> Iterator[Surplus]:
    """Yield the byte ranges of a GIF that no decoder needs."""
    screen = int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")
    at = 13 + _table(data[10] if len(data) > 10 else 0)
    control = -1
    while at < len(data):
        match data[at]:
            case 0x3B:
                if rest := len(data) - at - 1:
                    yield Surplus("bytes after the end of the image", at + 1, rest)
                return
            case 0x21 if at + 1 < len(data):
                blocks, end = _blocks(data, at + 2)
                yield from _extension(data[at + 1], at, blocks)
                if data[at + 1] == _CONTROL:
                    if control >= 0:
                        yield Surplus("a control block without an image", at, end - at)
                    control = at
                at = end
            case 0x2C:
                control = -1
                at = yield from _image_block(data, at, screen)
            case _:
                yield Surplus("bytes between two blocks", at, len(data) - at)
                return


def _extension(label: int, at: int, blocks: list[bytes]) -> Iterator[Surplus]:
    size = sum(map(len, blocks))
    if label == _CONTROL:
        if size > 4:
            yield Surplus("bytes at the end of a control block", at, size - 4)
    elif label == _COMMENT:
        if size:
            yield Surplus("text under 'comment'", at, size, kind="metadata")
    elif label == _APPLICATION and blocks and blocks[0] in _LOOPS:
        # Three bytes count the loops, five announce a buffer.
        if size > 11 + 8:
            yield Surplus("bytes at the end of a block that counts loops", at, size - 11 - 8)
    elif label == _APPLICATION and blocks and blocks[0] == b"C2PA_GIF\1\0\0":
        yield Surplus("Content Credentials", at, size, ordinary=True)
    else:
        name = repr(blocks[0].decode("latin-1")) if label == _APPLICATION and blocks else f"0x{label:02X}"
        yield Surplus(f"extension {name}", at, size)


def _image_block(data: bytes, at: int, screen: tuple[int, int]) -> Generator[Surplus, None, int]:
    x, y, wide, high = (int.from_bytes(data[at + n : at + n + 2], "little") for n in (1, 3, 5, 7))
    flags = data[at + 9] if at + 9 < len(data) else 0
    start = at + 10 + _table(flags)
    if x + wide > screen[0] or y + high > screen[1]:
        yield Surplus("a frame that reaches beyond the canvas", at, 10, kind="picture")
    blocks, end = _blocks(data, start + 1)
    coded = b"".join(blocks)
    needed = _lzw(coded, data[start] if start < len(data) else 8, wide * high)
    if len(coded) - needed > PADDING:
        yield Surplus("bytes after the end of the samples", end - (len(coded) - needed), len(coded) - needed)
    return end


def _lzw(coded: bytes, bits: int, pixels: int) -> int:
    """Return how many bytes of `coded` the LZW codes of so many pixels take, with the end code where it follows.

    Only the length of each code's string is tracked: a new code's string is one longer than that of the code before.
    """
    clear, stop = 1 << bits, (1 << bits) + 1
    lengths = [1] * clear + [0, 0]
    width, buffer, available, before, shown, at = bits + 1, 0, 0, 0, 0, 0
    while True:
        while available < width:
            if at >= len(coded):
                return len(coded)
            buffer |= coded[at] << available
            at, available = at + 1, available + 8
        code = buffer & ((1 << width) - 1)
        buffer, available = buffer >> width, available - width
        if code == stop:
            return at
        if code == clear:
            if shown >= pixels:
                return at
            del lengths[clear + 2 :]
            width, before = bits + 1, 0
            continue
        if shown >= pixels:
            return at  # the end code is missing, or another code is in its place
        if before and len(lengths) < 4096:
            lengths.append(before + 1)
            if len(lengths) == 1 << width and width < 12:
                width += 1
        if code >= len(lengths):
            return len(coded)  # damaged: decoders report that
        before = lengths[code]
        shown += before


def _blocks(data: bytes, at: int) -> tuple[list[bytes], int]:
    """Return the sub-blocks of a chain, and the offset behind it."""
    blocks = []
    while at < len(data) and data[at]:
        blocks.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    return blocks, at + 1


def _table(flags: int) -> int:
    """Return the size in bytes of the colour table that a byte of flags announces."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0
