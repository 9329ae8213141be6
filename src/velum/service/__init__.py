"""The HTTP service: velum's own API, the page, health and metrics; another API can be mounted on it."""
