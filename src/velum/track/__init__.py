"""Tracking: regions without gaps through a video, so that nobody shows for a single frame. Start with `tracker`."""

from velum.track.template_matcher import Observation, Thumbnail, thumbnail_of
from velum.track.tracker import track_object, track_observations

__all__ = ["Observation", "Thumbnail", "thumbnail_of", "track_object", "track_observations"]
