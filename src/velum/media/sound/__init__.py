"""Sound: decoded to samples on one time line, searched for speech, muted, and encoded again."""
