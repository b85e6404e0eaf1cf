"""The figures of `benchmarks.ssh`, as its JSON has them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Comparison", "Figures", "LeftOut"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """
    What one client took for one job on so many hosts; medians over the rounds.

    CPU times are of one host, of all processes that the client started. A ratio is
    to the first bare client that ran, None without one. `kib_per_host` went over the
    wire, headers and both ways. `others_percent` is what of the machine neither
    client nor hosts used, but somebody did. `peak_mib` is the largest sum of
    proportional set sizes, of one more round that was not timed.
    """

    server: str
    hosts: int
    job: str
    client: str
    wall_s: float
    wall_ratio: float | None
    client_cpu_ms: float
    client_cpu_ratio: float | None
    hosts_cpu_ms: float
    kib_per_host: float
    others_percent: float
    peak_mib: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A client that did not take part, and why."""

    server: str
    job: str
    client: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What was measured, by server, number of hosts and job, clients in their order; `payload_bytes` by job."""

    rounds: int
    at_once: int
    payload_bytes: Mapping[str, Sequence[int]]
    figures: tuple[Figures, ...]
    left_out: tuple[LeftOut, ...]
