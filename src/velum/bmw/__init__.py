"""The BMW Anonymization API, mounted on velum's service; the BMW inference APIs, as client and as server."""
