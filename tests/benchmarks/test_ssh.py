"""The benchmark of SSH runs, on few hosts and hardly timed; its figures are in docs/performance.md."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import benchmarks
from benchmarks import ssh
from benchmarks.ssh_figures import Comparison, Figures, LeftOut
from benchmarks.ssh_hosts import Missing, compiled
from benchmarks.ssh_measured import Measured
from benchmarks.ssh_report import lines
from benchmarks.ssh_tools import CLIENTS, Command

_TOP = Path(benchmarks.__file__).parents[1]


@pytest.fixture
def _may_unshare() -> None:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("needs root and unshare, for a network namespace")


def _benchmark(*words: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.ssh", "--hosts=3", "--rounds=1", "-o", "json", *words]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=110, cwd=_TOP)
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


@pytest.mark.slow
@pytest.mark.sshd
@pytest.mark.usefixtures("_may_unshare")
def test_ssh_measures_scan_and_apply_behind_openssh() -> None:
    """A small run prints one JSON object; who is not installed is named with the reason, and has no figures."""
    if shutil.which("sshd", path="/usr/sbin:/usr/bin") is None:
        pytest.skip("needs OpenSSH's daemon")

    found = _benchmark("--server=sshd", "--clients=remedy,asyncssh")

    assert set(found) == {field.name for field in dataclasses.fields(Comparison)}
    assert [(one["client"], one["job"]) for one in found["figures"]] == [("remedy", "scan"), ("remedy", "apply")]
    names = ("wall_s", "client_cpu_ms", "hosts_cpu_ms", "kib_per_host", "peak_mib")
    assert min(one[name] for one in found["figures"] for name in names) > 0
    assert [one["wall_ratio"] for one in found["figures"]] == [None, None]
    assert {(one["client"], one["reason"]) for one in found["left_out"]} == {
        ("asyncssh", "no asyncssh in the virtual environment of --tools")
    }


@pytest.mark.slow
@pytest.mark.usefixtures("_may_unshare")
def test_ssh_takes_ratios_to_the_bare_client_behind_the_stub(tmp_path: Path) -> None:
    """The stub answers remedy's payloads, and who sends them bare is what the others are held against."""
    try:
        compiled("ssh_stub", tmp_path)
    except Missing as exc:
        pytest.skip(f"needs a compiler and libssh: {exc}")

    found = _benchmark("--server=stub", "--clients=libssh,paramiko")

    assert [(one["client"], one["job"]) for one in found["figures"]] == [
        (client, job) for job in ("scan", "apply") for client in ("libssh", "paramiko")
    ]
    assert [one["wall_ratio"] for one in found["figures"] if one["client"] == "libssh"] == [1, 1]
    assert min(one["client_cpu_ratio"] for one in found["figures"] if one["client"] == "paramiko") > 1


def test_ssh_refuses_a_client_that_did_not_do_it_everywhere(tmp_path: Path) -> None:
    """The time of a client that left a host out would mean nothing: it ends with an error that shows its output."""
    (tmp_path / "stdout").write_text("2 of 3\n")
    (tmp_path / "stderr").write_text("127.1.0.2: no route\n")
    command = Command(argv=["client"], proof=lambda stdout, stderr: stdout == "3 of 3\n")
    ended = Measured(exit_code=0, wall_s=1, cpu_s=1, machine_cpu_s=1, peak_kib=0)

    with pytest.raises(AssertionError, match=r"libssh \(scan\), exit code 0: 2 of 3\n127.1.0.2: no route"):
        ssh._check(CLIENTS[0], command, ended, tmp_path)


def test_ssh_refuses_a_client_it_does_not_know(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistyped name is an error that lists the right ones, before anything is started."""
    monkeypatch.setattr(ssh, "enter_namespaces", lambda module, words: pytest.fail("it went on"))

    with pytest.raises(SystemExit):
        ssh.main(["--clients=remdy"])

    assert "no client remdy; there are ansible-raw" in capsys.readouterr().err


def test_measured_counts_and_ends_what_a_command_leaves_behind(tmp_path: Path) -> None:
    """CPU of a process that left its session is the command's too; it is gone when the figures are there."""
    burn = 'echo $$ >pid; exec timeout 20 sh -c "while :; do :; done"'
    script = f"setsid sh -c '{burn}' & while [ ! -s pid ]; do sleep 0.01; done; sleep 0.3; echo said"
    command = [sys.executable, "-m", "benchmarks.ssh_measured", f"--folder={tmp_path}", "--", "sh", "-c", script]

    ended = subprocess.run(
        command, check=True, input=json.dumps(dict(os.environ)), capture_output=True, text=True, timeout=60, cwd=_TOP
    )

    found = Measured(**json.loads(ended.stdout))
    assert (found.exit_code, (tmp_path / "stdout").read_text()) == (0, "said\n")
    assert found.cpu_s > 0.05
    assert found.wall_s >= 0.3
    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()


def test_measured_samples_the_memory_of_all_processes(tmp_path: Path) -> None:
    """Two processes that hold 20 MB each are at least 40 MB together."""
    hold = "import time; kept = b'x' * 20_000_000; time.sleep(1)"
    script = f"'{sys.executable}' -c \"{hold}\" & '{sys.executable}' -c \"{hold}\"; wait"
    words = [f"--folder={tmp_path}", "--memory", "--", "sh", "-c", script]
    command = [sys.executable, "-m", "benchmarks.ssh_measured", *words]

    ended = subprocess.run(
        command, check=True, input=json.dumps(dict(os.environ)), capture_output=True, text=True, timeout=60, cwd=_TOP
    )

    assert Measured(**json.loads(ended.stdout)).peak_kib > 40_000


def _figures(client: str, *, server: str = "sshd", job: str = "scan", **changes: float) -> Figures:
    values: dict[str, Any] = {
        "hosts": 1_000,
        "wall_s": 10.0,
        "wall_ratio": 1.0,
        "client_cpu_ms": 5.0,
        "client_cpu_ratio": 1.0,
        "hosts_cpu_ms": 20.0,
        "kib_per_host": 10.0,
        "others_percent": 0.0,
        "peak_mib": 100.0,
    }
    return Figures(server=server, job=job, client=client, **{**values, **changes})


def _report(*figures: Figures) -> list[str]:
    left_out = (LeftOut(server="stub", job="scan", client="pdsh", reason="no pdsh on PATH"),)
    return lines(Comparison(rounds=5, at_once=64, payload_bytes={}, figures=figures, left_out=left_out))


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ([_figures("remedy", wall_ratio=1.3)], "remedy's wall 1.30 times the bare client's   goal: at most 1.3, met"),
        ([_figures("remedy", wall_ratio=1.31)], "1.31 times the bare client's   goal: at most 1.3, MISSED"),
        ([_figures("remedy", server="stub", client_cpu_ms=6.1)], "CPU 6.1 ms   goal: at most 6, MISSED"),
        ([_figures("remedy", server="stub", job="apply", client_cpu_ms=12)], "CPU 12.0 ms   goal: at most 12, met"),
        ([_figures("remedy", peak_mib=201)], "remedy's peak 201 MiB   goal: at most 200, MISSED"),
        ([_figures("remedy"), _figures("ansible-script", wall_s=39)], "3.90 times faster than ansible-script   goal:"),
        ([_figures("remedy", others_percent=11)], "beside: remedy"),
        ([], "  stub, scan, pdsh: no pdsh on PATH"),
    ],
)
def test_report_holds_figures_against_the_goals(figures: list[Figures], said: str) -> None:
    """Each goal stands beside its figure, met or missed; so do a busy machine, and who was left out."""
    report = _report(*figures)

    assert said in "\n".join(report)


def test_report_names_no_goal_for_a_small_fleet() -> None:
    """On few hosts the start of a program is most of its CPU: the goals are for many."""
    assert "goal" not in "\n".join(_report(_figures("remedy", hosts=200)))
