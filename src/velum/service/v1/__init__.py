"""velum's own interface over HTTP, one file for each kind of thing."""
