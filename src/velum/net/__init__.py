"""HTTP calls to other machines: which addresses are allowed, pooled connections, limits of time and size."""
