"""Long videos of a batch: any node can hide their segments, which stay beside the results until they are joined."""

import hashlib
import json
import random
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from velum.batch.item import SourceItem
from velum.batch.listing import delete_unneeded
from velum.engine.segments import link_tracks, renumber_report
from velum.engine.subprocess_engine import SubprocessPool, SubprocessRequest
from velum.errors import Unavailable
from velum.media import SEGMENT_SECONDS
from velum.plan import Plan
from velum.storage.objects import ObjectGone, ObjectTree

LONG_SECONDS = 1200.0
"""Estimated length of a video from which it is hidden in segments. All nodes must have the same."""


def is_long(item: SourceItem) -> bool:
    """Tell whether an item is hidden in segments, if its plan and its format allow it."""
    return item.video_seconds >= LONG_SECONDS


def segments_folder(root: str, item: SourceItem) -> str:
    """Return the start of the keys of a video's segments, under the keys of its run."""
    return f"{root}/segments/{hashlib.sha256(json.dumps([item.key, item.etag]).encode()).hexdigest()[:32]}"


@dataclass(frozen=True, slots=True)
class LongVideo:
    """A video, as the file `source` in a scratch `folder`. Nodes share its segments in `store` under `place`."""

    store: ObjectTree
    place: str
    key: str
    source: Path
    target: Path
    plan: Plan
    engines: SubprocessPool
    threads: int
    stop: threading.Event

    def hide(self) -> tuple[Mapping[str, Any], float] | None:
        """Write the target; return its report as JSON values and the processor time of all nodes.

        Segments that another node has finished are not hidden again. None when `stop` was set. Raises as
        `SubprocessEngine.hide` does, and `Unavailable` when the segments are deleted meanwhile.
        """
        try:
            spans = self._cut()
            if spans is None:
                return None
            if len(spans) < 2:
                return self._request(SubprocessRequest(self.source, self.target, self.plan, name=self.key))
            # Each node begins elsewhere, so that two of them share the work.
            order = random.sample(range(len(spans)), len(spans))
            with ThreadPoolExecutor(self.threads, thread_name_prefix="velum-segment") as pool:
                finished = list(pool.map(lambda number: self._hide_segment(number, spans[number]), order))
            return self._join(len(spans)) if all(finished) else None
        except ObjectGone as error:
            delete_unneeded(self.store, self.place)  # what this node has stored since then
            raise Unavailable(f"the segments of {self.key} were deleted, by a node that has joined them") from error

    def _cut(self) -> Sequence[Mapping[str, Any]] | None:
        key = f"{self.place}/spans.json"
        try:
            data = self.store.read(key)
        except ObjectGone:
            cut = self.target.with_name(f"cut{self.target.suffix}")
            request = SubprocessRequest(self.source, cut, self.plan, name=self.key, cut_seconds=SEGMENT_SECONDS)
            answer = self._request(request)
            if answer is None:
                return None
            self.store.put_new(key, json.dumps(answer[0]["spans"]).encode())
            data = self.store.read(key)
        spans: Sequence[Mapping[str, Any]] = json.loads(data)
        return spans

    def _hide_segment(self, number: int, span: Mapping[str, Any]) -> bool:
        """Hide a segment and store its file, its regions and then its report; False when `stop` was set."""
        if self.stop.is_set():
            return False
        try:
            self.store.head(f"{self.place}/{number}.json")
        except ObjectGone:
            pass
        else:
            return True
        part, regions = self._files(number)
        request = SubprocessRequest(
            self.source, part, self.plan, name=self.key, span=span, hidden_regions=regions
        )  # fmt: skip
        answer = self._request(request)
        if answer is None:
            return False
        for file in (part, regions):
            self.store.put_file(f"{self.place}/{file.name}", file, {})
        report, cpu_seconds = answer
        self.store.put_new(f"{self.place}/{number}.json", json.dumps({"report": report, "cpu": cpu_seconds}).encode())
        return True

    def _join(self, count: int) -> tuple[Mapping[str, Any], float] | None:
        reports = [json.loads(self.store.read(f"{self.place}/{number}.json")) for number in range(count)]
        files = [self._files(number) for number in range(count)]
        for file in (file for pair in files for file in pair if not file.exists()):
            self.store.fetch(self.store.head(f"{self.place}/{file.name}"), file)
        numbers = link_tracks([regions for _, regions in files])
        parts = [
            (part, renumber_report(entry["report"], numbers)) for (part, _), entry in zip(files, reports, strict=True)
        ]
        request = SubprocessRequest(self.source, self.target, self.plan, name=self.key, parts=parts)
        answer = self._request(request)
        return None if answer is None else (answer[0], answer[1] + sum(entry["cpu"] for entry in reports))

    def _request(self, request: SubprocessRequest) -> tuple[Mapping[str, Any], float] | None:
        with self.engines.engine() as engine:
            values = engine.hide(request, stop=self.stop)
            return None if values is None else (values, engine.cpu_seconds)

    def _files(self, number: int) -> tuple[Path, Path]:
        return self.target.with_name(f"{number}.part"), self.target.with_name(f"{number}.regions")
