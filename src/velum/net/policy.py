"""Which addresses may be reached, and how long and how much at a time: plain values that the operator decides."""

from dataclasses import dataclass

from velum.errors import BadPlan


@dataclass(frozen=True, slots=True)
class NetworkPolicy:
    """What remote services may be asked, and for how long.

    `allow` and `deny` hold host names (`inference`, `*.example.org`), addresses (`10.0.0.7`) and networks
    (`10.0.0.0/8`). What `deny` names is never reached; what `allow` names always is. Of the rest, addresses of the
    public internet are reached, those of private networks where `private` is true, and this machine itself,
    link-local, multicast and reserved addresses never. `*` in `allow` stands for everything that `deny` does not name;
    in `deny` it stands for everything that `allow` does not name.
    """

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    private: bool = False
    connect_seconds: float = 3.0
    read_seconds: float = 60.0
    total_seconds: float = 120.0
    """How long one answer may take in all, however steadily it drips."""
    attempts: int = 3
    """How often a call that changes nothing is tried."""
    parallel: int = 8
    """Calls to one address at a time; more wait, no longer than one call may take."""
    answer_bytes: int = 64 << 20
    """Largest answer that is accepted."""

    def __post_init__(self) -> None:
        for name in ("connect_seconds", "read_seconds", "total_seconds"):
            if not 0 < getattr(self, name) <= 86_400:
                raise BadPlan(f"{name} is {getattr(self, name)!r}; it must be more than 0 and at most a day")
        for name in ("attempts", "parallel", "answer_bytes"):
            if getattr(self, name) < 1:
                raise BadPlan(f"{name} is {getattr(self, name)!r}; it must be at least 1")


ANYWHERE = NetworkPolicy(allow=("*",))
"""For those who run velum themselves: they know where they send their pictures."""
