"""Which models could be fetched from here: what cannot be had is not offered to people."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from velum.locate.registry import catalog
from velum.locate.weights.asset import Model, Web, Wheel
from velum.locate.weights.https import is_reachable
from velum.plugins import RuntimeConfig

PROBE_SECONDS = 4.0
"""How long the server of a model's weights may be silent before its models count as not to be had."""

VALID_SECONDS = 600.0
"""For how long an answer counts; then servers are asked again, while the old answer stands."""


@dataclass(eq=False)
class Obtainable:
    """Knows for each model whether its weights could be fetched now. Servers are asked in a thread of its own.

    One address for each server is asked. Package indexes are taken to be there: velum itself came from one.
    """

    host: RuntimeConfig
    probe: Callable[[str], bool] = lambda url: is_reachable(url, PROBE_SECONDS)
    clock: Callable[[], float] = time.monotonic
    _known: Mapping[str, bool] | None = None
    _asked: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, model: Model) -> bool | None:
        """Tell whether a model could be fetched; None while that is being found out."""
        if self.host.offline:
            return False
        if any(isinstance(source, Wheel) for source in model.sources):
            return True
        self._refresh()
        known, places = self._known, [source for source in model.sources if isinstance(source, Web)]
        if known is None:
            return None
        return any(known.get(urlsplit(place.url).netloc, False) for place in places)

    def _refresh(self) -> None:
        with self._lock:
            now = self.clock()
            if self._asked is not None and now - self._asked < VALID_SECONDS:
                return
            self._asked = now
        threading.Thread(target=self._ask, name="velum-obtainable", daemon=True).start()

    def _ask(self) -> None:
        sources = [source for model in catalog(self.host).values() for source in model.sources]
        one_each = {urlsplit(one.url).netloc: one.url for one in sources if isinstance(one, Web)}
        self._known = {server: self.probe(url) for server, url in one_each.items()}
