"""
The story that `remedy demo` tells: a fleet in trouble, and each command that a person would type.

Runs the real command as a program of its own, shows its output as it comes, and
checks at the end that everything came out as told.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import yaml

from remedy.demo.fleet import Fleet
from remedy.demo.host import DemoHost, Volume
from remedy.load.repository import starter_rules

__all__ = ["DEMO_ENDINGS", "DEMO_HOSTS", "RULE", "run_demo", "write_repository"]

RULE = "low-disk"

DEMO_HOSTS = (
    DemoHost(name="web-1"),
    DemoHost(name="web-2"),
    DemoHost(name="web-3"),
    DemoHost(name="web-4", volume=Volume.FULL),
    DemoHost(name="web-5", volume=Volume.FULL),
    DemoHost(name="web-6", volume=Volume.FULL),
    DemoHost(name="app-1", group="app"),
    DemoHost(name="app-2", group="app", up=False),
    DemoHost(name="app-3", group="app"),
    DemoHost(name="db-1", group="db", volume=Volume.FULL, foreign_find=True, waits_for=("mail-1", "web-6")),
    DemoHost(name="db-2", group="db"),
    DemoHost(name="mail-1", group="mail", volume=Volume.FULL),
)
"""
The hosts of the story. The order of a rollout is a hash of rule and host name, and
these names give: web-4 (the first wave), mail-1, web-6 and db-1 (the second), web-5.
"""

DEMO_ENDINGS = {"web-4": "fixed", "mail-1": "fixed", "web-6": "fixed", "db-1": "failed", "web-5": "skipped"}
"""How the apply ends on each planned host; web-5 is skipped because the rollout halted."""

_TIMEOUT_S = 300.0
_ROOMY_PERCENT = 50.0
_END_TIMEOUT_S = 10.0
_INTERRUPTED = 130
_WIDTH_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """One command of the story: what a person would type, why, and the exit code it must end with."""

    words: tuple[str, ...]
    why: str
    exit_code: int = 0


_STEPS = (
    _Step(
        words=("validate",),
        why="Rules are files in git. First, are they right? Every mistake would be shown with file, line and cure.",
    ),
    _Step(
        words=("inventory",),
        why="Twelve hosts, from an inventory as Ansible has it.",
    ),
    _Step(
        words=("scan",),
        why="Who is in trouble? This reads and changes nothing. Exit code 4: app-2 is down, and what was not seen"
        " is never called healthy.",
        exit_code=4,
    ),
    _Step(
        words=("apply", "--dry-run"),
        why="What would be done? One host first, then up to four, then the rest, each with the row that proves it.",
        exit_code=4,
    ),
    _Step(
        words=("apply", "--yes"),
        why="Now do it. The fix fails on db-1, in the second wave, and that is enough: web-5 is not touched."
        " Exit code 5: halted by a limit.",
        exit_code=5,
    ),
    _Step(
        words=("runs",),
        why="What has been done so far?",
    ),
    _Step(
        words=("why", "web-4", RULE),
        why="A caller asks about web-4: this looks there now.",
    ),
    _Step(
        words=("why", "web-5", RULE),
        why="And web-5? Still full; the rule is paused until a person has looked at db-1 and says so.",
    ),
    _Step(
        words=("audit", "verify"),
        why="Every step was written down before it was done, in a chain of hashes. Is the chain whole?",
    ),
)


def run_demo(*, keep: bool = False) -> int:
    """
    Tell the story on a fleet in a temporary folder; return 0 when it came out as told, else 1, or 130.

    With keep the hosts stay up after the story until Ctrl-C or the end of the
    input, so that a person can try commands by hand. Whatever happens, hosts and
    folder are gone afterwards. Runs in the main thread only (it listens to signals).

    Raises:
        RemedyError: this machine cannot carry the fleet; the message has the cure.
    """
    with _signals_interrupt():
        try:
            with tempfile.TemporaryDirectory(prefix="remedy-demo-") as name:
                wrong = _tell(Path(name).resolve(), keep=keep)
        except KeyboardInterrupt:
            _say("\ninterrupted; the hosts of the demo and their folder are gone")
            return _INTERRUPTED
    if wrong:
        _say("\nThe story did not come out as told:\n" + "\n".join(f"- {line}" for line in wrong))
        return 1
    _say("\nThat was the story: 3 hosts mended and proved, 1 fix failed, 1 host spared by the halt, 1 host not seen.")
    _say("The hosts and their folder are gone; nothing else on this machine was changed.")
    return 0


def write_repository(directory: Path, *, inventory: Path) -> None:
    """
    Write a rules repository with the starter library's low-disk rule, in a hurry, and its signal.

    Waves of 1, 4 and all hosts, a second between them; the proof is asked for at once.
    """
    starter = starter_rules()
    rules = directory / "rules"
    shutil.copytree(starter / RULE, rules / RULE)
    shutil.copytree(starter / "signals" / "disk", rules / "signals" / "disk")
    path = rules / RULE / "rule.yaml"
    rule = yaml.safe_load(path.read_text(encoding="utf-8"))
    rule["mode"] = "fix"
    rule["verify"] |= {"settle": "0s", "within": "10s"}
    rule["rollout"] = {"waves": [1, 4, "100%"], "soak": "1s"}
    path.write_text(yaml.safe_dump(rule, sort_keys=False, width=120), encoding="utf-8")
    (directory / "remedy.yaml").write_text(
        f"rules: rules\ninventory: {inventory.relative_to(directory)}\nstate: state\n", encoding="utf-8"
    )


def _tell(directory: Path, *, keep: bool) -> list[str]:
    """Tell the story in a folder; return what differed from it."""
    _say("Making 12 hosts on this machine: real OpenSSH daemons on loopback, each with file systems of its own.")
    (directory / "home").mkdir()
    (directory / "fleet").mkdir()
    wrong: list[str] = []
    with Fleet(directory / "fleet", hosts=DEMO_HOSTS) as fleet:
        write_repository(directory, inventory=fleet.inventory_path)
        for step in _STEPS:
            wrong = _carry_out(step, directory)
            if wrong:
                break
        wrong = wrong or _differences(directory, fleet)
        if keep:
            _wait_for_the_end(directory)
        # What follows is tidying up; it must not be torn.
        _ignore_signals()
    return wrong


def _carry_out(step: _Step, directory: Path) -> list[str]:
    command = " ".join(("remedy", *step.words))
    width = min(shutil.get_terminal_size().columns, _WIDTH_MAX)
    why = textwrap.fill(step.why, width, initial_indent="# ", subsequent_indent="# ")
    _say(f"\n{why}\n$ {command}")
    code = _run(step.words, directory)
    return [] if code == step.exit_code else [f"{command} ended with {code}, not with {step.exit_code}"]


def _run(words: Sequence[str], directory: Path) -> int:
    """Run the command with its output shown as it comes; end it when we are interrupted."""
    with subprocess.Popen(
        _command(words), cwd=directory, env=_environment(directory), stdin=subprocess.DEVNULL
    ) as process:
        try:
            return process.wait(_TIMEOUT_S)
        except BaseException:
            process.terminate()
            try:
                process.wait(_END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
            raise


def _differences(directory: Path, fleet: Fleet) -> list[str]:
    """Return what differs from the story, by the command's own JSON and by what is true on the hosts."""
    runs = _read(("runs", "-o", "json"), directory)["runs"]
    executions = _read(("runs", runs[0]["run"], "-o", "json"), directory)["executions"]
    endings = {execution["host"]: execution["outcome"] for execution in executions}
    unreachable = _read(("scan", "-o", "json"), directory)["coverage"]["unreachable"]
    started = {name for name in fleet.hosts if fleet.fixes_started(name)}
    roomy = {name for name in DEMO_ENDINGS if fleet.free_percent(name) > _ROOMY_PERCENT}
    compared = (
        ("the outcomes", endings, dict(DEMO_ENDINGS)),
        ("the unreachable hosts", unreachable, [host.name for host in DEMO_HOSTS if not host.up]),
        (
            "the hosts where a fix was started",
            started,
            {name for name, end in DEMO_ENDINGS.items() if end != "skipped"},
        ),
        ("the hosts with space again", roomy, {name for name, end in DEMO_ENDINGS.items() if end == "fixed"}),
    )
    return [f"{what} are {found!r}, not {told!r}" for what, found, told in compared if found != told]


def _read(words: Sequence[str], directory: Path) -> dict[str, Any]:
    """Return the JSON that a command prints; its talk is left out."""
    ended = subprocess.run(
        _command(words),
        cwd=directory,
        env=_environment(directory),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
        timeout=_TIMEOUT_S,
    )
    document: dict[str, Any] = json.loads(ended.stdout)
    return document


def _command(words: Sequence[str]) -> list[str]:
    # -P: the folder's own `rules` must not be taken for a Python package.
    return [sys.executable, "-P", "-m", "remedy", *words]


def _environment(directory: Path) -> dict[str, str]:
    """Return our environment without what would lead the command to this person's own fleet."""
    ours = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("REMEDY_", "XDG_")) and name != "SSH_AUTH_SOCK"
    }
    return ours | {"HOME": str(directory / "home"), "PYTHONDONTWRITEBYTECODE": "1"}


def _wait_for_the_end(directory: Path) -> None:
    _say(f"\nThe hosts stay up until you press Ctrl-C here. In another terminal, as root:\n$ cd {directory}")
    _say(f"$ {sys.executable} -m remedy apply")
    try:
        sys.stdin.read()
    except KeyboardInterrupt:
        _say("")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def _ignore_signals() -> None:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Turn the first Ctrl-C, SIGTERM or SIGHUP into KeyboardInterrupt, ignore others; restore all in the end."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        del number, frame
        _ignore_signals()
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number in _SIGNALS:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
