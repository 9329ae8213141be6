"""velum as a server with one of the BMW inference APIs: local models behind the API of a chosen variant."""
