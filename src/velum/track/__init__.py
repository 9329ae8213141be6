"""Following things through time, so that nobody shows for a single frame. Start reading in `follow`."""

from velum.track.follow import follow
from velum.track.look import Observation, Thumb

__all__ = ["Observation", "Thumb", "follow"]
