"""velum's own HTTP API, one file for each kind of resource."""
