"""Weights that velum uses but does not ship: what pins them, and how they get onto this machine."""
