"""Truth: what people say is in pictures and videos, out of the files that tools for labelling write."""

from velum.check.evaluate.truth.opening import read
from velum.check.evaluate.truth.values import GroundTruth, GroundTruthBox, LabelledFile

__all__ = ["GroundTruth", "GroundTruthBox", "LabelledFile", "read"]
