"""Batches: many files in one run, on one machine or on many."""
