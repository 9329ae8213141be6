"""Runtimes: the only files that import an inference library."""

from typing import Protocol

from velum.frame import Rgb
from velum.locate.families import Tensors


class Network(Protocol):
    """A network ready to run. Called from several threads at once."""

    @property
    def precision(self) -> str:
        """Arithmetic that it really uses: f32, bf16 or f16."""
        ...

    @property
    def runtime(self) -> str:
        """Name and version of the library that runs it."""
        ...

    def infer(self, rgb: Rgb) -> Tensors:
        """Return the outputs, in the network's order, for one picture (height, width, 3) as the family's fit made it.

        The runtime brings it into the form that the family's `Input` states: order, mean, scale and layout. Raises
        `PluginFault` when the library fails, and when an output holds values that are no numbers: nothing found in
        such an output would mean nothing.
        """
        ...
