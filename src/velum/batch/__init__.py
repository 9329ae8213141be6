"""Many sources at once: folders, resumable."""
