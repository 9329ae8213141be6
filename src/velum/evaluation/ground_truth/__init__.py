"""Truth: what people say is in pictures and videos, out of the files that tools for labelling write."""

from velum.evaluation.ground_truth.loader import read
from velum.evaluation.ground_truth.values import GroundTruth, GroundTruthBox, LabelledFile

__all__ = ["GroundTruth", "GroundTruthBox", "LabelledFile", "read"]
