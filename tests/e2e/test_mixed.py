"""
One fleet of both kinds: real OpenSSH daemons, and hosts over WinRM, in one plan, one rollout and one audit log.

The WinRM hosts are loopback servers that speak the protocol for real; behind them
runs a stand-in process, which is no PowerShell: their scripts are for /bin/sh.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.conftest import Bench, all_text, outcomes
from tests.winrm.server import Authority, WinRMServer
from tests.winrm.shells import StandIn
from tests.winrm.stand_in import MACHINE_NAME, stand_in

pytestmark = pytest.mark.sshd

WINDOWS = ("win-1", "win-2")
_COLLECTOR = """\
level=$(cat "$PLANTED/level") || exit 3
printf '{"level": %s, "note": null}\\n' "$level"
"""
_FIX = """\
echo ran >> "$PLANTED/ran"
if [ -e "$PLANTED/fix" ]; then . "$PLANTED/fix"; fi
echo 0 > "$PLANTED/level"
echo "lowered"
"""


@dataclass
class Mixed:
    """The bench, and two hosts over WinRM with a folder each: win-1 over NTLM and http, win-2 inside of TLS."""

    bench: Bench
    servers: Mapping[str, WinRMServer]
    folders: Mapping[str, Path]

    def write_inventory(self, **variables: str) -> None:
        """Write the SSH hosts of the bench and the WinRM hosts; `win_1` and `win_2` are more variables of theirs."""
        http, tls = self.servers["win-1"], self.servers["win-2"]
        more = {name: f", {text}" if text else "" for name, text in {"win_1": "", "win_2": "", **variables}.items()}
        ssh = self.bench.directory / "ssh-only.yaml"
        if not ssh.exists():
            ssh.write_text((self.bench.directory / "inventory.yaml").read_text())
        text = (
            f"{ssh.read_text()}"
            "    windows:\n"
            "      vars: {ansible_connection: winrm, ansible_user: remedy, ansible_password: 'env:WIN_PASSWORD'}\n"
            "      hosts:\n"
            f"        win-1: {{ansible_host: 127.0.0.1, ansible_port: {http.port}, ansible_winrm_scheme: http"
            f"{more['win_1'] or f', remedy_computer_name: {MACHINE_NAME.lower()}.corp.example'}}}\n"
            f"        win-2: {{ansible_host: 127.0.0.1, ansible_port: {tls.port}, ansible_winrm_scheme: https, "
            f"ansible_winrm_ca_trust_path: {json.dumps(str(tls.ca_file))}{more['win_2']}}}\n"
        )
        (self.bench.directory / "inventory.yaml").write_text(text)

    def write_rule(self, **changes: str) -> None:
        """Write the rule of the bench with a fix for both platforms."""
        self.bench.write_rule(**changes)
        folder = self.bench.directory / "rules" / "flag-high"
        rule = folder / "rule.yaml"
        linux = next(line for line in rule.read_text().splitlines() if line.startswith("  linux:"))
        windows = linux.replace("linux", "windows").replace(".sh", ".ps1")
        rule.write_text(rule.read_text().replace(linux, f"{linux}\n{windows}"))
        (folder / "lower.ps1").write_text(_FIX)

    def trouble(self, *hosts: str) -> None:
        """Plant trouble on hosts of either kind."""
        for host in hosts:
            if host in self.folders:
                (self.folders[host] / "level").write_text("9\n")
            else:
                self.bench.trouble(host)

    def ran(self, host: str) -> int:
        """Return how many times the fix really ran on a host of either kind."""
        if host not in self.folders:
            return self.bench.ran(host)
        file = self.folders[host] / "ran"
        return len(file.read_text().split()) if file.exists() else 0

    def level(self, host: str) -> str:
        """Return the level that is on a WinRM host now."""
        return (self.folders[host] / "level").read_text().strip()


def _standing_in(folder: Path) -> StandIn:
    """Return a stand-in whose scripts find the host's own files."""
    return lambda command_line: ("/usr/bin/env", f"PLANTED={folder}", *stand_in(command_line))


@pytest.fixture
def mixed(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mixed]:
    """Six hosts over SSH and two over WinRM, healthy; afterwards no shell is left, and nothing was in clear text."""
    outside = tmp_path_factory.mktemp("windows")
    folders = {name: outside / name for name in WINDOWS}
    for folder in folders.values():
        folder.mkdir()
        (folder / "level").write_text("1\n")
    signal = bench.directory / "rules" / "signals" / "flag"
    text = (signal / "signal.yaml").read_text()
    (signal / "signal.yaml").write_text(f"{text}  windows: {{script: windows.ps1, timeout: 3s}}\n")
    (signal / "windows.ps1").write_text(_COLLECTOR)
    authority = Authority(outside)
    with (
        WinRMServer(_standing_in(folders["win-1"])) as http,
        WinRMServer(_standing_in(folders["win-2"]), tls=authority, binds_channel=True) as tls,
    ):
        bench.environment = {**bench.environment, "WIN_PASSWORD": http.password}
        made = Mixed(bench=bench, servers={"win-1": http, "win-2": tls}, folders=folders)
        made.write_inventory()
        made.write_rule()
        yield made
        for server in made.servers.values():
            assert not server.shells_open()
            assert server.journal.clear_text_bodies == 0


def test_one_apply_mends_both_kinds_of_hosts(mixed: Mixed) -> None:
    """One plan has SSH and WinRM hosts in its waves, one run fixes and proves all, one audit log holds every intent."""
    mixed.trouble("alpha", "foxtrot", *WINDOWS)

    first = mixed.bench.remedy("apply", "--yes", "-o", "json")
    second = mixed.bench.remedy("apply", "--yes", "-o", "json")

    assert first.code == 0, first.err
    assert outcomes(first.json) == dict.fromkeys(("alpha", "foxtrot", *WINDOWS), "fixed")
    assert [mixed.ran(name) for name in ("alpha", "bravo", "foxtrot", *WINDOWS)] == [1, 0, 1, 1, 1]
    assert [mixed.level(name) for name in WINDOWS] == ["0", "0"]
    (rule,) = first.json["plan"]["rules"]
    waves = {each["host"]: each["wave"] for each in rule["executions"]}
    assert set(waves) == {"alpha", "foxtrot", *WINDOWS}
    assert set(waves.values()) == {1, 2}
    assert sorted(_hosts_of(_logs(mixed.bench)[0], "execution.intent")) == ["alpha", "foxtrot", *WINDOWS]
    assert (second.code, second.json["outcomes"]) == (0, [])
    assert mixed.bench.remedy("audit", "verify").code == 0


def _logs(bench: Bench) -> list[str]:
    return [path.read_text() for path in sorted((bench.directory / "state" / "audit").glob("*.jsonl"))]


def _hosts_of(log: str, kind: str) -> list[str]:
    records = [json.loads(line) for line in log.splitlines()]
    return [record["data"]["host"] for record in records if record["type"] == kind]


def test_failing_windows_canary_halts_the_hosts_over_ssh_too(mixed: Mixed) -> None:
    """The rollout is one: a WinRM host that goes bad keeps the fix from every host of the next wave."""
    mixed.write_rule(waves="[1, 100%]")
    mixed.trouble("alpha", "bravo", "charlie", *WINDOWS)
    for folder in mixed.folders.values():
        (folder / "fix").write_text("exit 7\n")

    ran = mixed.bench.remedy("apply", "--yes", "-o", "json")

    (rule,) = ran.json["plan"]["rules"]
    waves = {each["host"]: each["wave"] for each in rule["executions"]}
    canary = next(name for name in WINDOWS if waves[name] == 1)
    later = {name for name, wave in waves.items() if wave > 1}
    assert ran.code == 5
    assert outcomes(ran.json)[canary] == "failed"
    assert {outcomes(ran.json)[name] for name in later} == {"halted"}
    assert [mixed.ran(name) for name in sorted(later)] == [0] * len(later)


def test_other_machine_behind_a_winrm_address_is_loud_and_gets_nothing(mixed: Mixed) -> None:
    """A machine with another name is exit 3; it was sent no script, and the other hosts are fixed."""
    mixed.trouble("alpha", *WINDOWS)
    mixed.write_inventory(win_1="remedy_computer_name: print-7")

    ran = mixed.bench.remedy("apply", "--yes", "-o", "json")

    assert ran.code == 3
    assert ran.json["coverage"]["refused"] == ["win-1"]
    assert outcomes(ran.json) == {"alpha": "fixed", "win-2": "fixed"}
    assert (mixed.ran("win-1"), mixed.level("win-1")) == (0, "9")


def test_changed_way_to_a_windows_host_refuses_a_plan(mixed: Mixed) -> None:
    """A plan that was reviewed for NTLM is not carried out over another login: exit 1, named, nobody contacted."""
    mixed.trouble("alpha", *WINDOWS)
    made = mixed.bench.remedy("apply", "--dry-run", "--plan-out", "plan.json")
    mixed.write_inventory(win_2="ansible_winrm_transport: basic")

    refused = mixed.bench.remedy("apply", "--plan", "plan.json", "--yes")

    assert (made.code, refused.code) == (0, 1)
    assert 'hosts.win-2.winrm.auth: "ntlm" in the plan, "basic" now' in refused.err
    assert [mixed.ran(name) for name in ("alpha", *WINDOWS)] == [0, 0, 0]


def test_password_is_in_no_output_and_in_no_file(mixed: Mixed) -> None:
    """Neither the password that was used nor a literal one that was not is in output, plan, log, ledger or audit."""
    literal = "hunter2-0755"
    mixed.trouble("alpha", *WINDOWS)
    mixed.write_inventory(win_1=f"ansible_password: {literal}")

    said = [
        mixed.bench.remedy("apply", "--dry-run", "--plan-out", "plan.json"),
        mixed.bench.remedy("apply", "--yes"),
        mixed.bench.remedy("apply", "--yes", "-o", "json"),
        mixed.bench.remedy("runs", "-o", "json"),
    ]

    everything = all_text(mixed.bench.directory, [text for ran in said for text in (ran.out, ran.err)])
    assert [ran.code for ran in said] == [4, 4, 4, 0]
    assert "ansible_password: a literal secret stands in the inventory and is never used" in said[1].err
    assert "refused win-1: ansible_password: a literal password is never used" in said[1].out
    assert (mixed.ran("win-1"), mixed.ran("win-2")) == (0, 1)
    assert literal not in everything
    assert mixed.servers["win-2"].password not in everything
