"""The embedding `sface`: OpenCV's network for faces, 128 numbers for each face.

Zhong et al., "SFace: Sigmoid-Constrained Hypersphere Loss for Robust Face Recognition" (2021). Its weights are fetched
by address only, and no test has them: the thresholds lie around the one that OpenCV publishes for it, see `Sface`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from velum.frame import Frame
from velum.locate import registry
from velum.locate.embedding.alignment import Template, align
from velum.locate.output_formats import Input
from velum.locate.runtime import open_network
from velum.locate.weights import fetch
from velum.plugins import Embeddings, RuntimeConfig
from velum.region import Points

MODEL = "sface"

NUMBERS = 128

FORM = Input(fit="stretch", size_wh=(112, 112), stride=1)

FACE = Template(
    112, ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
)
"""The mean face in which such networks are trained, of 112 pixels."""


class Sface:
    """Compares faces with SFace. The constructor fetches and compiles the weights.

    Vectors have the length 1. OpenCV takes two faces for one person up to a distance of 1.128, a cosine of 0.363. That
    is the middle of the two thresholds here, which are cosines of 0.5 and 0.2: they are not measured, as reports warn.
    """

    same = 1.0
    different = 1.26
    warning = (
        "sface compares faces by thresholds that are not measured: it may take a stranger for a person, or miss the "
        "person; look at every face of the result, or leave the embedding out"
    )

    def __init__(self, host: RuntimeConfig) -> None:
        """Prepare the network. Raises `Unavailable` when its weights cannot be fetched or used."""
        self._model = registry.embedding_models()[MODEL]
        weights = fetch.ensure_local(self._model, host)
        host = replace(host, device="cpu", runtime="openvino", precision="f32", mode="latency")
        self._network = open_network(weights, FORM, host, self._model.fingerprint)

    @property
    def description(self) -> Mapping[str, str]:
        """Model and runtime, for the report."""
        return {
            "model": MODEL, "weights": self._model.fingerprint, "runtime": self._network.runtime,
            "precision": self._network.precision,
        }  # fmt: skip

    def embed(self, frame: Frame, faces: Sequence[Points]) -> Embeddings:
        """Return a vector (128) of length 1 for each face of the frame. Raises `PluginFault` when the network fails."""
        aligned = (align(frame, points, FACE) for points in faces)
        rows = [next(iter(outputs.values())) for outputs in self._network.infer_many(aligned)]
        vectors = np.array(rows, np.float32).reshape(len(faces), NUMBERS)
        return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9), np.float32)
