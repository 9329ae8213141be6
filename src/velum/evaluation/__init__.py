"""Evaluates plans: how many labelled objects are found and hidden, by size, with confidence intervals."""
