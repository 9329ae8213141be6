"""Detection of geographic coordinates in a text, in the forms in which cameras, drones, dashcams and people write them.

It does not detect names of places.
"""

import re

_SIGN = r"[-+\u2212\u2013]?\s?"
_DEGREES = _SIGN + r"\d{1,3}[.,]\d{1,12}"
_FINE = _SIGN + r"\d{1,3}[.,]\d{4,12}(?!\d)"
"""Degrees exact to about ten metres or finer: a pair of these is almost always a point on a map."""

_MARK = r"(?:[\u00b0\u00ba\u02da\ufffd]|deg(?:rees?)?\.?)"
"""A degree sign; U+FFFD stands for one from a single-byte encoding."""

_LATITUDE, _LONGITUDE = r"lat(?:itude)?(?:e7)?", r"(?:lon(?:g(?:t?itude)?)?|lng)(?:e7)?"
_OWNER = r"(?<![a-z])(?:(?:gps|gnss|home|drone|start|current|cur|geo|pos|my)[\s_.-]?)?"
_GAP = r"[^\w+-]{0,6}"
_GNSS = r"(?:gps|gnss|glonass|beidou|galileo|home|wgs[\s-]?84|coord(?:inate)?s?|koordinaten|position|pos|location|loc)"
_NUMBERS = r"\d{1,3}(?:[ :]\d{1,2}){1,2}(?:[.,]\d{1,8})?"
"""Degrees, minutes and perhaps seconds without signs between them."""

_FORMS = (
    # [latitude: 22.5], lat=48.1, "GPSLatitude": 48.1, <lon>11.56</lon>, "latitudeE7": 481370000
    rf"{_OWNER}(?:{_LATITUDE}|{_LONGITUDE}){_GAP}(?:[nsew]\s?)?{_SIGN}(?:\d{{1,3}}[.,]\d{{3,12}}|\d{{7,10}}(?!\d))",
    rf"{_OWNER}{_LATITUDE}{_GAP}(?:[ns]\s?)?{_SIGN}\d[^a-z]{{0,30}}(?:[ns]\W{{1,6}})?{_OWNER}{_LONGITUDE}{_GAP}(?:[ew]\s?)?{_SIGN}\d",
    # GPS(8.4037,49.0069,17), HOME(149.02,-20.25), "coordinates":[11.5,48.1]
    rf"(?<![a-z]){_GNSS}{_GAP}{_DEGREES}[^\w+-]{{1,4}}{_DEGREES}",
    rf"(?<![a-z])gps\s?[(\[]\s?{_SIGN}\d[\d.,\s+-]{{2,60}}[)\]]",
    rf"(?:geo:|point\s?\(|[@=/]){_DEGREES}[,\s]{_DEGREES}",
    # 48.13712, 11.57541
    rf"(?<![\w.,]){_FINE}\s?[,;/|\s]\s?{_FINE}",
    # N48.1371 E11.5754, 48.1371 N, 11.5754 E
    rf"(?<![a-z])[ns][\s:=.]{{0,3}}{_SIGN}\d{{1,2}}[.,]\d{{2,12}}\W{{1,6}}[ew][\s:=.]{{0,3}}{_SIGN}\d{{1,3}}[.,]\d{{2,12}}",
    rf"(?<![a-z])[ew][\s:=.]{{0,3}}{_SIGN}\d{{1,3}}[.,]\d{{2,12}}\W{{1,6}}[ns][\s:=.]{{0,3}}{_SIGN}\d{{1,2}}[.,]\d{{2,12}}",
    r"\d{1,3}[.,]\d{2,12}\W{0,3}[nsew]\W{1,6}\d{1,3}[.,]\d{2,12}\W{0,3}[nsew](?![a-z])",
    # NMEA 0183: $GPRMC,081836,A,4807.038,N,01131.000,E,... and the same fields alone
    r"(?<![a-z])(?:g[pnlabqi]|bd|qz|pq)(?:rmc|gga|gll|gns),",
    r"\d{3,4}\.\d{2,8}\W{0,3}[ns]\W{1,4}\d{4,5}\.\d{2,8}\W{0,3}[ew](?![a-z])",
    # ISO 6709: +48.1371+011.5754+520/, +4808-01134/
    r"(?<![\w.])[+-]\d{2}(?:\d{2}){0,2}\.\d{1,12}[+-]\d{3}(?:\d{2}){0,2}(?:\.\d{1,12})?(?!\d)",
    r"(?<![\w.])[+-]\d{2}(?:\d{2}){0,2}[+-]\d{3}(?:\d{2}){0,2}(?:[+-]\d{1,6}(?:\.\d{1,6})?)?(?:crs\w{1,12})?/",
    # 48\u00b007'24.1"N, 48 deg 7.4' N, 48.1371\u00b0 N, N 48 07.402
    rf"\d{{1,3}}\s?{_MARK}\s?\d{{1,2}}(?:[.,]\d{{1,8}})?\s?(?:['\u2032\u2019\u00b4\"\u2033\u201d]|m(?:in)?(?![a-z]))",
    rf"\d{{1,3}}[.,]\d{{2,12}}\s?{_MARK}\s?[nsewo](?![a-z])",
    rf"\d{{1,3}}[.,]\d{{4,12}}\s?{_MARK}",
    rf"(?<![a-z])[nsew]\s?\d{{1,3}}\s?{_MARK}?[\s:]\s?\d{{1,2}}[.,]\d{{2,8}}(?!\d)",
    rf"(?<![\w.]){_NUMBERS}\s?[ns]\W{{1,6}}{_NUMBERS}\s?[ew](?![a-z])",
    rf"(?<![a-z])[ns]\s?{_NUMBERS}\W{{1,6}}[ew]\s?{_NUMBERS}",
)
_GRIDS = (
    r"(?<![\w+])[23456789CFGHJMPQRVWX]{8}\+[23456789CFGHJMPQRVWX]{2,4}(?!\w)",  # Open Location Code
    r"(?<!\w)\d{1,2}[C-HJ-NP-X]\s?[A-HJ-NP-Z]{2}\s?\d{4,5}\s?\d{4,5}(?!\w)",  # MGRS
    r"(?<!\w)\d{1,2}[C-HJ-NP-X]\s\d{6}(?:\.\d{1,6})?\s?m?E?\W{1,3}\d{7}",  # UTM
)
_PLACES = re.compile("|".join(f"(?:{form})" for form in _FORMS), re.IGNORECASE)
_GRID_PLACES = re.compile("|".join(f"(?:{form})" for form in _GRIDS))
_TAGS = re.compile(r"<[^<>]{0,200}>|\{[^{}]{0,200}\}")


def place_in(text: str) -> str | None:
    r"""Return the first coordinates in a text, as written there; None where it has none.

    Subtitle markup (`<b>`, `{\an8}`) inside the coordinates is ignored.
    """
    for reading in dict.fromkeys((text, _TAGS.sub("", text))):
        match = _PLACES.search(reading) or _GRID_PLACES.search(reading)
        if match:
            return match[0].strip()
    return None
