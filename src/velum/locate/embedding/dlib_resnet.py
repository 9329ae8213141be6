"""The embedding `dlib-resnet`: dlib's network for faces, 128 numbers for each face.

The thresholds and the template are measured for the points that CenterFace and YuNet give; see docs/people.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from velum.frame import Frame
from velum.locate import registry
from velum.locate.embedding.alignment import FACE, align
from velum.locate.output_formats import Input
from velum.locate.runtime import Network, open_network
from velum.locate.runtime.dlib_resnet import read_weights
from velum.locate.weights import fetch
from velum.plugins import Embeddings, RuntimeConfig
from velum.region import Points

MODEL = "dlib-resnet"

NUMBERS = 128

FORM = Input(
    mean=(122.782, 117.001, 104.298), scale=(1 / 256, 1 / 256, 1 / 256), fit="stretch", size_wh=(150, 150), stride=1
)

CONVERSION = "dlib_resnet/1"
"""Changes with the graph, so that a network that an older version compiled is not taken for this one."""


class DlibResnet:
    """Compares faces with dlib's network. The constructor fetches and compiles the weights.

    It runs in OpenVINO on the CPU in full precision, whatever the host says of detectors: thresholds are distances.
    """

    same = 0.46
    different = 0.66

    def __init__(self, host: RuntimeConfig) -> None:
        """Prepare the network. Raises `Unavailable` when its weights cannot be fetched or used."""
        self._model = registry.embedding_models()[MODEL]
        weights = fetch.ensure_local(self._model, host)
        self._network = open_embedding(weights, self._model.fingerprint, host)

    @property
    def description(self) -> Mapping[str, str]:
        """Model and runtime, for the report."""
        return {
            "model": MODEL, "weights": self._model.fingerprint, "runtime": self._network.runtime,
            "precision": self._network.precision,
        }  # fmt: skip

    def embed(self, frame: Frame, faces: Sequence[Points]) -> Embeddings:
        """Return a vector (128) for each face of the frame. Raises `PluginFault` when the network fails."""
        aligned = (align(frame, points, FACE) for points in faces)
        rows = [next(iter(outputs.values())) for outputs in self._network.infer_many(aligned)]
        return np.array(rows, np.float32).reshape(len(faces), NUMBERS)


def open_embedding(weights: Path, fingerprint: str, host: RuntimeConfig) -> Network:
    """Return the network of weights whose manifest lies next to them. Raises `Unavailable` and `BadInput`."""
    from velum.locate.runtime import dlib_resnet  # noqa: PLC0415 - OpenVINO is loaded when it is used

    host = replace(host, device="cpu", runtime="openvino", precision="f32", mode="latency")
    with TemporaryDirectory(prefix="velum-", ignore_cleanup_errors=True) as room:
        graph = Path(room) / "dlib_resnet.xml"
        dlib_resnet.convert(read_weights(weights, weights.with_suffix(".json")), graph)
        return open_network(graph, FORM, host, f"{CONVERSION}+{fingerprint}" if fingerprint else "")
