"""What `benchmarks.ssh` says of its figures: a table for each fleet and job, the goals, and who was left out."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from benchmarks.measuring import goal_text
from benchmarks.ssh_figures import Comparison, Figures

__all__ = ["lines"]

_GOAL_HOSTS = 500
_MEMORY_HOSTS = 1_000
_PEAK_MIB_MAX = 200
_WALL_RATIO_MAX = 1.3
_CPU_MS_MAX = {"scan": 6, "apply": 12}
_FASTER_MIN = {"ansible-script": 4.0, "pyinfra-script": 2.2, "pdsh": 1.0}
_BUSY_PERCENT = 10


def lines(found: Comparison) -> list[str]:
    """Return the report."""
    sizes = ", ".join(str(size) for size in found.payload_bytes.get("apply", ()))
    said = [
        f"{found.at_once} hosts at once; medians of {found.rounds} rounds; payloads of {sizes} bytes",
        "CPU and wire are of one host",
    ]
    for (server, hosts, job), group in groupby(found.figures, key=lambda one: (one.server, one.hosts, one.job)):
        figures = tuple(group)
        said += ["", f"{server}, {hosts} hosts, {job}", *_table(figures), *_goals(figures)]
        busy = [one.client for one in figures if one.others_percent > _BUSY_PERCENT]
        if busy:
            said.append(f"others used more than {_BUSY_PERCENT} % of the machine beside: {', '.join(busy)}")
    if found.left_out:
        said += ["", "left out:"]
        said += [f"  {one.server}, {one.job}, {one.client}: {one.reason}" for one in found.left_out]
    return said


def _table(figures: Sequence[Figures]) -> Iterator[str]:
    yield "client             wall   x bare   its CPU   x bare   hosts' CPU    wire      peak    others"
    for one in figures:
        yield (
            f"{one.client:15} {one.wall_s:6.2f} s  {_ratio(one.wall_ratio)}  {one.client_cpu_ms:5.1f} ms  "
            f"{_ratio(one.client_cpu_ratio)}  {one.hosts_cpu_ms:8.1f} ms  {one.kib_per_host:4.1f} KiB  "
            f"{one.peak_mib:5.0f} MiB  {one.others_percent:4.0f} %"
        )


def _ratio(ratio: float | None) -> str:
    return "     -" if ratio is None else f"{ratio:6.2f}"


def _goals(figures: Sequence[Figures]) -> Iterator[str]:
    """Hold remedy's figures against the goals, at the sizes that they are stated for."""
    remedy = next((one for one in figures if one.client == "remedy"), None)
    if remedy is None or remedy.hosts < _GOAL_HOSTS:
        return
    if remedy.server == "stub":
        most = _CPU_MS_MAX[remedy.job]
        is_met = remedy.client_cpu_ms <= most
        yield f"remedy's CPU {remedy.client_cpu_ms:.1f} ms" + goal_text(f"at most {most}", is_met=is_met)
    elif remedy.wall_ratio is not None:
        goal = goal_text(f"at most {_WALL_RATIO_MAX}", is_met=remedy.wall_ratio <= _WALL_RATIO_MAX)
        yield f"remedy's wall {remedy.wall_ratio:.2f} times the bare client's" + goal
    if remedy.hosts >= _MEMORY_HOSTS:
        goal = goal_text(f"at most {_PEAK_MIB_MAX}", is_met=remedy.peak_mib <= _PEAK_MIB_MAX)
        yield f"remedy's peak {remedy.peak_mib:.0f} MiB" + goal
    for one in figures:
        if remedy.server == "sshd" and one.client in _FASTER_MIN:
            times, least = one.wall_s / remedy.wall_s, _FASTER_MIN[one.client]
            goal = goal_text(f"at least {least}", is_met=times >= least)
            yield f"{times:.2f} times faster than {one.client}" + goal
