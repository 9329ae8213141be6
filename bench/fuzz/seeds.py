"""Good inputs, all made here."""

import functools
import json
import struct
from typing import Any

import numpy as np

from velum.evidence.statement import Declared, compose, file_entry
from velum.plan import Plan, Video
from velum.region import Box
from velum.report import HiddenRegion, Report, TrackSummary
from velum.spec import PartSpec


def _as_json(*values: Any) -> list[bytes]:
    return [json.dumps(value).encode() for value in values]


RULES = [
    b"face: centerface -> blacken",
    b"license_plate: model(name='x', threshold=0.5) -> pixelate(degree=0.1) with grow=0.3, shape=ellipse",
    b"zone: fixed(box=[0, 0, 90, 40]) -> blur(degree=0.8) with min_score=0.25",
]
USES = [b"blur", b"fixed(box=[0, 0, 90, 40], label='a, b')", b"model(a=-1.5e3, b=True, c=None, d='(\\'')"]
_PLANS = [
    Plan.of(*(rule.decode() for rule in RULES)),
    Plan.of(
        RULES[0].decode(), metadata=("gps",), quality=80, keep_out=(PartSpec("fixed", {"box": (0, 0, 5, 5)}),),
        video=Video(codec="h264", crf=20, every=3, two_pass=True),
    ),
]  # fmt: skip
PLANS = [*_as_json(*(plan.to_json() for plan in _PLANS)), *_as_json({"rules": [RULES[1].decode()]})]
PLANS_TOML = [plan.to_toml().encode() for plan in _PLANS]

REGIONS = _as_json(
    {
        "format": "velum-regions/1", "width": 64, "height": 48, "sha256": "ab" * 32,
        "models": [{"model": "m", "weights": "cd"}],
        "frames": [{"index": 0, "regions": [
            {"label": "face", "xyxy": [1, 2, 30, 40], "score": 0.5, "found": "detected", "track": 3},
            {"label": "face", "xyxy": [1.5, 2, 30, 40]},
        ]}],
    }
)  # fmt: skip

TRUTHS = _as_json(
    {
        "images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 48}],
        "categories": [{"id": 1, "name": "face"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "iscrowd": 0, "track_id": 3,
             "segmentation": [[1, 2, 3, 4, 5, 6]], "attributes": {"pose": "left", "occluded": True}},
        ],
    },
    {
        "a.png": {"width": 64, "height": 48, "exhaustive": ["face"], "tags": {"light": "dim"}, "objects": [
            {"label": "face", "bbox": [1, 2, 30, 40], "ignore": True, "polygon": [1, 2, 3, 4, 5, 6.5]}]},
        "b.mp4": {"objects_by_frame": {"0": [], "7": [{"label": "car", "bbox": [1, 2, 3, 4], "track": 2}]}},
    },
)  # fmt: skip
VOC = [(
    b"<annotation><filename>a.png</filename><size><width>64</width><height>48</height></size><object><name>face</name>"
    b"<pose>Left</pose><difficult>0</difficult><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>40</ymax>"
    b"</bndbox></object></annotation>"
)]  # fmt: skip
YOLO = [b"path: .\nval: images\nnames:\n  0: face\n  1: plate\n", b"val: [images, a.txt]\nnames: [face]\n"]
YOLO_LABELS = [b"0 0.5 0.5 0.2 0.3\n", b"0 0.1 0.1 0.4 0.1 0.4 0.6\n"]
PROFILES = [b"[mine]\ntitle = 'x'\n[mine.face]\nmin_height = 32\ndetection_rate = 0.9\ncovered = 0.5\n"]

MOUNTED = [(
    b"from dataclasses import dataclass\n\n@dataclass(frozen=True)\nclass Paint:\n    level: float = 0.5\n"
    b"    labels = None\n    destroys = True\n\n    def hide(self, patch):\n        pass\n\n\n"
    b"class Other(Paint):\n    pass\n"
)]  # fmt: skip
SIGNATURES = _as_json(
    {
        "inputs": {"images": [1, 3, 640, 640]}, "outputs": {"output0": [1, 6, 8400]},
        "metadata": {"names": "{0: 'face', 1: 'plate'}", "stride": "32", "task": "detect"},
    },
    {
        "inputs": {"data": [1, 3, 300, 300]}, "outputs": {"detection_out": [1, 1, 200, 7]},
        "metadata": {"names": "['', 'face', 'plate']", "detection.num_classes": "3",
                     "detection.background_label_id": "0", "conversion.reverse_input_channels": "true",
                     "conversion.framework": "caffe"},
    },
)  # fmt: skip


def _report(**more: Any) -> Report:
    return Report(
        "in.jpg", "out.jpg", "JPEG", 64, 48, 1, plan=_PLANS[0].digest, rules=tuple(map(str, _PLANS[0].rules)),
        models=({"model": "m", "threshold": "0.5"},), seconds={"decode": 0.5}, output_sha256="ab" * 32,
        warnings=("look",), version="0.1.0", **more,
    )  # fmt: skip


_REPORTS = [
    _report(hidden=(HiddenRegion(0, "face", Box(1, 2, 30, 40), 0.5, "detected", 0, "blacken"),)),
    _report(hidden=(), tracks=(TrackSummary(1, "face", 0, "blacken", 0, 9, 10, {"detected": 10}, 0.9),)),
]
REPORTS = _as_json(*(report.to_json() for report in _REPORTS))
_MARK = {"frame": 0, "pts": 0}
SPANS = _as_json(
    {
        "index": 0, "count": 1, "read": _MARK, "first": _MARK, "end": {"frame": 9, "pts": None}, "stop": _MARK,
        "origin": 0, "frames_total": 9, "format": "mp4", "sha256": "ab" * 32,
    }
)  # fmt: skip


@functools.cache
def evidence() -> list[bytes]:
    """Evidence of a picture and of a video, signed with a key of zeros as bytes: only its form matters."""
    documents = [compose([file_entry(one, "a.jpg")], _PLANS[0], one.models, Declared(("A",))) for one in _REPORTS]
    signature = {"algorithm": "Ed25519", "public_key": "A" * 43 + "=", "key_id": "0" * 16, "signature": "A" * 86 + "=="}
    return _as_json(*({**document, "signature": signature} for document in documents))


CATALOGUES = [
    b"""default = "tiny"
[model.tiny]
family = "centerface"
labels = ["face"]
file = "tiny.onnx"
size = 10
sha256 = "%s"
licence = "MIT"
threshold = 0.5
good_for = "tests"
not_for = "people"
[[model.tiny.sources]]
url = "https://example.org/tiny.onnx"
"""
    % (b"ab" * 32)
]
SETTINGS = [
    b'cache = "x"\noffline = true\nthreads = 2\n[limits]\npixels = 1000\n[weights]\ncenterface = "a.onnx"\n',
    b'[access]\nrequests_per_minute = 5\nkeys = "keys.json"\n',
]
ENVIRONMENTS = [b"VELUM_CACHE=/tmp/x\nVELUM_MAX_PIXELS=1000\nVELUM_TECHNIQUES=/tmp\nVELUM_OFFLINE=1\nVELUM_PORT=1"]
KEYS = _as_json(
    {
        "keys": [
            {"id": "ab" * 6, "name": "n", "scopes": ["anonymize"], "sha256": "ab" * 32, "created": 1.0, "expires": None,
             "revoked": 2.0, "requests_per_minute": 3, "bytes_per_day": None}
        ]
    }
)  # fmt: skip
CONFIGURATIONS = _as_json(
    {"sensitive_info": [
        {"class_name": "face", "model_name": "m", "inference_type": "detection", "anonymization_technique": "blurring",
         "anonymization_degree": 0.5, "url": "http://10.0.0.1:80/"},
    ]},
)  # fmt: skip
ANSWERS = _as_json(
    {"success": True, "data": {"m": "detection"}, "error": ""},
    {"success": True, "data": {"bounding-boxes": [
        {"ObjectClassName": "face", "ObjectClassId": 1, "confidence": 99.5,
         "coordinates": {"left": 1, "top": 2, "right": 30, "bottom": 40}}]}},
    {"success": False, "error": "no"}, ["a", "b"], {"data": [[0, 0], [1, 1]]}, {"type": "detection"},
)  # fmt: skip
URLS = _as_json({"urls": ["http://10.0.0.1:4343/", "http://example.org"]})
CONFIGS = _as_json({"confidence": 60, "inference_engine_name": "x", "classes": ["a"], "nms": {"threshold": 0.5}})
LABEL_MAPS = [
    b"item {\n  name: 'face' # one\n  id: 1\n}\nitem { id: 2 display_name: \"a\\x41\" keypoints { id: 3 } }\n"
]
RANGES = [b"bytes=0-99", b"bytes=-5", b"bytes 0-1048575/1048576", b"bytes 0-9/*"]
CFG = b"""[net]
width=32
height=32
channels=3
[convolutional]
batch_normalize=1
filters=18
size=3
stride=1
pad=1
activation=leaky
[yolo]
mask=0,1,2
anchors=1,2, 3,4, 5,6
classes=1
"""
WEIGHTS = struct.pack("<iiiq", 0, 2, 5, 0) + np.linspace(0.1, 1, 18 * 4 + 18 * 3 * 9, dtype="<f4").tobytes()


@functools.cache
def poses() -> list[bytes]:
    """A JPEG's first segments with XMP, and without."""
    packet = b"http://ns.adobe.com/xap/1.0/\0<x GPano:PoseHeadingDegrees='12.5' Camera:Yaw=\"3\"><Camera:Roll>1</x>"
    xmp = b"\xff\xe1" + (len(packet) + 2).to_bytes(2) + packet
    rest = b"\xff\xe0\0\x10JFIF\0" + b"\1" * 9 + b"\xff\xda\0\2ab\xff\xd9"
    return [b"\xff\xd8" + xmp + rest, b"\xff\xd8" + rest]


MANY_RULES = [
    json.dumps({"rules": ["face: centerface -> blur"] * 100}).encode(),
    json.dumps({"keep_out": ["fixed(box=[0, 0, 9, 9])"] * 100}).encode(),
]

TRANSCRIPTS = [
    """WEBVTT

NOTE Jane Roe

00:01.000 --> 00:03.000 align:start
<v Jane Roe>call &lt;0171<00:02.000> 23<b>45</b>67

00:03.000 --> 00:04.000
234567
bye

00:04.000 --> 00:05.000
bye
null eins sieben zwo drei vier fünf
""".encode(),
    (b"\xef\xbb\xbf1\r\n00:01,000 --> 00:02,000\r\n{\\an8}card <i>4111 1111</i>\r\n\r\n"
    b"2\r\n00:03,0 --> 00:04,0\r\n1111 1111"),
    json.dumps({
        "text": " call 0171 2345678", "Jane Roe": ["jane at example dot com"],
        "segments": [{
            "start": 0, "end": 4.5, "text": " call 0171 2345678", "tokens": [1],
            "words": [
                {"word": f" {word}", "start": at, "end": at + 1} for at, word in enumerate(["call", "0171", "2345678"])
            ],
        }],
    }).encode(),
]  # fmt: skip
