"""Secrets of scripts: the value reaches the script, and nothing else, whatever the script does with it."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command_line import CommandLine, Ran
from tests.cli.forked import run_forked
from tests.e2e.conftest import Bench
from tests.e2e.planted import KEY, PASSWORD, TOKEN, write_planted_repository

_LENGTH_MIN = 6
_SECRETS = {"PLANTED_TOKEN": TOKEN, "PLANTED_PASSWORD": PASSWORD, "PLANTED_LOGIN": "a-login's-password"}


@dataclass
class Planted:
    """A repository with secrets, the machine it works on, and all that was said."""

    directory: Path
    environment: dict[str, str]
    plant: Callable[[str, str, str], None]
    read: Callable[[str, str], str]
    hosts: tuple[str, ...]
    said: list[str]

    def remedy(self, *words: str) -> Ran:
        """Run the command, and keep what it said."""
        done = run_forked(words, cwd=self.directory, environment=self.environment, timeout_s=90)
        self.said += [done.stdout, done.stderr]
        return Ran(code=done.returncode, out=done.stdout, err=done.stderr)

    def everything(self) -> bytes:
        """Return all that was said, and every byte below the directory, SQLite's pages too."""
        files = [path for path in sorted(self.directory.rglob("*")) if path.is_file() and path.name != "reserve"]
        assert any(path.suffix == ".db" for path in files) or any(path.name.startswith("ledger") for path in files)
        return b"\n".join([*(text.encode("utf-8", "surrogateescape") for text in self.said), *map(_bytes, files)])

    def needles(self) -> set[bytes]:
        """Return the secrets, and the forms in which scripts printed them: whole, and the half in the middle."""
        forms = {TOKEN, PASSWORD, *KEY.splitlines()}
        for host in self.hosts:
            for form in json.loads(self.read(host, "forms") or "[]"):
                forms |= {form.strip().strip("'\"")}
        assert len(forms) > 25
        middles = {form[len(form) // 4 : -(len(form) // 4)] for form in forms if len(form) >= 4 * _LENGTH_MIN}
        return {form.encode() for form in forms | middles if len(form) >= _LENGTH_MIN}


def _bytes(path: Path) -> bytes:
    return path.read_bytes()


@pytest.fixture
def over_ssh(bench: Bench, tmp_path: Path) -> Planted:
    """Two hosts behind real OpenSSH daemons; one has a secret of its own, from a file."""
    write_planted_repository(tmp_path)
    key = tmp_path.parent / f"{tmp_path.name}-key"
    key.write_text(KEY + "\n")
    key.chmod(0o600)
    inventory = (tmp_path / "inventory.yaml").read_text()
    lines = inventory.splitlines()
    at = next(number for number, line in enumerate(lines) if line.strip().startswith("bravo:"))
    given = lines[at].replace("{", f"{{remedy_params: {{flag-high: {{token: {{secret: file:{key}}}}}}}, ", 1)
    (tmp_path / "inventory.yaml").write_text("\n".join([*lines[:at], given, *lines[at + 1 :]]) + "\n")

    def plant(host: str, name: str, text: str) -> None:
        bench.plant(host, **{name: text})

    def read(host: str, name: str) -> str:
        return bench.fleet.run_inside(host, ["cat", f"/run/{name}"]).stdout

    for host in ("alpha", "bravo"):
        bench.fleet.run_inside(host, ["sh", "-c", "rm -f /run/fails /run/forms"])
    return Planted(
        directory=tmp_path,
        environment={**bench.environment, **_SECRETS},
        plant=plant,
        read=read,
        hosts=("alpha", "bravo"),
        said=[],
    )


@pytest.fixture
def on_this_machine(tmp_path: Path) -> Planted:
    """This machine over the local transport, with its files in a folder of its own."""
    directory, place = tmp_path / "repository", tmp_path / "machine"
    for folder in (directory, place):
        folder.mkdir()
    line = CommandLine(directory)
    write_planted_repository(directory)
    params = {"flag-high": {"place": str(place)}, "flag": {"place": str(place)}}
    hosts = {
        "here": {"ansible_connection": "local", "remedy_params": params},
        "win-1": {"ansible_connection": "winrm", "ansible_user": "svc", "ansible_password": "env:PLANTED_LOGIN"},
    }
    (directory / "inventory.yaml").write_text(json.dumps({"all": {"hosts": hosts}}))
    (place / "level").write_text("1\n")

    def plant(_host: str, name: str, text: str) -> None:
        (place / name).write_text(text)

    def read(_host: str, name: str) -> str:
        path = place / name
        return path.read_text() if path.exists() else ""

    environment = {**line.environment, **_SECRETS}
    return Planted(directory=directory, environment=environment, plant=plant, read=read, hosts=("here",), said=[])


def _apply_everything(planted: Planted) -> Any:
    """Fail once, mend once, and have every command say what it knows."""
    first, *_ = planted.hosts
    limit = ",".join(planted.hosts)
    for host in planted.hosts:
        planted.plant(host, "level", "9\n")
    planted.plant(first, "fails", "")
    for output in ("text", "json", "markdown", "jsonl"):
        planted.remedy("apply", "--dry-run", "-l", limit, "-o", output)
    planted.remedy("apply", "--dry-run", "-l", limit, "--plan-out", "plan.json")
    applied = planted.remedy("apply", "--plan", "plan.json", "--yes", "-o", "json")
    planted.remedy("release", "flag-high", "-l", first, "--reason", "tried again")
    planted.remedy("apply", "--yes", "-l", first)
    _say_all(planted, first)
    return applied.json


def _say_all(planted: Planted, host: str) -> None:
    limit = ",".join(planted.hosts)
    planted.remedy("scan", "-l", limit, "--save", "readings.jsonl")
    planted.remedy("scan", "-l", limit, "-o", "json")
    planted.remedy("apply", "--dry-run", "-l", limit, "--readings", "readings.jsonl")
    planted.remedy("why", host)
    planted.remedy("why", host, "-o", "json")
    planted.remedy("why", host, "--stored")
    planted.remedy("runs")
    runs = planted.remedy("runs", "-o", "json").json
    for run in [each["run"] for each in runs["runs"]]:
        for words in (("runs", run), ("runs", run, "-o", "json"), ("audit", "show", run), ("resume", run)):
            planted.remedy(*words)
    for words in (
        ("audit", "verify"),
        ("rules", "show", "flag-high"),
        ("rules", "show", "flag-high", "-o", "json"),
        ("inventory", "--host", host),
        ("inventory", "-o", "json"),
        ("config",),
        ("validate",),
        ("lint",),
    ):
        planted.remedy(*words)


def _leaks(everything: bytes, needles: Sequence[bytes]) -> list[bytes]:
    return [needle for needle in needles if needle in everything]


@pytest.mark.sshd
def test_a_secret_is_nowhere_but_in_its_script_over_ssh(over_ssh: Planted) -> None:
    """
    What a script prints of its secret, in every form and cut anywhere, is masked on its way in.

    Nothing that remedy says or keeps has any of it: results, plan, readings, audit, ledger, log, outputs.
    """
    document = _apply_everything(over_ssh)

    ended = {each["host"]: each["outcome"] for each in document["outcomes"]}
    assert ended == {"alpha": "failed", "bravo": "fixed"}
    assert json.loads(over_ssh.read("alpha", "forms"))[0] == TOKEN
    assert json.loads(over_ssh.read("bravo", "forms"))[0] == KEY
    everything = over_ssh.everything()
    assert _leaks(everything, sorted(over_ssh.needles())) == []
    assert b"command lines, 0 with a secret in it" in everything
    assert b"0 variables of remedy's own" in everything
    assert b"secret env:PLANTED_TOKEN" in everything


def test_a_secret_is_nowhere_but_in_its_script_on_this_machine(on_this_machine: Planted) -> None:
    """The same over the local transport: nothing that remedy says or keeps has any of it."""
    document = _apply_everything(on_this_machine)

    assert [each["outcome"] for each in document["outcomes"]] == ["failed"]
    assert json.loads(on_this_machine.read("here", "forms"))[0] == TOKEN
    everything = on_this_machine.everything()
    assert _leaks(everything, sorted(on_this_machine.needles())) == []
    assert b"command lines, 0 with a secret in it" in everything
    assert b"0 variables of remedy's own" in everything


def test_a_collector_that_prints_its_secret_has_no_reading(on_this_machine: Planted) -> None:
    """A secret among the rows, or in the last words of a collector that failed: unknown, and never shown."""
    on_this_machine.plant("here", "note", "leak")
    leaked = on_this_machine.remedy("scan", "-o", "json")
    on_this_machine.remedy("apply", "--yes")
    on_this_machine.plant("here", "note", "fail")
    failed = on_this_machine.remedy("scan", "--save", "readings.jsonl")
    on_this_machine.remedy("apply", "--yes")

    assert leaked.code == failed.code == 4
    assert "it printed the secret env:PLANTED_PASSWORD; its rows are not kept" in leaked.out
    assert "exit code 9: it failed: ***" in failed.out
    assert _leaks(on_this_machine.everything(), [PASSWORD.encode()]) == []


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "the environment variable PLANTED_TOKEN of the reference env:PLANTED_TOKEN is not set, or empty"),
        ("", "is not set, or empty"),
        ("abc12", "secret env:PLANTED_TOKEN has fewer than 6 characters"),
    ],
)
def test_a_secret_that_cannot_be_had_stops_a_run_before_it_starts(
    on_this_machine: Planted, value: str | None, said: str
) -> None:
    """Without its secret no fix is started anywhere: exit 1, the reference named, the value never."""
    on_this_machine.plant("here", "level", "9\n")
    del on_this_machine.environment["PLANTED_TOKEN"]
    if value is not None:
        on_this_machine.environment["PLANTED_TOKEN"] = value

    ran = on_this_machine.remedy("apply", "--yes", "-o", "json")

    assert ran.code == 1
    assert said in ran.err
    assert "nothing was started" in ran.err
    assert not on_this_machine.read("here", "forms")
    assert not value or value not in ran.err


def test_a_collector_without_its_secret_spoils_only_itself(on_this_machine: Planted) -> None:
    """A signal whose secret cannot be had is unknown with the reference named; nothing of it is started."""
    del on_this_machine.environment["PLANTED_PASSWORD"]

    ran = on_this_machine.remedy("scan")

    assert ran.code == 4
    assert "the environment variable PLANTED_PASSWORD of the reference env:PLANTED_PASSWORD is not set" in ran.out
