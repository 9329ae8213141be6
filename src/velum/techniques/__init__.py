"""Techniques, one file each. They know a patch and nothing else."""
