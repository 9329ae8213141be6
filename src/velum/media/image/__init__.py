"""Images in and out: each sample kept as it was, written like the source."""
