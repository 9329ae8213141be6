"""CenterFace: heat maps of centres, with sizes and offsets at a quarter of the input's resolution.

Layout after Xu et al., "CenterFace: Joint Face Detection and Alignment Using Face as Point" (2019), and the reference
decoder of the repository Star-Clouds/CenterFace. The network's first outputs, whatever their names: heat (1, h, w)
from 0 to 1, or (n, h, w) for n classes; size (2, h, w), the logarithm of height and width in cells; offset (2, h, w) of
the centre from its cell, down and across; landmarks (10, h, w) of both eyes, the tip of the nose and both corners of
the mouth, the left one in the image first: each down and across from the box's top left corner, as a share of its
height and width. Networks that velum has trained have no landmarks.

Measured on labelled photographs in nine scales, at a threshold of 0.2: of the faces whose shorter side is 16 pixels of
the input or more 99 to 100 % are found, 99 % at 12 to 16, 96 % at 10 to 12, 91 % at 8 to 10; above 600 pixels boxes
become too small and false ones appear within the face. Channels in the order red, green, blue, values from 0 to 255:
the other order finds fewer faces with lower scores and more than twice as many false ones.
"""

from collections.abc import Sequence

import numpy as np

from velum.locate.output_formats import Detections, Family, Floats, Input, Signature, Tensors

STRIDE = 4


def decode(outputs: Tensors, input_wh: tuple[int, int], threshold: float) -> Detections:  # noqa: ARG001 - the seam's
    """Return each cell and class whose heat is at least `threshold`."""
    heat, size, offset, *rest = outputs.values()
    kinds, rows, columns = np.nonzero(heat >= threshold)
    height, width = np.exp(size[:, rows, columns]) * STRIDE
    middle_y = (rows + offset[0, rows, columns] + 0.5) * STRIDE
    middle_x = (columns + offset[1, rows, columns] + 0.5) * STRIDE
    edges = middle_x - width / 2, middle_y - height / 2, middle_x + width / 2, middle_y + height / 2
    return Detections(
        np.stack(edges, axis=1).astype(np.float32),
        heat[kinds, rows, columns].astype(np.float32),
        kinds.astype(np.int32),
        points=_place_landmarks(rest[0][:, rows, columns], edges) if rest else None,
    )


def _place_landmarks(shares: Floats, edges: Sequence[Floats]) -> Floats:
    """Return points (n, 5, 2) of landmarks (10, n) in boxes whose edges x0, y0, x1, y1 (n,) these are."""
    x0, y0, x1, y1 = edges
    points = np.stack((x0 + shares[1::2] * (x1 - x0), y0 + shares[::2] * (y1 - y0)), axis=-1)
    return points.transpose(1, 0, 2).astype(np.float32)


TRAINED = ("heat", "size", "offset")
"""Names of the outputs of networks that velum has trained."""


def recognise(signature: Signature) -> str | None:
    """Return the reason when the outputs are a heat map, sizes, offsets and five landmarks over one grid.

    Networks that velum has trained have a heat map for each class and no landmarks; their outputs say what they are.
    """
    channels = [shape[1] for shape in signature.outputs.values() if len(shape) == 4]
    if tuple(signature.outputs) == TRAINED and channels[1:] == [2, 2]:
        return f"its outputs are called {', '.join(TRAINED)}, as those of networks that velum has trained"
    if channels == [1, 2, 2, 10]:
        return "four maps of 1, 2, 2 and 10 channels: heat, size, offset and landmarks, as CenterFace gives"
    return None


FAMILY = Family(
    decode,
    Input(order="rgb", stride=32),
    smallest_side=16.0,
    largest_side=512.0,
    nms_iou=0.3,
    recognise=recognise,
)
