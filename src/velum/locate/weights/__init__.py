"""Weights that velum uses but does not ship: size and hash of each file, and the ways to bring it onto this machine."""
