"""
The clients of `benchmarks.ssh`: what each is started with for a job, and how its output shows that it did it.

The Python libraries and the tools written in Python live in a virtual environment
of the benchmark's own (`--tools`), the others on PATH. One that is not there raises
`Missing`, and is left out.
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.ssh_hosts import Missing, compiled
from benchmarks.ssh_work import AT_ONCE, ROW_FULL, Work

__all__ = ["CLIENTS", "Client", "Command", "Tools"]

_LIBRARIES = Path(__file__).with_name("ssh_libraries.py")
_TOP = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """Where programs are: compiled ones go to `directory`, `python_tools` is a virtual environment or None."""

    directory: Path
    python_tools: Path | None

    def script(self, name: str) -> Path:
        """
        Return a program of the virtual environment.

        Raises:
            Missing: it is not there.
        """
        found = None if self.python_tools is None else self.python_tools / "bin" / name
        if found is None or not found.exists():
            raise Missing(f"no {name} in the virtual environment of --tools")
        return found

    def program(self, name: str) -> str:
        """
        Return a program on PATH.

        Raises:
            Missing: it is not there.
        """
        found = shutil.which(name)
        if found is None:
            raise Missing(f"no {name} on PATH")
        return found

    def python_with(self, module: str) -> Path:
        """
        Return an interpreter that has a library: the virtual environment's, else our own.

        Raises:
            Missing: neither has it.
        """
        own = [] if self.python_tools is None else [*self.python_tools.glob(f"lib*/python*/site-packages/{module}")]
        if own:
            return self.script("python")
        if module == "paramiko":
            return Path(sys.executable)
        raise Missing(f"no {module} in the virtual environment of --tools")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """
    What is run in a folder of its own, with what environment besides PATH; `first` is run before it, untimed.

    `proof` is given what it printed, standard output and error, and says whether it
    shows that the job was done on every host.
    """

    argv: Sequence[str]
    proof: Callable[[str, str], bool]
    environment: Mapping[str, str] = field(default_factory=dict)
    first: Sequence[str] = ()


Proof = Callable[[str, str], bool]
Make = Callable[[Tools, Work, Path], Command]
"""Makes the command of a client that may leave files in a folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One client at one job; `is_bare` for those that ratios can be taken to, `needs_files` for a file transfer."""

    name: str
    job: str
    make: Make
    is_bare: bool = False
    needs_files: bool = False


def _all_good(work: Work) -> Proof:
    count = len(work.hosts.each)
    return lambda stdout, stderr: stdout.strip() == f"{count} of {count}"


def _rows(work: Work, *, times: int = 1) -> Proof:
    """Every host's row stands so many times in what a tool prints, however it quotes it."""
    count = len(work.hosts.each) * times
    return lambda stdout, stderr: (stdout + stderr).replace("\\", "").count(ROW_FULL) == count


def _libssh(job: str) -> Make:
    def make(tools: Tools, work: Work, folder: Path) -> Command:
        steps = [path for step in work.steps[job] for path in (step.command, step.input, step.expected)]
        public = str(work.hosts.host_key.with_suffix(".pub"))
        program = str(compiled("ssh_bare", tools.directory))
        argv = [program, str(work.host_lists[job]), str(work.hosts.key), public, str(AT_ONCE), *steps]
        return Command(argv=argv, proof=_all_good(work))

    return make


def _library(name: str, module: str, job: str) -> Make:
    def make(tools: Tools, work: Work, folder: Path) -> Command:
        argv = [str(tools.python_with(module)), str(_LIBRARIES), name, str(work.described[job])]
        return Command(argv=argv, proof=_all_good(work))

    return make


def _remedy(work: Work, folder: Path, *words: str) -> list[str]:
    shared = ["-R", str(work.rules), "-i", str(work.inventory), "--state", str(folder / "state")]
    return [sys.executable, "-m", "remedy", *words, *shared, "--ssh-config", os.devnull, "-o", "json"]


def _remedy_scan(tools: Tools, work: Work, folder: Path) -> Command:
    def proof(stdout: str, stderr: str) -> bool:
        verdicts = [judgement["verdict"] for judgement in json.loads(stdout)["judgements"]]
        return verdicts == ["match"] * len(work.hosts.each)

    return Command(argv=_remedy(work, folder, "scan"), proof=proof, environment=_environment())


def _remedy_apply(tools: Tools, work: Work, folder: Path) -> Command:
    """Carry out a plan that was made before: each host is read again, mended, and read once more."""

    def proof(stdout: str, stderr: str) -> bool:
        return bool(json.loads(stdout)["counts"] == {"fixed": len(work.hosts.each)})

    plan = str(folder / "plan.json")
    first = _remedy(work, folder, "apply", "--dry-run", "--plan-out", plan)
    argv = _remedy(work, folder, "apply", "--plan", plan)
    return Command(first=first, argv=argv, proof=proof, environment=_environment())


def _environment() -> dict[str, str]:
    return {"PYTHONPATH": f"{_TOP}:{_TOP / 'runners'}"}


def _pdsh(tools: Tools, work: Work, folder: Path) -> Command:
    addresses = ",".join(host.address for host in work.hosts.each)
    argv = [tools.program("pdsh"), "-R", "ssh", "-f", str(AT_ONCE), "-l", work.scan_user, "-w", addresses]
    environment = {"PDSH_SSH_ARGS_APPEND": f"-F {work.ssh_config}"}
    return Command(argv=[*argv, work.probe.read_text()], proof=_rows(work), environment=environment)


def _clush(tools: Tools, work: Work, folder: Path) -> Command:
    addresses = ",".join(host.address for host in work.hosts.each)
    argv = [str(tools.script("clush")), "-f", str(AT_ONCE), "-l", work.scan_user, "-w", addresses]
    return Command(argv=[*argv, "-o", f"-F {work.ssh_config}", work.probe.read_text()], proof=_rows(work))


def _pyinfra(way: str) -> Make:
    def make(tools: Tools, work: Work, folder: Path) -> Command:
        data = {
            "ssh_user": work.scan_user,
            "ssh_key": str(work.hosts.key),
            "ssh_known_hosts_file": str(work.hosts.known_hosts),
            "ssh_strict_host_key_checking": "yes",
            "ssh_config_file": os.devnull,
        }
        inventory = folder / "inventory.py"
        inventory.write_text(f"hosts = ([{', '.join(repr(host.address) for host in work.hosts.each)}], {data!r})\n")
        deploy = folder / "deploy.py"
        deploy.write_text(f"from pyinfra.operations import server\n\nserver.script(src={str(work.probe)!r})\n")
        argv = [str(tools.script("pyinfra")), "-y", "--parallel", str(AT_ONCE), str(inventory)]
        what = [str(deploy)] if way == "script" else ["exec", "--", work.probe.read_text()]
        count = len(work.hosts.each)
        total = re.compile(rf"^\s*Grand total\s+{count}\s+{count}\s+-\s+-\s*$", re.MULTILINE)
        proof = _rows(work) if way == "exec" else lambda stdout, stderr: total.search(stderr) is not None
        return Command(argv=[*argv, *what], proof=proof)

    return make


def _ansible(module: str) -> Make:
    def make(tools: Tools, work: Work, folder: Path) -> Command:
        hosts = "".join(f"{host.address}\n" for host in work.hosts.each)
        inventory = folder / "inventory"
        inventory.write_text(f"{hosts}\n[all:vars]\nansible_user={work.scan_user}\n")
        what = str(work.probe) if module == "script" else work.probe.read_text()
        argv = [str(tools.script("ansible")), "all", "-i", str(inventory), "-f", str(AT_ONCE), "-m", module, "-a", what]
        environment = {
            "ANSIBLE_SSH_COMMON_ARGS": f"-F {work.ssh_config}",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOCALHOST_WARNING": "0",
            "LC_ALL": "C.UTF-8",
        }
        # It prints what a script printed as a text and once more as lines.
        proof = _rows(work, times=2 if module == "script" else 1)
        return Command(argv=argv, proof=proof, environment=environment)

    return make


CLIENTS = (
    Client(name="libssh", job="scan", make=_libssh("scan"), is_bare=True),
    Client(name="ssh2-python", job="scan", make=_library("ssh2-python", "ssh2", "scan"), is_bare=True),
    Client(name="remedy", job="scan", make=_remedy_scan),
    Client(name="paramiko", job="scan", make=_library("paramiko", "paramiko", "scan")),
    Client(name="asyncssh", job="scan", make=_library("asyncssh", "asyncssh", "scan")),
    Client(name="pdsh", job="scan", make=_pdsh),
    Client(name="clush", job="scan", make=_clush),
    Client(name="pyinfra-exec", job="scan", make=_pyinfra("exec")),
    Client(name="pyinfra-script", job="scan", make=_pyinfra("script"), needs_files=True),
    Client(name="ansible-raw", job="scan", make=_ansible("raw")),
    Client(name="ansible-script", job="scan", make=_ansible("script"), needs_files=True),
    Client(name="libssh", job="apply", make=_libssh("apply"), is_bare=True),
    Client(name="ssh2-python", job="apply", make=_library("ssh2-python", "ssh2", "apply"), is_bare=True),
    Client(name="remedy", job="apply", make=_remedy_apply),
    Client(name="paramiko", job="apply", make=_library("paramiko", "paramiko", "apply")),
    Client(name="asyncssh", job="apply", make=_library("asyncssh", "asyncssh", "apply")),
)
