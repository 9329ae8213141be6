"""Following things through time, so that nobody shows for a single frame. Start reading in `tracker`."""

from velum.track.observation import Observation, Thumbnail
from velum.track.tracker import track_observations

__all__ = ["Observation", "Thumbnail", "track_observations"]
