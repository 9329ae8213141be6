"""The available methods: labels, the models and addresses that find them, and the techniques that hide them.

All addresses are queried at once, each with a time-out of its own, so that a slow one delays no other. velum's own
models are listed like those of one more inference API, but run in this process.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from velum.bmw import wire
from velum.bmw.techniques import ListedTechnique
from velum.bmw.urls import Urls
from velum.errors import BadInput, BadPlan, Unavailable, VelumError
from velum.locate import registry
from velum.locate.output_formats import family
from velum.locate.weights.asset import Model
from velum.plan import Rule
from velum.plugins import RuntimeConfig
from velum.spec import PartSpec

LOG = logging.getLogger("velum.service")

WAIT_SECONDS = 20.0
"""Time-out of a query; an address that answers later is listed from then on. A YOLO server may have to load its models
first."""

RETRY_SECONDS = 15.0
"""Pause after which failed addresses are queried again: the services of a stack start in any order."""

AT_ONCE = 16
"""Most addresses queried at a time."""


Kinds = Mapping[str, Mapping[str, tuple[str, ...]]]
"""Kind -> address -> models, in the order of discovery."""


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """A model of an inference API with its kind and labels; `fault` is why it cannot be used, "" where it can."""

    model: str
    kind: str = ""
    labels: tuple[str, ...] = ()
    fault: str = ""


Ask = Callable[[str], Sequence[RemoteModel]]
"""Returns the models at an address; raises `VelumError`."""


@dataclass(frozen=True, slots=True)
class AvailableMethods:
    """Snapshot of the available methods. It is immutable, so that a request sees one state from start to end."""

    labels: Mapping[str, Kinds]
    techniques: Mapping[str, Mapping[str, ListedTechnique]]
    """Label -> listed name -> technique."""

    @classmethod
    def of(
        cls, served: Iterable[tuple[str, Sequence[RemoteModel]]], techniques: Sequence[ListedTechnique]
    ) -> "AvailableMethods":
        """Combine the models of all addresses, in their order."""
        labels: dict[str, dict[str, dict[str, tuple[str, ...]]]] = {}
        for url, models in served:
            for model in models:
                for label in model.labels:
                    urls = labels.setdefault(label, {}).setdefault(model.kind, {})
                    if model.model not in urls.get(url, ()):
                        urls[url] = (*urls.get(url, ()), model.model)
        fitting = {
            label: {technique.name: technique for technique in techniques if technique.suits(label)} for label in labels
        }
        return cls(labels, fitting)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON values that clients get."""
        return {label: wire.methods_of_label(kinds, [*self.techniques[label]]) for label, kinds in self.labels.items()}


class ApiDirectory:
    """Keeps `AvailableMethods` up to date. Safe to share between threads.

    `ask` queries one address of `urls`. `own` is the pseudo-address of velum's own models, which `local` returns; with
    `strict` they are listed only where no address is configured. Once `closed` is set, no address is queried any more.
    """

    def __init__(
        self, urls: Urls, ask: Ask, techniques: Sequence[ListedTechnique], *,
        own: str, local: Callable[[], Sequence[RemoteModel]], strict: bool = False,
        closed: threading.Event | None = None,
    ) -> None:  # fmt: skip
        self._urls, self._ask, self._techniques = urls, ask, techniques
        self._own, self._local, self._strict = own, local, strict
        self._lock, self._one_at_a_time = threading.Lock(), threading.Lock()
        self._served: dict[str, Sequence[RemoteModel] | None] = {}
        self._faults: dict[str, str] = {}
        self._broken_models: dict[tuple[str, str], str] = {}
        """(Address, model) -> why that single model cannot be used; others at the address can."""
        self._current = AvailableMethods({}, {})
        self._begun = 0
        self._first_round, self._closed = threading.Event(), closed or threading.Event()

    def start(self) -> None:
        """Query all addresses in the background, and failed ones again every `RETRY_SECONDS`."""
        threading.Thread(target=self._watch, name="velum-directory", daemon=True).start()

    @property
    def current(self) -> AvailableMethods:
        """The available methods; right after the start, this waits for the first round of queries."""
        self._first_round.wait(WAIT_SECONDS)
        return self.now

    @property
    def now(self) -> AvailableMethods:
        """The available methods known at this moment, without waiting."""
        with self._lock:
            return self._current

    @property
    def faults(self) -> Mapping[str, str]:
        """Address, or "address model" -> why its last answer could not be used."""
        with self._lock:
            return self._faults | {f"{url} {model}": why for (url, model), why in self._broken_models.items()}

    def refresh(self) -> AvailableMethods:
        """Query all addresses and return the updated methods.

        Addresses that do not answer are left out; with `strict` they raise `Unavailable`, and nothing changes. A list
        of addresses that cannot be read raises `BadInput`. Concurrent calls share one round.
        """
        arrived = self._begun
        with self._one_at_a_time:
            if self._begun > arrived and not self._strict:  # a round that began after this call has ended
                return self.current
            self._begun += 1
            urls = self._urls.all()
            late = self._ask_addresses(urls)
            with self._lock:
                down = [url for url in urls if url in self._faults] + late
            if self._strict and down:
                raise Unavailable(f"no usable answer from {', '.join(down)}; start them, or remove them from the list")
            return self._publish()

    def add_url(self, url: str) -> None:
        """Query a new address and list its models."""
        self._ask_addresses((url,))
        self._publish()

    def forget_removed(self) -> None:
        """Drop the models of addresses that are no longer in the list."""
        self._publish()

    def close(self) -> None:
        """Stop querying."""
        self._closed.set()

    def _watch(self) -> None:
        while not self._closed.is_set():
            try:
                if self._first_round.is_set():
                    self._retry_failed()
                else:
                    self._ask_addresses(self._urls.all())
                    self._publish()
            except VelumError as error:
                # Requests report the unreadable list; velum's own models stay available.
                with self._lock:
                    self._faults["list"] = str(error)
                self._publish_of(())
            self._first_round.set()
            self._closed.wait(RETRY_SECONDS)

    def _retry_failed(self) -> None:
        listed = self._urls.all()
        with self._lock:
            self._faults.pop("list", None)
            broken = {url for url, _ in self._broken_models}
            down = tuple(url for url in listed if self._served.get(url) is None or url in broken)
        if down:
            self._ask_addresses(down)
            self._publish()

    def _ask_addresses(self, urls: Sequence[str]) -> list[str]:
        """Query addresses, and return those that are late; their answers are used when they arrive."""
        if not urls:
            return []
        pool = ThreadPoolExecutor(min(len(urls), AT_ONCE), thread_name_prefix="velum-ask")
        started = time.monotonic()
        jobs = {url: pool.submit(self._ask, url) for url in urls}
        done, late = wait(jobs.values(), timeout=WAIT_SECONDS)
        pool.shutdown(wait=False)
        for url, job in jobs.items():
            if job in done:
                self._take(url, job)
            else:
                with self._lock:
                    self._faults[url] = f"took longer than {time.monotonic() - started:.0f} s to list its models"
                job.add_done_callback(partial(self._take_late_answer, url))
        return [url for url, job in jobs.items() if job in late]

    def _take_late_answer(self, url: str, job: Future[Sequence[RemoteModel]]) -> None:
        if job.cancelled() or self._closed.is_set():
            return
        self._take(url, job)
        with suppress(BadInput):  # the list of addresses cannot be read now; the next round tries again
            self._publish()

    def _take(self, url: str, job: Future[Sequence[RemoteModel]]) -> None:
        try:
            served, fault = job.result(), None
        except VelumError as error:
            served, fault = None, str(error)
        with self._lock:
            self._served[url] = served
            before = self._faults.pop(url, None)
            if fault is not None:
                self._faults[url] = fault
            self._broken_models = {key: why for key, why in self._broken_models.items() if key[0] != url}
            self._broken_models |= {(url, model.model): model.fault for model in served or () if model.fault}
        if fault is not None and fault != before:
            LOG.warning("an inference API cannot be used", extra={"facts": {"url": url, "cause": fault}})

    def _publish(self) -> AvailableMethods:
        return self._publish_of(self._urls.all())

    def _publish_of(self, urls: Sequence[str]) -> AvailableMethods:
        local = [] if self._strict and urls else [(self._own, self._own_models())]
        with self._lock:
            self._served = {url: self._served.get(url) for url in urls}
            self._faults = {url: why for url, why in self._faults.items() if url in {*urls, self._own, "list"}}
            self._broken_models = {key: why for key, why in self._broken_models.items() if key[0] in urls}
            available = [(url, served) for url, served in self._served.items() if served is not None]
            self._current = AvailableMethods.of([*available, *local], self._techniques)
            return self._current

    def _own_models(self) -> Sequence[RemoteModel]:
        try:
            served, fault = self._local(), None
        except VelumError as error:
            served, fault = (), str(error)
        with self._lock:
            self._faults.pop(self._own, None)
            if fault is not None:
                self._faults[self._own] = fault
        return served


# --- velum's own models ---

OUTLINING = frozenset({"mask_rcnn", "yolact"})
"""Families of box detectors that return masks as well."""


def own_models(host: RuntimeConfig, is_installed: Callable[[Model], bool]) -> Sequence[RemoteModel]:
    """Return velum's own models: the default one, which is always listed, then the user's, then others installed."""
    models, added = registry.catalog(host), registry.added_models(host)
    default = models[registry.default_model().name]
    order = dict.fromkeys([default.name, *added, *models])
    return [_remote_model(models[name]) for name in order if name == default.name or is_installed(models[name])]


def own_rule(label: str, model: str, hide: PartSpec) -> Rule:
    """Return the rule that hides what one of velum's own models finds of a label."""
    return Rule(label, PartSpec(model), hide)


def _remote_model(model: Model) -> RemoteModel:
    kind = family(model.family)
    outlines = kind.localizer == "segment" or model.family in OUTLINING
    labels = tuple(dict.fromkeys(label for label in model.labels if label and _fits_rule(label)))
    return RemoteModel(model.name, wire.SEGMENTATION if outlines else wire.DETECTION, labels)


def _fits_rule(label: str) -> bool:
    """Tell whether a label can be written in a rule."""
    try:
        own_rule(label, registry.default_model().name, PartSpec("blacken"))
    except BadPlan:
        return False
    return True
