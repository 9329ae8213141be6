"""Tracking: regions without gaps through a video, so that nobody shows for a single frame. Start with `tracker`."""
