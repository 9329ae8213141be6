"""Batches: many files at once, on this machine."""
