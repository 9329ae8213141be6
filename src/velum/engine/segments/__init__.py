"""Segments of a video that are hidden on their own, and what makes one video of them."""
