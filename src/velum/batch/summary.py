"""Outcomes of a batch in numbers, and as an HTML page."""

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from velum import html_page
from velum.batch.item import STATUSES, ItemOutcome, Status
from velum.batch.manifest import BatchRun

SLOWEST, SAMPLED, FAILURES = 20, 20, 200
"""How many of the slowest files, of a sample of results, and of the files without a result a page lists."""


@dataclass(slots=True)
class BatchSummary:
    """Counts of outcomes; memory does not grow with their number."""

    statuses: Counter[Status] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    sizes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    """Files without a result by code of the error."""
    nodes: Counter[str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    arithmetics: Counter[str] = field(default_factory=Counter)
    """Files by fingerprint of the arithmetic of their node; more than one: results depend on who made them."""
    bytes_read: int = 0
    bytes_written: int = 0
    cpu_seconds: float = 0.0
    slowest: list[tuple[float, str]] = field(default_factory=list)
    failures: list[ItemOutcome] = field(default_factory=list)
    _drawn: list[tuple[int, str, ItemOutcome]] = field(default_factory=list)

    @classmethod
    def of(cls, outcomes: Iterable[ItemOutcome]) -> "BatchSummary":
        """Return the summary of outcomes."""
        summary = cls()
        for outcome in outcomes:
            summary.add(outcome)
        return summary

    def add(self, outcome: ItemOutcome) -> None:
        """Count an outcome."""
        self.statuses[outcome.status] += 1
        self.labels.update(outcome.labels)
        self.sizes.update(outcome.sizes)
        self.nodes[outcome.node] += 1
        self.versions[outcome.version] += 1
        if outcome.arithmetic:
            self.arithmetics[outcome.arithmetic] += 1
        self.bytes_read += outcome.size
        self.bytes_written += outcome.result_size
        seconds = outcome.seconds.get("cpu", 0.0)
        self.cpu_seconds += seconds
        keep = heapq.heappush if len(self.slowest) < SLOWEST else heapq.heappushpop
        keep(self.slowest, (seconds, outcome.key))
        if outcome.error:
            self.reasons[outcome.error] += 1
            if len(self.failures) < FAILURES:
                self.failures.append(outcome)
        else:
            digest = hashlib.blake2b(f"{outcome.key}\0{outcome.etag}".encode(), digest_size=8).digest()
            keep = heapq.heappush if len(self._drawn) < SAMPLED else heapq.heappushpop
            keep(self._drawn, (-int.from_bytes(digest), outcome.key, outcome))

    @property
    def sample(self) -> list[ItemOutcome]:
        """Results by key, drawn by the hash of key and ETag: as good as by chance, and the same each time."""
        return sorted((outcome for _, _, outcome in self._drawn), key=lambda outcome: outcome.key)

    @property
    def total(self) -> int:
        """Number of outcomes."""
        return self.statuses.total()

    @property
    def without_result(self) -> int:
        """Number of files without a result."""
        return self.statuses["refused"] + self.statuses["failed"]

    def __str__(self) -> str:
        """Return the counts by status as text."""
        return ", ".join(f"{self.statuses[status]} {status}" for status in STATUSES)

    def to_json(self) -> dict[str, Any]:
        """Return the counts as JSON values."""
        return {
            "files": self.total, "statuses": {status: self.statuses[status] for status in STATUSES},
            "labels": dict(self.labels), "sizes": dict(self.sizes), "reasons": dict(self.reasons),
            "nodes": dict(self.nodes), "versions": dict(self.versions),
            "arithmetics": dict(self.arithmetics), "bytes_read": self.bytes_read,
            "bytes_written": self.bytes_written, "cpu_seconds": round(self.cpu_seconds, 3),
        }  # fmt: skip


def shards_done(run: BatchRun) -> tuple[int, int]:
    """Return the numbers of finished shards and of all shards of the run's listings."""
    listings = run.listings()
    total = sum(listing.shards for listing in listings)
    return total - sum(1 for listing in listings for _ in run.unfinished_shards(listing)), total


def files_done(run: BatchRun) -> tuple[int, int]:
    """Return the numbers of files with an outcome and of all files, each counted once for each listing that has it."""
    listings = run.listings()
    total = sum(listing.items for listing in listings)
    return total - sum(run.files_left(listing) for listing in listings), total


def render_summary(run: BatchRun, summary: BatchSummary) -> str:
    """Return the HTML page of a run."""
    done, shards = shards_done(run)
    colour = "bad" if summary.without_result or done < shards else "good"
    failures = [(outcome.key, outcome.status, outcome.error, outcome.reason) for outcome in summary.failures]
    parts = [
        f"<h1>Batch {html_page.text(run.name)}</h1>",
        f'<p class="standing {colour}">{html_page.text(summary)}; {done} of {shards} shards finished</p>',
        html_page.table(_run_rows(run, summary)),
        "<h2>Hidden</h2>",
        _counts("Label", summary.labels),
        _counts("Shorter side", summary.sizes),
        "<h2>Without a result</h2>",
        _counts("Reason", summary.reasons),
        f"<p>The first {FAILURES} of {summary.without_result}.</p>" if summary.without_result > FAILURES else "",
        html_page.grid(("Key", "Status", "Error", "Reason"), failures) if failures else "",
        "<h2>Slowest</h2>",
        html_page.grid(("Seconds", "Key"), [(f"{spent:.2f}", key) for spent, key in sorted(summary.slowest)[::-1]]),
        "<h2>A sample of results for review</h2>",
        f"<p>This command shows them on the page of a service: {html_page.code(f'velum batch review {run.url}')}</p>",
        html_page.link_list(_result_links(run, summary.sample)),
        "<h2>Nodes</h2>",
        _counts("Node", summary.nodes),
        _counts("velum", summary.versions),
        _counts("Arithmetic", summary.arithmetics),
    ]
    return html_page.document(f"Batch {run.name}", "", parts)


def _run_rows(run: BatchRun, summary: BatchSummary) -> dict[str, str]:
    config = run.config
    return {
        "Source": html_page.code(config.source),
        "Results": html_page.code(config.target),
        "Rules": html_page.bullet_list(map(str, config.plan.rules)),
        "Digest of the plan": html_page.code(config.plan.digest),
        "Models": html_page.bullet_list(f"{name} {sha256}" for name, sha256 in config.models.items()),
        "Precision": html_page.text(config.precision),
        "Read, written": html_page.text(f"{summary.bytes_read:,} and {summary.bytes_written:,} bytes"),
        "Processor time": html_page.text(f"{summary.cpu_seconds / 3600:,.2f} core hours"),
    }


def _result_links(run: BatchRun, sample: Iterable[ItemOutcome]) -> dict[str, str]:
    """Return the address of each result by its text; empty for those of buckets, which browsers cannot open."""
    url = run.target.url
    return {
        f"{url}/{outcome.key}": "" if "://" in url else Path(url, outcome.key).as_uri() for outcome in sample
    }  # fmt: skip


def _counts(name: str, counts: Mapping[str, int]) -> str:
    rows = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:100]
    return html_page.grid((name, "Number"), [(entry, f"{count:,}") for entry, count in rows]) if rows else ""
