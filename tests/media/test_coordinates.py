"""Coordinates as cameras, drones, dashcams and people write them, and numbers that only look like them."""

import pytest

from velum.media.coordinates import place_in

PLACES = [
    "F/2.8, SS 206, ISO 100, EV 0, GPS (8.4037, 49.0069, 17), D 3.1m",
    "HOME(149.0251,-20.2532) 2017.08.05 14:11:51",
    '<font size="36">[iso : 100] [latitude: 22.540123] [longtitude: 113.934567]</font>',
    "lat <b>48.1371</b>",
    "$GPRMC,081836,A,3751.65,S,14507.36,E,000.0,360.0,130998,011.3,E*62",
    "[1483228800000]$GNGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47",
    "4807.038N/01131.000E",
    "+48.1371+011.5754+520/",
    "+4808-01134/",
    "48\u00b007'24.1\"N 11\u00b034'31.0\"E",
    "48\ufffd07'24.1\"N",
    "48 deg 7' 24.10\" N",
    "48\u00b0 7.402' N",
    "48.1371\u00b0 N",
    "N 48 07.402 E 011 34.123",
    "48 07 24 N 011 34 31 E",
    "N:48.13712 E:011.57541",
    "E:113.9420 N:22.5324",
    "48.1371 N, 11.5754 E",
    "48.13712, 11.57541",
    "48,13712; 11,57541",
    "LAT 22.5 LON 113.9",
    "Lat: 35 40 12 N Lon: 139 41 3 E",
    '{"lat":48.1371,"lon":11.5754}',
    '<trkpt lat="48.1371" lon="11.5754">',
    '"latitudeE7": 481371000',
    '"coordinates":[11.57,48.13]',
    "geo:48.1371,11.5754",
    "https://www.google.com/maps/@48.1371,11.5754,15z",
    "8FWH4HX8+QR",
    "32U PU 91234 34567",
]

NONE = [
    "Jane Roe lives here",
    "It is 20.5\u00b0C outside, turn 90\u00b0 to the left",
    "We meet at 12:30 in room 4.12",
    "1,000,000 dollars, 2,500,000 euros",
    "The flat costs 1200.50 a month, on a plateau 12.345 m high",
    "[iso: 100] [shutter: 1/120.0] [fnum: 2.8] [ev: 0] [focal_len: 24.00]",
    "F/2.8, SS 206, ISO 100, EV 0, 2021-05-02 14:11:51,123,456",
    "00:01:02.345 --> 00:01:05.678",
    "a long 12.5 km way",
    "0,0,Default,,0,0,0,,Hello, how are you",
    "News 12.50 East 14.20",
]


@pytest.mark.parametrize("text", PLACES)
def test_coordinates_are_detected_in_every_form(text: str) -> None:
    assert place_in(f"some words {text} and more") is not None


@pytest.mark.parametrize("text", NONE)
def test_other_numbers_are_not_taken_for_coordinates(text: str) -> None:
    assert place_in(text) is None
