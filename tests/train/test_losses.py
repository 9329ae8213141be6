"""Networks of every family that can be trained learn the crops that they are shown, and decode to their boxes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.train.factories import checked, coco, discs
from tests.train.tiny_network import write_tiny_centerface, write_tiny_lpd_yunet, write_tiny_yolox

from velum import Limits
from velum.locate.output_formats import family
from velum.region import ious
from velum.train import graph
from velum.train.bases import HEADS
from velum.train.crops import CropSampler
from velum.train.pictures import PictureStore

torch = pytest.importorskip("torch", reason="training needs torch")
pytestmark = pytest.mark.filterwarnings("default")


@pytest.mark.parametrize(
    ("kind", "write", "rate", "most"),
    [
        ("centerface", write_tiny_centerface, 3e-3, np.inf),
        ("yolox", write_tiny_yolox, 1e-3, 10.0),
        ("lpd_yunet", write_tiny_lpd_yunet, 3e-3, 10.0),
    ],
)
def test_crops_are_learned(
    tmp_path: Path, kind: str, write: Callable[[Path], Path], rate: float, most: float
) -> None:  # fmt: skip
    """`most` is the norm that the gradient is cut to."""
    from velum.train.torch_network import TorchNetwork  # noqa: PLC0415 - it needs torch

    found = checked(coco(tmp_path, discs(4)))
    with PictureStore(Limits()) as store:
        sampler = CropSampler(found.pictures, found.labels, store, 96, 1.0, 3)
        crops = [crop for crop in sampler.batch(0, 12) if len(crop.boxes)][:3]
    model = graph.load(write(tmp_path / "base.onnx"))
    HEADS[kind].prepare(model, 1, 1)
    network, loss_of = TorchNetwork(model), HEADS[kind].loss()
    batch = torch.from_numpy(np.stack([crop.rgb.transpose(2, 0, 1) for crop in crops]).astype(np.float32))
    optimizer = torch.optim.AdamW(list(network.trained.values()), rate)
    losses = []
    for _ in range(150):
        loss = loss_of(network(batch), crops)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(network.trained.values()), most)
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 2
    with torch.no_grad():
        outputs = dict(zip(network.outputs, (value.numpy() for value in network(batch)), strict=True))
    for place, crop in enumerate(crops):
        detections = family(kind).decode({key: values[place] for key, values in outputs.items()}, (96, 96), 0.05)
        best = detections.xyxy[np.argmax(detections.score)][None]
        assert ious(best, crop.boxes).max() > 0.5


def test_unlabelled_places_are_no_background_where_labels_are_not_complete(tmp_path: Path) -> None:
    from velum.train.centerface_loss import centerface_loss  # noqa: PLC0415 - it needs torch

    found = checked(coco(tmp_path, discs(4)))
    with PictureStore(Limits()) as store:
        sampler = CropSampler(found.pictures, found.labels, store, 96, 1.0, 3)
        drawn = sampler.crop(np.random.default_rng(1))
    empty = np.empty((0, 4), np.float32), np.empty(0, np.int64)
    crop = replace(drawn, boxes=empty[0], kinds=empty[1], ignored=empty[0], ignored_kinds=empty[1])
    partly = replace(crop, complete=np.array([False]))
    heat = torch.full((1, 1, 24, 24), 0.5)
    rest = [torch.zeros((1, 2, 24, 24))] * 2
    assert float(centerface_loss([heat, *rest], [crop])) > 1
    assert float(centerface_loss([heat, *rest], [partly])) == 0
