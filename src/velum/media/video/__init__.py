"""Read and write videos: each frame with its planes and its time stamp; files appear whole or not at all."""
