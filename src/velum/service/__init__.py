"""The HTTP service: one process for the BMW interfaces and velum's own."""
