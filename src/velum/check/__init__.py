"""Looking at finished files as a stranger would: what is still to be seen, and whether what was hidden is gone."""
