"""Signed evidence: what was hidden in which file, by which plan, models and software, and what checks found."""
