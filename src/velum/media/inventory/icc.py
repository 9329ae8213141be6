"""Inventory of ICC profiles: finds bytes outside the profile's stated length and its tags (ICC.1:2022, 7.2 and 7.3)."""

from collections.abc import Iterator

from velum.media.inventory.surplus import PADDING, Surplus, gaps

_HEADER, _ENTRY = 132, 12
_LARGEST_UNKNOWN = 4096
_KNOWN = frozenset(
    b"A2B0 A2B1 A2B2 A2B3 A2M0 B2A0 B2A1 B2A2 B2A3 B2D0 B2D1 B2D2 B2D3 BRDF D2B0 D2B1 D2B2 D2B3 bTRC bXYZ bfd  bkpt "
    b"calt chad chrm cicp clot clro cprt crdi data dmdd dmnd gamt gTRC gXYZ kTRC lumi meas meta mmod ncl2 ncol ndin "
    b"pre0 pre1 pre2 ps2i ps2s psd0 psd1 psd2 psd3 pseq psid rTRC rXYZ resp rig0 rig2 scrd scrn targ tech ucrb view "
    b"vcgt vued wtpt desc dscm mmod vcgp aarg aabg aagg ndin arts CIED DevD Pmtr MS00 MS01 MS02 MS10 MSP  ".split()
)


def trim_profile(data: bytes) -> bytes | None:
    """Return a profile cut to its stated length; None when the data is not a valid profile."""
    stated = int.from_bytes(data[:4])
    if len(data) < _HEADER or data[36:40] != b"acsp" or not _HEADER <= stated <= len(data):
        return None
    return data[:stated]


def profile_surplus(data: bytes, offset: int = 0) -> Iterator[Surplus]:
    """Yield the bytes of a profile, at `offset` of a file, that belong to no known tag."""
    whole = trim_profile(data)
    if whole is None:
        yield Surplus("a colour profile that is none", offset, len(data))
        return
    stated = len(whole)
    count = int.from_bytes(data[128:132])
    spans = [(0, _HEADER + _ENTRY * count)]
    for at in range(_HEADER, min(_HEADER + _ENTRY * count, stated - _ENTRY + 1), _ENTRY):
        name, start, size = (
            data[at : at + 4],
            int.from_bytes(data[at + 4 : at + 8]),
            int.from_bytes(data[at + 8 : at + 12]),
        )
        spans.append((start, start + size))
        if name.rstrip() not in _KNOWN and size > _LARGEST_UNKNOWN:
            yield Surplus(f"private tag {name.decode('latin-1')!r} of the colour profile", offset + start, size)
    for gap in gaps(whole, spans, "bytes between the tags of the colour profile"):
        yield Surplus(gap.description, offset + gap.offset, gap.size)
    if len(data) - stated > PADDING:
        yield Surplus("bytes behind the end of the colour profile", offset + stated, len(data) - stated)
