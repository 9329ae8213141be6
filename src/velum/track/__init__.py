"""Following things through time, so that nobody shows for a single frame. Start reading in `tracker`."""

from velum.track.observation import Observation, Thumb
from velum.track.tracker import follow

__all__ = ["Observation", "Thumb", "follow"]
