"""Networks are recognised by their signatures: the right output format is named, and no more than are possible."""

import pytest

from velum.locate.output_formats import Signature, family

FAMILIES = (
    "aizoo_face_mask", "detr", "fastestdet", "lpd_yunet", "mask_rcnn", "nanodet", "retinaface", "scrfd", "ssd",
    "tf_detection", "ultra_light_face", "yolact", "yolo", "yolo_obb", "yolo_pose", "yolox",
)  # fmt: skip

Shape = tuple[int | None, ...]
TF = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")


@pytest.mark.parametrize(
    ("outputs", "metadata", "expected", "reason"),
    [
        ({"output0": (1, 84, 8400)}, {"task": "detect"}, {"yolo"}, "version 8"),
        ({"output0": (1, 84, 8400)}, {}, {"yolo"}, "version 8 that says nothing of itself"),
        ({"output0": (1, 5, 8400)}, {"task": "detect", "stride": "32"}, {"yolo"}, "version 8 with one class"),
        ({"output0": (None, 84, None)}, {"stride": "32"}, {"yolo"}, "version 8 of any size"),
        ({"output0": (1, 116, 8400), "output1": (1, 32, 160, 160)}, {"task": "segment"}, {"yolo"}, "with outlines"),
        ({"output0": (1, 300, 38), "output1": (1, 32, 160, 160)}, {}, {"yolo"}, "suppressed, with outlines"),
        ({"output0": (1, 300, 6)}, {}, {"yolo"}, "suppressed"),
        ({"output0": (1, 25200, 85)}, {"stride": "32"}, {"yolo"}, "version 5"),
        ({"output0": (1, 25200, 85)}, {}, {"yolo", "yolox"}, "version 5 that says nothing of itself"),
        ({"output0": (1, 56, 8400)}, {"task": "pose"}, {"yolo_pose"}, "the numbers after the box are a skeleton"),
        ({"output0": (1, 300, 57)}, {"task": "pose"}, {"yolo_pose"}, "the same, suppressed"),
        ({"output0": (1, 20, 21504)}, {"task": "obb"}, {"yolo_obb"}, "the boxes are turned"),
        ({"output0": (1, 8400, 6)}, {"names": "['a', 'b']"}, {"yolo"}, "two classes, so no objectness"),
        ({"output0": (1, 8400, 6)}, {}, {"yolo", "yolox"}, "two classes, or one with objectness"),
        ({"output0": (1, 300, 84)}, {"names": str([""] * 80)}, {"yolo"}, "RT-DETR as YOLO's trainer exports it"),
        ({"output": (None, 7)}, {}, {"yolo"}, "version 7, suppressed, with the picture's number"),
        ({str(n): (None, c) for n, c in enumerate([1, 1, 1, 4, 4, 4, 10, 10, 10])}, {}, {"scrfd"}, "by distances"),
        ({"a": (1, 16800, 4), "b": (1, 16800, 2), "c": (1, 16800, 10)}, {}, {"retinaface"}, "faces by priors"),
        ({"output0": (1, 1000)}, {"task": "classify"}, set(), "no boxes"),
        ({"output": (1, 8400, 85)}, {}, {"yolo", "yolox"}, "without its rows being looked at either is possible"),
        ({"output": (1, 3598, 112)}, {}, {"nanodet"}, "NanoDet-Plus"),
        ({"logits": (1, 300, 80), "pred_boxes": (1, 300, 4)}, {}, {"detr"}, "D-FINE"),
        ({"dets": (1, 300, 4), "labels": (1, 300, 91)}, {}, {"detr"}, "RF-DETR"),
        ({"logits": (None, None, 92), "pred_boxes": (None, None, 4)}, {}, {"detr"}, "DETR with an open number"),
        ({"boxes": (1, 8400, 4), "scores": (1, 8400, 80)}, {}, set(), "many rows for queries, many classes for faces"),
        ({"scores": (1, 4420, 2), "boxes": (1, 4420, 4)}, {}, {"ultra_light_face"}, "two classes for each prior"),
        ({"detection_out": (1, 1, 200, 7)}, {}, {"ssd"}, "DetectionOutput"),
        ({"DetectionOutput": (1, 1, None, 7)}, {}, {"ssd"}, "DetectionOutput of an open number"),
        ({"boxes": (100, 5), "labels": (100,)}, {}, {"ssd"}, "lists of the Open Model Zoo"),
        ({"boxes": (None, 4), "labels": (None,), "scores": (None,)}, {}, {"ssd"}, "lists of torchvision"),
        ({"labels": (1, 300), "boxes": (1, 300, 4), "scores": (1, 300)}, {}, {"ssd", "detr"}, "RT-DETR's own export"),
        (dict.fromkeys(TF, (1, 100)), {}, {"tf_detection"}, "names"),
        ({f"x/{name}:0": (None, None) for name in TF[:3]}, {}, {"tf_detection"}, "names with scope, no count"),
        ({"boxes": (100, 5), "labels": (100,), "masks": (100, 28, 28)}, {}, {"mask_rcnn"}, "Open Model Zoo"),
        (
            {"boxes": (None, 4), "scores": (None,), "classes": (None,), "raw_masks": (None, 81, 28, 28)},
            {}, {"mask_rcnn"}, "Detectron's names",
        ),
        (
            {"boxes": (1, 19248, 4), "conf": (1, 19248, 81), "mask": (1, 19248, 32), "proto": (1, 138, 138, 32)},
            {}, {"yolact"}, "coefficients for as many prototypes as there are",
        ),
        (
            {"boxes": (1, 19248, 4), "conf": (1, 19248, 81), "mask": (1, 19248, 16), "proto": (1, 138, 138, 32)},
            {}, set(), "fewer coefficients than prototypes",
        ),
        ({"loc": (4385, 14), "conf": (4385, 2), "iou": (4385, 1)}, {}, {"lpd_yunet"}, "names and columns"),
        ({"a": (None, None, 2), "b": (None, None, 4)}, {}, set(), "could be many things"),
        ({"758": (1, 85, 40, 40)}, {}, {"fastestdet"}, "a sixteenth of 640 x 640"),
        ({"out": (1, 19, 640, 640)}, {}, set(), "a map of classes"),
        ({}, {}, set(), "no outputs"),
        ({"out": ()}, {}, set(), "an output of unknown rank"),
        ({"boxes": (), "labels": (), "scores": (), "conf": (), "mask": (), "proto": ()}, {}, set(), "unknown ranks"),
    ],
)  # fmt: skip
def test_a_signature_gives_the_families_that_it_can_be(
    outputs: dict[str, Shape], metadata: dict[str, str], expected: set[str], reason: str
) -> None:
    signature = Signature({"images": (1, 3, 640, 640)}, outputs, metadata)
    reasons = {name: family(name).recognise(signature) for name in FAMILIES}
    assert {name for name, why in reasons.items() if why} == expected, reason
