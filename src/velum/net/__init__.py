"""HTTP calls to other machines: which addresses are allowed, pooled connections, limits of time and size."""

from dataclasses import dataclass

from velum.errors import BadPlan


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """Allowed addresses, time-outs, retries and sizes of calls to other machines.

    `allow` and `deny` hold host names (`inference`, `*.example.org`), addresses (`10.0.0.7`) and networks
    (`10.0.0.0/8`). What `deny` lists is never reached; anything else that `allow` lists always is. Of addresses on
    neither list, those of the public internet are allowed, those of private networks where `private` is true, and this
    machine itself, link-local, multicast and reserved addresses never. `*` in `allow` stands for everything that `deny`
    does not list; in `deny` it stands for everything that `allow` does not list.
    """

    allow: tuple[str, ...] = ()
    """Host names, IP addresses and networks that may be called, even private ones; `*` for all."""
    deny: tuple[str, ...] = ()
    """Host names, IP addresses and networks that are never called; `*` for all that `allow` does not list."""
    private: bool = False
    """Whether addresses of private networks may be called."""
    connect_seconds: float = 3.0
    """Longest time to connect."""
    read_seconds: float = 60.0
    """Longest time without data from the other machine."""
    total_seconds: float = 120.0
    """Longest time of one call in all, even when data arrives steadily."""
    attempts: int = 3
    """Number of attempts of a call that changes nothing."""
    parallel: int = 8
    """Concurrent calls to one address; further calls wait, at most `total_seconds`."""
    answer_bytes: int = 64 << 20
    """Largest accepted response, in bytes."""

    def __post_init__(self) -> None:
        for name in ("connect_seconds", "read_seconds", "total_seconds"):
            if not 0 < getattr(self, name) <= 86_400:
                raise BadPlan(f"{name} is {getattr(self, name)!r}; it must be more than 0 and at most a day")
        for name in ("attempts", "parallel", "answer_bytes"):
            if getattr(self, name) < 1:
                raise BadPlan(f"{name} is {getattr(self, name)!r}; it must be at least 1")


ANYWHERE = NetworkPolicy(allow=("*",))
"""Policy for users who run velum themselves: every address is allowed."""
