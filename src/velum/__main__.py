"""Lets `python -m velum` be the command line."""

from velum.cli.main import run

run()
