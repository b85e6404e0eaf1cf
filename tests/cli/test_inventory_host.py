"""`remedy inventory --host`: where each value of a host stands, as a person asks it."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.forked import run_forked

DOCS = Path(__file__).parents[2] / "docs" / "hosts.md"
SECRET = "hunter2-0755"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run the command line in an empty directory with an empty home."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "LC_ALL": "C.UTF-8",
    }

    def run_words(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        done = run_forked(words, cwd=tmp_path, environment=environment, stdin=stdin, timeout_s=60)
        assert "Traceback" not in done.stdout + done.stderr
        return done

    return run_words


def _write(folder: Path) -> None:
    files = {
        "hosts.ini": f"web-1:2222 ansible_user=inline ansible_password={SECRET}\n[web]\nweb-1\n[web:vars]\n"
        "ansible_user=group\nansible_host=192.0.2.1\n"
        f"ansible_ssh_common_args='-o ProxyCommand=\"sshpass -p {SECRET}\"'\n"
        "remedy_params={'low-disk': {'below_percent': 5, 'below_gib': 1}}\n",
        "group_vars/all.yml": "ansible_user: everybody\n",
        "host_vars/web-1.yml": f"remedy_params: {{low-disk: {{below_gib: 7}}}}\nansible_become_password: {SECRET}\n",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)


def test_each_value_has_its_place(run: Run, tmp_path: Path) -> None:
    """File, line and column of the assignment that counts, and of those that it overrides, the nearest first."""
    _write(tmp_path)
    done = run("inventory", "-i", "hosts.ini", "--host", "web-1", "-o", "json")
    said = json.loads(done.stdout)
    found = {each["variable"]: each for each in said["variables"]}

    assert done.returncode == 0
    assert [host["host"] for host in said["hosts"]] == ["web-1"]
    assert found["ansible_user"] == {
        "variable": "ansible_user",
        "value": "inline",
        "of": "host web-1:2222",
        "file": "hosts.ini",
        "line": 1,
        "column": 25,
        "overrides": ["group_vars/all.yml:1:15", "hosts.ini:5:14"],
    }
    assert [
        (each["variable"], each["value"], each["file"], each["line"], each["overrides"])
        for each in said["variables"]
        if each["variable"].startswith("remedy_params")
    ] == [
        ("remedy_params.low-disk.below_gib", "7", "host_vars/web-1.yml", 1, ["hosts.ini:8:15"]),
        ("remedy_params.low-disk.below_percent", "5", "hosts.ini", 8, []),
    ]
    assert (found["ansible_port"]["value"], found["ansible_host"]["line"]) == ("2222", 6)


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_secret_is_shown(run: Run, tmp_path: Path, form: str) -> None:
    """Passwords are `***`, and arguments that may hold one are not shown; a reference is."""
    _write(tmp_path)
    (tmp_path / "hosts.ini").write_text((tmp_path / "hosts.ini").read_text() + "ansible_winrm_password=env:WIN\n")
    done = run("inventory", "-i", "hosts.ini", "--host", "web-1", "-o", form)

    assert done.returncode == 0
    assert SECRET not in done.stdout + done.stderr
    assert "***" in done.stdout
    assert "(not shown)" in done.stdout
    assert "env:WIN" in done.stdout


def test_host_that_is_not_there_is_named(run: Run, tmp_path: Path) -> None:
    """A name that the inventory does not have is exit 6 with the nearest one; a group is no host."""
    _write(tmp_path)
    mistyped = run("inventory", "-i", "hosts.ini", "--host", "web-11")
    group = run("inventory", "-i", "hosts.ini", "--host", "web")

    assert (mistyped.returncode, group.returncode) == (6, 6)
    assert "--host: no host is named 'web-11'; did you mean web-1?" in mistyped.stderr
    assert "--host: no host is named 'web'" in group.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-i", "-"), "standard input is none; name the file with -i"),
        (("-i", "hosts.ini", "--limit", "web"), "--host names one host, and --limit selects from all"),
    ],
)
def test_host_with_what_does_not_fit_is_refused(run: Run, tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    """Standard input has no places, and a limit is of no use beside one host."""
    _write(tmp_path)
    done = run("inventory", "--host", "web-1", *words, stdin="web-1\n")

    assert done.returncode == 1
    assert message in done.stderr


def test_this_machine_has_no_values(run: Run) -> None:
    """Without an inventory it is this machine, of which nothing is set anywhere."""
    done = run("inventory", "--host", "localhost")

    assert (done.returncode, done.stdout) == (0, "")
    assert "localhost: linux, local, this machine" in done.stderr


def test_example_of_the_docs_is_true(run: Run, tmp_path: Path) -> None:
    """The INI file of docs/hosts.md gives the hosts and the output that stand there."""
    text = DOCS.read_text(encoding="utf-8")
    [ini] = re.findall(r"^```ini\n(; hosts\.ini\n.*?)^```$", text, re.MULTILINE | re.DOTALL)
    [console] = re.findall(r"^```console\n\$ remedy (.*?)^```$", text, re.MULTILINE | re.DOTALL)
    command, _, output = console.partition("\n")
    (tmp_path / "hosts.ini").write_text(ini)
    done = run(*command.split())
    listed = json.loads(run("inventory", "-i", "hosts.ini", "-o", "json").stdout)["hosts"]

    assert [line.rstrip() for line in done.stdout.splitlines()] == output.splitlines()
    assert [host["host"] for host in listed if "web" in host["groups"]] == [
        "2001:db8::7",
        "web-01.example.org",
        "web-02.example.org",
        "web-03.example.org",
    ]
    assert len(listed) == 8
