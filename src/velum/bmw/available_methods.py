"""What can be asked for: which model at which address finds which label, and which techniques hide it.

Addresses are asked side by side, and each within a time of its own: one that is slow or down keeps no other waiting.
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
from velum.errors import BadInput, Unavailable, VelumError

LOG = logging.getLogger("velum.service")

WAIT_SECONDS = 20.0
"""How long addresses may take to say what they offer; what comes later is listed from then on. A YOLO server may have
to load its models first."""

RETRY_SECONDS = 15.0
"""Pause after which addresses that gave no answer are asked again: the parts of a stack start in any order."""

AT_ONCE = 16
"""Addresses asked at a time."""

Kinds = Mapping[str, Mapping[str, tuple[str, ...]]]
"""Kind -> address -> models, in the order in which they were discovered."""


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """A model that an address serves, its kind and its labels; `fault` is why it cannot be used, where it cannot."""

    model: str
    kind: str = ""
    labels: tuple[str, ...] = ()
    fault: str = ""


Ask = Callable[[str], Sequence[RemoteModel]]
"""Returns what an address serves; raises `VelumError`."""


@dataclass(frozen=True, slots=True)
class AvailableMethods:
    """What can be asked for at one moment. It never changes: a request works with one from beginning to end."""

    labels: Mapping[str, Kinds]
    techniques: Mapping[str, Mapping[str, ListedTechnique]]
    """Label -> technique by the name it is listed under."""

    @classmethod
    def of(
        cls, served: Iterable[tuple[str, Sequence[RemoteModel]]], techniques: Sequence[ListedTechnique]
    ) -> "AvailableMethods":
        """Return what the addresses offer together, in their order."""
        labels: dict[str, dict[str, dict[str, tuple[str, ...]]]] = {}
        for url, models in served:
            for one in models:
                for label in one.labels:
                    urls = labels.setdefault(label, {}).setdefault(one.kind, {})
                    if one.model not in urls.get(url, ()):
                        urls[url] = (*urls.get(url, ()), one.model)
        fitting = {label: {one.name: one for one in techniques if one.suits(label)} for label in labels}
        return cls(labels, fitting)

    def to_json(self) -> dict[str, Any]:
        """Return the list that clients get."""
        return {label: wire.offered(kinds, [*self.techniques[label]]) for label, kinds in self.labels.items()}


class ApiDirectory:
    """Keeps `AvailableMethods` up to date. Safe to share between threads.

    `ask` is called for each address of `urls`. `own` is the address of velum's own models and `local` returns them;
    with `strict` they are listed only where no other address is configured.
    """

    def __init__(
        self, urls: Urls, ask: Ask, techniques: Sequence[ListedTechnique], *,
        own: str, local: Callable[[], Sequence[RemoteModel]], strict: bool = False,
    ) -> None:  # fmt: skip
        self._urls, self._ask, self._techniques = urls, ask, techniques
        self._own, self._local, self._strict = own, local, strict
        self._lock, self._one_at_a_time = threading.Lock(), threading.Lock()
        self._served: dict[str, Sequence[RemoteModel] | None] = {}
        self._faults: dict[str, str] = {}
        self._lame: dict[tuple[str, str], str] = {}
        """Address and name of single models that cannot be used, and why: the others of their address can."""
        self._current = AvailableMethods({}, {})
        self._begun = 0
        self._first, self._closed = threading.Event(), threading.Event()

    def start(self) -> None:
        """Ask all addresses, in the background, and those that are down again from time to time."""
        threading.Thread(target=self._watch, name="velum-directory", daemon=True).start()

    @property
    def current(self) -> AvailableMethods:
        """What can be asked for now; shortly after the start, when it is known."""
        self._first.wait(WAIT_SECONDS)
        return self.now

    @property
    def now(self) -> AvailableMethods:
        """What is known this very moment."""
        with self._lock:
            return self._current

    @property
    def faults(self) -> Mapping[str, str]:
        """Addresses, and models of them, that gave no usable answer when they were last asked, and why."""
        with self._lock:
            return self._faults | {f"{url} {model}": why for (url, model), why in self._lame.items()}

    def refresh(self) -> AvailableMethods:
        """Ask all addresses and return what can be asked for from now on.

        Addresses that do not answer are left out. With `strict` they raise `Unavailable`, and all stays as it was; a
        list that cannot be read raises `BadInput` in any case. Calls at the same time share one round.
        """
        arrived = self._begun
        with self._one_at_a_time:
            if self._begun > arrived and not self._strict:  # a round began after this call, and is over
                return self.current
            self._begun += 1
            urls = self._urls.all()
            late = self._asked(urls)
            with self._lock:
                down = [url for url in urls if url in self._faults] + late
            if self._strict and down:
                raise Unavailable(f"no usable answer from {', '.join(down)}; start them, or remove them from the list")
            return self._publish()

    def added(self, url: str) -> None:
        """Take up what a new address offers."""
        self._asked((url,))
        self._publish()

    def removed(self) -> None:
        """Forget what is not in the list of addresses any more."""
        self._publish()

    def close(self) -> None:
        """End the rounds."""
        self._closed.set()

    def _watch(self) -> None:
        while not self._closed.is_set():
            try:
                if self._first.is_set():
                    self._again()
                else:
                    self._asked(self._urls.all())
                    self._publish()
            except VelumError as error:
                # The list cannot be read: requests say so; velum's own models are there all the same.
                with self._lock:
                    self._faults["list"] = str(error)
                self._publish_of(())
            self._first.set()
            self._closed.wait(RETRY_SECONDS)

    def _again(self) -> None:
        listed = self._urls.all()
        with self._lock:
            self._faults.pop("list", None)
            lame = {url for url, _ in self._lame}
            down = tuple(url for url in listed if self._served.get(url) is None or url in lame)
        if down:
            self._asked(down)
            self._publish()

    def _asked(self, urls: Sequence[str]) -> list[str]:
        """Ask addresses and return those that are late; these are taken up when they answer."""
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
                    self._faults[url] = f"took longer than {time.monotonic() - started:.0f} s to say what it offers"
                job.add_done_callback(partial(self._late, url))
        return [url for url, job in jobs.items() if job in late]

    def _late(self, url: str, job: Future[Sequence[RemoteModel]]) -> None:
        if job.cancelled() or self._closed.is_set():
            return
        self._take(url, job)
        with suppress(BadInput):  # the list cannot be read now: the next round sees to it
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
            self._lame = {key: why for key, why in self._lame.items() if key[0] != url}
            self._lame |= {(url, one.model): one.fault for one in served or () if one.fault}
        if fault is not None and fault != before:
            LOG.warning("an inference API cannot be used", extra={"facts": {"url": url, "cause": fault}})

    def _publish(self) -> AvailableMethods:
        return self._publish_of(self._urls.all())

    def _publish_of(self, urls: Sequence[str]) -> AvailableMethods:
        local = [] if self._strict and urls else [(self._own, self._own_models())]
        with self._lock:
            self._served = {url: self._served.get(url) for url in urls}
            self._faults = {url: why for url, why in self._faults.items() if url in {*urls, self._own, "list"}}
            self._lame = {key: why for key, why in self._lame.items() if key[0] in urls}
            known = [(url, served) for url, served in self._served.items() if served is not None]
            self._current = AvailableMethods.of([*known, *local], self._techniques)
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
