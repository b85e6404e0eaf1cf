"""
What the clients of `benchmarks.ssh` do: the rules and inventory of remedy, and the same payloads for bare clients.

A scan is one collector on each host. An apply is three commands over one connection:
the collector once more, the fix, and the collector that proves it. What bare clients
send, remedy's own code has built, loader, guard and deadlines included; plain tools
get a script that prints the same row by itself.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.ssh_hosts import Hosts
from remedy.port import CollectJob, FixJob
from remedy_runners.payload import collect_payload, fix_payload, remote_command

__all__ = ["AT_ONCE", "JOBS", "ROW_FULL", "ROW_MENDED", "Step", "Work", "write_work"]

AT_ONCE = 64
"""Hosts at once, for every client. Source: remedy.run.collect.CONNECTIONS_MAX."""

JOBS = ("scan", "apply")
ROW_FULL = '{"mount":"/","free_percent":3,'
ROW_MENDED = '{"mount":"/","free_percent":90,'

# The loop is work that collectors have: some file of /proc is read, builtins only.
_LOOK = """\
#!/bin/sh
# How full a volume is that nobody has: full until somebody mended it.
total=0
while read -r name value rest; do
    case $name in
        MemTotal:) total=$value ;;
    esac
done </proc/meminfo
free=3
if [ -e "$HOME/mended" ]; then free=90; fi
"""
_COLLECTOR = _LOOK + 'emit mount / free_percent "$free" total_kib "$total"\n'
_PROBE = _LOOK + """printf '{"mount":"/","free_percent":%s,"total_kib":%s}\\n' "$free" "$total"\n"""
_FIX = """\
#!/bin/sh
: >"$HOME/mended"
echo mended
"""
_SIGNAL = """\
signal: volume
title: How full a volume is that nobody has
key: [mount]
rows: some
columns: {mount: text, free_percent: {type: number, unit: percent}, total_kib: {type: number, unit: KiB}}
collect:
  linux: {script: linux.sh, timeout: 20s}
"""
_RULE = """\
rule: volume-full
title: A volume is nearly full
why: So that there is something to mend.
owner: benchmarks@example.org
mode: fix
hosts: all
signal: volume
params: {below_percent: 10}
when: free_percent < params.below_percent
fix:
  linux: {script: mend.sh, timeout: 20s}
risk: safe
verify: {until: free_percent >= params.below_percent + 5, settle: 0s, within: 10s}
limits: {matched: 100%}
rollout: {waves: [100%], soak: 0s, concurrency: @AT_ONCE@}
"""
_SETTINGS = "budgets: {per_rule: 1000000/24h, all: 1000000/24h}\n"
_NONCES = tuple(hashlib.sha256(word.encode()).hexdigest()[:32] for word in ("look", "mend", "prove"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One command of a bare client: files with its text, its standard input, and what its output must hold."""

    command: str
    input: str
    expected: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """
    Everything that clients read, all of it in `directory`.

    `rules` and `inventory` are remedy's; `steps` are what a bare client does per job;
    `probe` is the plain script, `ssh_config` and `described` how to reach the hosts:
    for OpenSSH's client, and as JSON for Python programs. In `scan_user` anybody logs
    in who only looks.
    """

    directory: Path
    hosts: Hosts
    scan_user: str
    rules: Path
    inventory: Path
    probe: Path
    ssh_config: Path
    steps: dict[str, tuple[Step, ...]]
    described: dict[str, Path]
    host_lists: dict[str, Path]

    @property
    def payload_sizes(self) -> dict[str, list[int]]:
        """The bytes that go to a host's standard input, by job, for each command."""
        return {job: [Path(step.input).stat().st_size for step in steps] for job, steps in self.steps.items()}


def write_work(hosts: Hosts, directory: Path) -> Work:
    """Write it for these hosts."""
    directory.mkdir()
    scan_user = hosts.each[0].user
    users = {"scan": [scan_user] * len(hosts.each), "apply": [host.user for host in hosts.each]}
    steps = _steps(directory)
    described, lists = {}, {}
    for job in JOBS:
        described[job] = directory / f"{job}.json"
        described[job].write_text(json.dumps(_described(hosts, users[job], steps[job])))
        lists[job] = directory / f"{job}.hosts"
        lists[job].write_text(
            "".join(f"{host.address} {hosts.port} {user}\n" for host, user in zip(hosts.each, users[job], strict=True))
        )
    return Work(
        directory=directory,
        hosts=hosts,
        scan_user=scan_user,
        rules=_write_rules(directory),
        inventory=_written(directory / "inventory.yaml", _inventory(hosts)),
        probe=_written(directory / "probe.sh", _PROBE),
        ssh_config=_written(directory / "ssh_config", _ssh_config(hosts, scan_user)),
        steps=steps,
        described=described,
        host_lists=lists,
    )


def _written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def _write_rules(directory: Path) -> Path:
    rules = directory / "rules"
    _written(rules / "signals" / "volume" / "signal.yaml", _SIGNAL)
    _written(rules / "signals" / "volume" / "linux.sh", _COLLECTOR)
    _written(rules / "volume-full" / "rule.yaml", _RULE.replace("@AT_ONCE@", str(AT_ONCE)))
    _written(rules / "volume-full" / "mend.sh", _FIX)
    _written(directory / "remedy.yaml", _SETTINGS)
    return rules


def _inventory(hosts: Hosts) -> str:
    """Return remedy's inventory; a user for each host, since fixes on one must not meet those on another."""
    shared = {
        "ansible_port": hosts.port,
        "ansible_ssh_private_key_file": str(hosts.key),
        "remedy_known_hosts": str(hosts.known_hosts),
    }
    named = {host.name: {"ansible_host": host.address, "ansible_user": host.user} for host in hosts.each}
    return json.dumps({"all": {"hosts": named, "vars": shared}}, indent=0)


def _ssh_config(hosts: Hosts, user: str) -> str:
    # Of its own accord OpenSSH takes sntrup761 where the host has it, 60 ms of CPU that no other client here pays.
    return (
        f"Host *\n  Port {hosts.port}\n  User {user}\n  IdentityFile {hosts.key}\n  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {hosts.known_hosts}\n  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n"
        "  HostKeyAlgorithms ssh-ed25519\n  KexAlgorithms curve25519-sha256\n"
        "  UpdateHostKeys no\n  BatchMode yes\n  LogLevel ERROR\n"
    )


def _described(hosts: Hosts, users: Sequence[str], steps: Sequence[Step]) -> dict[str, object]:
    return {
        "hosts": [
            {"name": host.name, "address": host.address, "port": hosts.port, "user": user}
            for host, user in zip(hosts.each, users, strict=True)
        ],
        "key": str(hosts.key),
        "host_key": hosts.host_key.with_suffix(".pub").read_text().split()[1],
        "known_hosts": str(hosts.known_hosts),
        "at_once": AT_ONCE,
        "steps": [asdict(step) for step in steps],
    }


def _steps(directory: Path) -> dict[str, tuple[Step, ...]]:
    look = CollectJob(
        signal="volume",
        script=_COLLECTOR.encode(),
        environment={"REMEDY_HOST": "host-00000"},
        columns={"mount": "text", "free_percent": "number", "total_kib": "number"},
        timeout_s=20,
    )
    digest = hashlib.sha256(_FIX.encode()).hexdigest()
    mend = FixJob(
        execution_id="0123456789abcdef",
        script=_FIX.encode(),
        script_sha256=digest,
        environment={"REMEDY_HOST": "host-00000", "REMEDY_RULE": "volume-full"},
        timeout_s=20,
        note=f"rule volume-full script sha256:{digest} by benchmark@controller",
    )
    payloads = (
        (collect_payload([look], nonce=_NONCES[0]), ROW_FULL),
        (fix_payload(mend, nonce=_NONCES[1]), f"{_NONCES[1]} end 0 0\n"),
        (collect_payload([look], nonce=_NONCES[2]), ROW_MENDED),
    )
    made = []
    for number, (payload, expected) in enumerate(payloads):
        paths = tuple(directory / f"step-{number}.{kind}" for kind in ("command", "input", "expected"))
        for path, content in zip(paths, (_command(payload), payload, expected.encode()), strict=True):
            path.write_bytes(content)
        made.append(Step(command=str(paths[0]), input=str(paths[1]), expected=str(paths[2])))
    return {"scan": (made[0],), "apply": tuple(made)}


def _command(payload: bytes) -> bytes:
    return remote_command(payload, become_root=False).encode()
