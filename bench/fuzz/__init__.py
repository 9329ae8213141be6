"""Mutated inputs for every parser of velum: each gives a value or an error of velum's, never anything else."""
