"""
`python -m benchmarks.ssh`: what it costs to have one script, or a fix with its proof, run on each of many SSH hosts.

remedy, bare clients, libraries and tools do it in one series, one after the other in
each round, each time another one first, all with as many hosts at once. The hosts
are loopback addresses in a network namespace of their own: behind real OpenSSH, whose
CPU is then most of what is waited for, or behind a stub that is cheap enough to show
what the client itself costs. docs/performance.md says what is compared, and has a run.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.measuring import make_parser, print_found
from benchmarks.ssh_figures import Comparison, Figures, LeftOut
from benchmarks.ssh_hosts import SERVERS, Missing, enter_namespaces, running
from benchmarks.ssh_measured import Measured
from benchmarks.ssh_report import lines
from benchmarks.ssh_tools import CLIENTS, Client, Command, Tools
from benchmarks.ssh_work import AT_ONCE, JOBS, Work, write_work

__all__ = ["main", "measure"]

_HOSTS, _ROUNDS = "50,200,500,1000", 5
_TOP = Path(__file__).parents[1]
_RUN_S = 1_260


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """One run of one client, and what the hosts did for it."""

    measured: Measured
    hosts_cpu_s: float
    wire_bytes: int


def measure(
    *, hosts: Sequence[int], servers: Sequence[str], clients: Sequence[Client], rounds: int, tools: Tools
) -> Comparison:
    """
    Measure; a client that is not installed is left out.

    Raises:
        AssertionError: one did not do what it should, so its time would mean nothing.
    """
    figures: list[Figures] = []
    left_out: dict[tuple[str, str, str], LeftOut] = {}
    sizes: Mapping[str, Sequence[int]] = {}
    for server in servers:
        for count in hosts:
            with tempfile.TemporaryDirectory(dir=tools.directory) as made:
                try:
                    with running(server, count, Path(made)) as there:
                        work = write_work(there, Path(made, "work"))
                        sizes = work.payload_sizes
                        figures += _of_hosts(work, clients, tools, rounds=rounds, left_out=left_out)
                except Missing as exc:
                    left_out[server, "", ""] = LeftOut(server=server, job="both", client="all", reason=str(exc))
    return Comparison(
        rounds=rounds,
        at_once=AT_ONCE,
        payload_bytes=sizes,
        figures=tuple(figures),
        left_out=tuple(left_out.values()),
    )


def _of_hosts(
    work: Work,
    clients: Sequence[Client],
    tools: Tools,
    *,
    rounds: int,
    left_out: dict[tuple[str, str, str], LeftOut],
) -> Iterator[Figures]:
    """Measure every client at both jobs; note in `left_out` which could not."""
    server = work.hosts.server
    for job in JOBS:
        present: list[Client] = []
        for client in clients:
            if client.job != job:
                continue
            reason = _why_not(client, work, tools)
            if reason:
                left_out[server, job, client.name] = LeftOut(server=server, job=job, client=client.name, reason=reason)
            else:
                present.append(client)
        yield from _figures(_series(present, work, tools, rounds=rounds), work, job)


def _why_not(client: Client, work: Work, tools: Tools) -> str:
    """Return why a client cannot take part; '' when it can."""
    if client.needs_files and work.hosts.server == "stub":
        return "it transfers a file, which the stub does not understand"
    try:
        with _folder(work) as folder:
            client.make(tools, work, folder)
    except Missing as exc:
        return str(exc)
    return ""


def _series(clients: Sequence[Client], work: Work, tools: Tools, *, rounds: int) -> dict[Client, list[_Run]]:
    """Run each client once in every round, each time another one first; the last round is for memory."""
    taken: dict[Client, list[_Run]] = {client: [] for client in clients}
    for number in range(rounds + 1):
        first = number % max(1, len(clients))
        for client in (*clients[first:], *clients[:first]):
            taken[client].append(_run(client, work, tools, with_memory=number == rounds))
    return taken


def _run(client: Client, work: Work, tools: Tools, *, with_memory: bool) -> _Run:
    work.hosts.fill_all()
    with _folder(work) as folder:
        command = client.make(tools, work, folder)
        environment = {
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "PATH": os.environ.get("PATH", os.defpath),
            **command.environment,
        }
        if command.first:
            _output_of(command.first, folder, environment)
        work.hosts.settle()
        cpu_s, wire = work.hosts.cpu_s(), _wire_bytes()
        measured = _measured(command, folder, environment, with_memory=with_memory)
        work.hosts.settle()
        _check(client, command, measured, folder)
        return _Run(measured=measured, hosts_cpu_s=work.hosts.cpu_s() - cpu_s, wire_bytes=_wire_bytes() - wire)


@contextlib.contextmanager
def _folder(work: Work) -> Iterator[Path]:
    """Make a folder for one run, below remedy's settings."""
    with tempfile.TemporaryDirectory(dir=work.directory) as made:
        yield Path(made)


def _output_of(command: Sequence[str], folder: Path, environment: Mapping[str, str] | None, *, given: str = "") -> str:
    done = subprocess.run(
        command, check=False, cwd=folder, env=environment, input=given, capture_output=True, text=True, timeout=_RUN_S
    )
    assert done.returncode == 0, f"{command[:4]}: {done.stderr[-2_000:]}"
    return done.stdout


def _measured(command: Command, folder: Path, environment: Mapping[str, str], *, with_memory: bool) -> Measured:
    words = [sys.executable, "-m", "benchmarks.ssh_measured", f"--folder={folder}"]
    more = ["--memory"] if with_memory else []
    told = _output_of([*words, *more, "--", *command.argv], _TOP, None, given=json.dumps(dict(environment)))
    return Measured(**json.loads(told))


def _check(client: Client, command: Command, measured: Measured, folder: Path) -> None:
    """See that the client did on every host what it was asked to."""
    stdout, stderr = ((folder / name).read_text(errors="backslashreplace") for name in ("stdout", "stderr"))
    is_proven = measured.exit_code == 0 and command.proof(stdout, stderr)
    assert is_proven, f"{client.name} ({client.job}), exit code {measured.exit_code}: {(stdout + stderr)[-2_000:]}"


def _wire_bytes() -> int:
    """Return what went over our loopback so far. Source: proc(5), /proc/net/dev: the first number is bytes received."""
    lines = Path("/proc/self/net/dev").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.lstrip().startswith("lo:"))


def _figures(taken: Mapping[Client, Sequence[_Run]], work: Work, job: str) -> Iterator[Figures]:
    """Return each client's medians; ratios are to the first bare client among them."""
    count, cores = len(work.hosts.each), os.cpu_count() or 1
    medians: dict[Client, tuple[float, float]] = {}
    for client, runs in taken.items():
        timed = [run.measured for run in runs[:-1]]
        medians[client] = (
            statistics.median(run.wall_s for run in timed),
            1_000 * statistics.median(run.cpu_s for run in timed) / count,
        )
    bare = next((medians[client] for client in taken if client.is_bare), None)
    for client, runs in taken.items():
        wall_s, cpu_ms = medians[client]
        yield Figures(
            server=work.hosts.server,
            hosts=count,
            job=job,
            client=client.name,
            wall_s=wall_s,
            wall_ratio=None if bare is None else wall_s / bare[0],
            client_cpu_ms=cpu_ms,
            client_cpu_ratio=None if bare is None else cpu_ms / bare[1],
            hosts_cpu_ms=1_000 * statistics.median(run.hosts_cpu_s for run in runs[:-1]) / count,
            kib_per_host=statistics.median(run.wire_bytes for run in runs[:-1]) / count / 1_024,
            others_percent=100 * statistics.median(_others_share(run, cores) for run in runs[:-1]),
            peak_mib=runs[-1].measured.peak_kib / 1_024,
        )


def _others_share(run: _Run, cores: int) -> float:
    used = run.measured
    others_s = used.machine_cpu_s - used.cpu_s - run.hosts_cpu_s
    return max(0.0, others_s / (used.wall_s * cores))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    given = _parser().parse_args(arguments)
    try:
        enter_namespaces("benchmarks.ssh", sys.argv[1:] if arguments is None else arguments)
    except Missing as exc:
        sys.exit(f"benchmarks.ssh: {exc}")
    wanted = given.clients or list(dict.fromkeys(client.name for client in CLIENTS))
    with tempfile.TemporaryDirectory(prefix="remedy-benchmark-") as made:
        found = measure(
            hosts=given.hosts,
            servers=[given.server] if given.server else SERVERS,
            clients=[client for client in CLIENTS if client.name in wanted],
            rounds=given.rounds,
            tools=Tools(directory=Path(made), python_tools=given.tools and given.tools.absolute()),
        )
    print_found(asdict(found), lines=lines(found), output=given.output)


def _parser() -> argparse.ArgumentParser:
    parser = make_parser(
        "ssh",
        description="What it costs to have one script, or a fix with its proof, run on each of many SSH hosts.",
        counts={"rounds": (_ROUNDS, "times are medians of these")},
    )
    parser.add_argument("--hosts", type=_counts, default=_HOSTS, help="how many, by commas (default: %(default)s)")
    parser.add_argument("--server", choices=SERVERS, help="only behind this one (default: behind each)")
    parser.add_argument("--clients", type=_clients, help="only these, by commas (default: all that are installed)")
    parser.add_argument("--tools", type=Path, help="virtual environment with the clients written in Python")
    return parser


def _counts(text: str) -> list[int]:
    counts = [int(word) for word in text.split(",")]
    if min(counts) < 1:
        raise ValueError(text)
    return counts


def _clients(text: str) -> list[str]:
    known, wanted = {client.name for client in CLIENTS}, text.split(",")
    if unknown := sorted({*wanted} - known):
        raise argparse.ArgumentTypeError(f"no client {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    return wanted


if __name__ == "__main__":
    main()
