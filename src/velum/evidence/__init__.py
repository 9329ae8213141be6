"""Signed evidence: what was done to which file, by what, and what is known of the result."""
