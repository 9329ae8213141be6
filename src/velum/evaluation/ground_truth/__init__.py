"""Ground truth: labelled objects of images and videos, read from the files of labelling tools."""

from velum.evaluation.ground_truth.loader import read
from velum.evaluation.ground_truth.values import GroundTruth, GroundTruthBox, LabelledFile

__all__ = ["GroundTruth", "GroundTruthBox", "LabelledFile", "read"]
