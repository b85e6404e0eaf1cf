"""
`python -m benchmarks.winrm`: what one job on each of many WinRM hosts costs.

Three clients do the same on the same hosts, one after the other in each turn: log
in with NTLM on a connection of its own, open a shell, have one program run, take
what it prints, and delete the shell. remedy is its runner, with the guard, the
checks and the payload on standard input that a collector has. pywinrm is what its
`Session.run_ps` does, pypsrp its `WinRS`; both put the script on the command line.
The hosts are in a process of their own (`benchmarks.winrm_hosts`), and the program
is the same cheap stand-in for all three. docs/performance.md has a run.
"""

import base64
import statistics
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pypsrp.shell import Process, SignalCode, WinRS
from pypsrp.wsman import WSMan
from winrm.protocol import Protocol

from benchmarks.measuring import Taken, make_parser, median_of, print_found, take
from benchmarks.winrm_hosts import COMPUTER_NAME, ROW, Done, Hosts, running
from remedy.port import CollectJob, Shell, Target, WinRM, WinRMAuth
from remedy_runners.winrm.runner import WinRMRunner

__all__ = ["CLIENTS", "WAYS", "Comparison", "Work", "main", "measure", "run"]

_HOSTS, _THREADS, _TURNS = 500, 20, 3
WAYS = ("https", "http")
_SCRIPT = "emit service 'W32Time' running ((Get-Service -Name W32Time).Status -eq 'Running')\n"
_JOB = CollectJob(
    signal="service",
    script=_SCRIPT.encode(),
    environment={},
    columns={"service": "text", "running": "boolean"},
    timeout_s=30,
)

Job = Callable[[int], bytes]
"""Runs the job on the host at a port; returns what the script printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """
    What one client did, over one way; medians over the turns.

    `client_cpu_ms` and `hosts_cpu_ms` are of one job; the latter is of the loopback
    servers and the stand-in processes. `requests` and `commands` are per job.
    """

    way: str
    client: str
    wall_s: float
    jobs_per_s: float
    client_cpu_ms: float
    hosts_cpu_ms: float
    requests: float
    commands: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What was measured, by way and client in their order."""

    hosts: int
    threads: int
    turns: int
    works: tuple[Work, ...]


def _remedy_job(hosts: Hosts) -> Job:
    way = WinRM(
        scheme="http" if hosts.ca_file is None else "https",
        auth=WinRMAuth.NTLM,
        ca_file=hosts.ca_file,
        computer_name=COMPUTER_NAME if hosts.ca_file is None else None,
    )
    runner = WinRMRunner(home=Path("/nowhere"), environment={"WINRM_PASSWORD": hosts.password})

    def job(port: int) -> bytes:
        target = Target(
            name=f"host-{port}",
            address=hosts.address,
            port=port,
            user=hosts.user,
            password="env:WINRM_PASSWORD",
            shell=Shell.POWERSHELL,
            winrm=way,
        )
        session = runner.connect(target)
        try:
            return session.collect([_JOB]).outputs["service"].stdout.kept
        finally:
            session.close()

    return job


def _pywinrm_job(hosts: Hosts) -> Job:
    """Do what `Session.run_cmd` does, on a protocol whose transport and trust are chosen."""
    line = f"powershell -encodedcommand {_encoded()}"

    def job(port: int) -> bytes:
        login: dict[str, Any] = {"username": hosts.user, "password": hosts.password, "ca_trust_path": hosts.ca_file}
        protocol = Protocol(_url(hosts, port), transport="ntlm", proxy=None, **login)
        shell = protocol.open_shell()
        command = protocol.run_command(shell, line)
        stdout, _, _ = protocol.get_command_output(shell, command)
        protocol.cleanup_command(shell, command)
        protocol.close_shell(shell)
        return _of_script(stdout)

    return job


def _pypsrp_job(hosts: Hosts) -> Job:
    trust: dict[str, Any] = {"ssl": False} if hosts.ca_file is None else {"cert_validation": hosts.ca_file}
    login: dict[str, Any] = {"auth": "ntlm", "username": hosts.user, "password": hosts.password, **trust}

    def job(port: int) -> bytes:
        with WSMan(hosts.address, port=port, no_proxy=True, **login) as wsman, WinRS(wsman) as shell:
            process = Process(shell, "powershell", ["-encodedcommand", _encoded()])
            process.invoke()
            process.signal(SignalCode.CTRL_C)
            return _of_script(process.stdout)

    return job


CLIENTS: Mapping[str, Callable[[Hosts], Job]] = {
    "remedy": _remedy_job,
    "pywinrm": _pywinrm_job,
    "pypsrp": _pypsrp_job,
}


def _encoded() -> str:
    return base64.b64encode(_SCRIPT.encode("utf-16-le")).decode("ascii")


def _url(hosts: Hosts, port: int) -> str:
    return f"{'http' if hosts.ca_file is None else 'https'}://{hosts.address}:{port}/wsman"


def _of_script(stdout: bytes) -> bytes:
    """Return what stands between the program's first line and its last one, where remedy's runner finds a row."""
    return b"".join(stdout.splitlines(keepends=True)[2:-2])


def run(client: str, hosts: Hosts, *, threads: int) -> None:
    """
    Do one job on every host.

    Raises:
        AssertionError: one did not answer as it should, so its time would mean nothing.
    """
    job = CLIENTS[client](hosts)
    with ThreadPoolExecutor(threads) as pool:
        answers = list(pool.map(job, hosts.ports))
    assert answers == [ROW] * len(hosts.ports), client


def measure(hosts: int = _HOSTS, *, threads: int = _THREADS, turns: int = _TURNS) -> Comparison:
    """Measure; each turn has all clients, one after the other, each time another one first."""
    works: list[Work] = []
    for way in WAYS:
        taken: dict[str, list[tuple[Taken, Done]]] = {client: [] for client in CLIENTS}
        with running(hosts, is_tls=way == "https") as there:
            for turn in range(turns):
                order = [*CLIENTS][turn % len(CLIENTS) :] + [*CLIENTS][: turn % len(CLIENTS)]
                for client in order:
                    taken[client].append(_take(client, there, threads=threads))
        works += [_work(way, client, of_client, hosts=hosts) for client, of_client in taken.items()]
    return Comparison(hosts=hosts, threads=threads, turns=turns, works=tuple(works))


def _take(client: str, hosts: Hosts, *, threads: int) -> tuple[Taken, Done]:
    """Time one client's work; return with it what the hosts did for it."""
    before = hosts.done()
    taken = take(lambda: run(client, hosts, threads=threads))
    after = hosts.done()
    assert (after.shells_left, after.clear_text_bodies) == (0, 0), client
    done = Done(
        cpu_s=after.cpu_s - before.cpu_s,
        requests=after.requests - before.requests,
        commands=after.commands - before.commands,
        shells_left=0,
        clear_text_bodies=0,
    )
    return taken, done


def _work(way: str, client: str, taken: Sequence[tuple[Taken, Done]], *, hosts: int) -> Work:
    times = median_of(one for one, _ in taken)
    return Work(
        way=way,
        client=client,
        wall_s=times.wall_s,
        jobs_per_s=hosts / times.wall_s,
        client_cpu_ms=1_000 * times.cpu_s / hosts,
        hosts_cpu_ms=1_000 * statistics.median(done.cpu_s for _, done in taken) / hosts,
        requests=statistics.median(done.requests for _, done in taken) / hosts,
        commands=statistics.median(done.commands for _, done in taken) / hosts,
    )


def _lines(found: Comparison) -> list[str]:
    return [
        f"{found.hosts} hosts, one job each, {found.threads} at once; medians of {found.turns} turns; per job:",
        "way    client   jobs/s   its CPU  hosts' CPU  requests  commands",
        *(
            f"{work.way:5}  {work.client:7}  {work.jobs_per_s:5.1f}  {work.client_cpu_ms:5.1f} ms  "
            f"{work.hosts_cpu_ms:7.1f} ms  {work.requests:8.1f}  {work.commands:8.1f}"
            for work in found.works
        ),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    counts = {
        "hosts": (_HOSTS, "how many"),
        "threads": (_THREADS, "jobs at once"),
        "turns": (_TURNS, "times are medians of these"),
    }
    parser = make_parser("winrm", description="What one job on each of many WinRM hosts costs.", counts=counts)
    given = parser.parse_args(arguments)
    found = measure(given.hosts, threads=given.threads, turns=given.turns)
    print_found(asdict(found), lines=_lines(found), output=given.output)


if __name__ == "__main__":
    main()
