"""A dry run for programs and for CI: published schemas, lines, saved readings, and no connection."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from remedy.cli.commands.schema import OUTPUT_KINDS
from remedy.load.schema import load_schema
from tests.cli.dry_runs import Checkout

_OFFLINE = ("apply", "--dry-run", "--offline", "--readings", "readings.jsonl")
_DOCUMENT = Draft202012Validator(load_schema("output-apply"))
_LINE = Draft202012Validator(load_schema("output-apply-line"))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A committed repository with readings of this machine, made once."""
    return Checkout.made(tmp_path_factory.mktemp("original"))


@pytest.fixture
def checkout(original: Checkout, tmp_path: Path) -> Checkout:
    """A copy of it for one test."""
    return original.copied(tmp_path)


def _make(checkout: Checkout, situation: str) -> tuple[str, ...]:
    """Bring a situation about and return the words of the dry run."""
    match situation:
        case "saved readings":
            return _OFFLINE
        case "live":
            return ("apply", "--dry-run")
        case "observed":
            text = (checkout.root / "rules/high/rule.yaml").read_text()
            checkout.write("rules/high/rule.yaml", text.replace("mode: fix", "mode: observe"))
            return _OFFLINE
        case "blown fuse":
            text = (checkout.root / "rules/high/rule.yaml").read_text()
            checkout.write("rules/high/rule.yaml", text.replace("matched: 100%", "matched: 0"))
            return _OFFLINE
        case "changed signal and new host":
            checkout.append("rules/signals/flag/linux.sh")
            checkout.append("inventory.yaml", "    there: {ansible_host: 192.0.2.1}\n")
            return _OFFLINE
        case "nothing changed":
            return (*_OFFLINE, "--since", "HEAD")
        case "a freeze":
            checkout.append(
                "remedy.yaml", "freezes: [{from: 2020-01-01T00:00, to: 2099-01-01T00:00, zone: UTC, reason: still}]\n"
            )
            return _OFFLINE
        case _:
            raise AssertionError(situation)


_SITUATIONS = (
    "saved readings",
    "live",
    "observed",
    "blown fuse",
    "changed signal and new host",
    "nothing changed",
    "a freeze",
)


@pytest.mark.parametrize("situation", _SITUATIONS)
def test_output_is_valid_by_its_schema(checkout: Checkout, situation: str) -> None:
    """What is printed as JSON and as JSON Lines is what the published schemas say; both tell the same."""
    words = _make(checkout, situation)
    document = checkout.line.remedy(*words, "-o", "json")
    lines = [json.loads(each) for each in checkout.line.remedy(*words, "-o", "jsonl").out.splitlines()]

    whole = document.json
    assert [error.message for error in _DOCUMENT.iter_errors(whole)] == []
    assert [error.message for line in lines for error in _LINE.iter_errors(line)] == []
    assert [line["kind"] for line in (lines[0], lines[-1])] == ["run", "summary"]
    assert lines[-1]["exit_code"] == whole["exit_code"] == document.code
    by_kind = {kind: [line for line in lines if line["kind"] == kind] for kind in ("rule", "held", "host")}
    assert [line["rule"] for line in by_kind["rule"]] == [rule["rule"] for rule in whole["plan"]["rules"]]
    assert len(by_kind["held"]) == len(whole["plan"]["held"])
    assert {line["host"] for line in by_kind["host"]} == {host["host"] for host in whole["coverage"]["hosts"]}


def test_real_apply_is_valid_by_the_schema(checkout: Checkout) -> None:
    """The same schema holds for what a real apply prints, and for one that a stop keeps from beginning."""
    done = checkout.line.remedy("apply", "--yes", "-o", "json")
    checkout.line.remedy("stop", "a test")
    stopped = checkout.line.remedy("apply", "--yes", "-o", "json")

    assert done.json["outcomes"][0]["outcome"] == "done"
    assert stopped.code == 5
    for each in (done, stopped):
        assert [error.message for error in _DOCUMENT.iter_errors(each.json)] == []


def _objects(node: Any) -> Iterator[Any]:
    if isinstance(node, dict):
        yield node
        for each in node.values():
            yield from _objects(each)
    elif isinstance(node, list):
        for each in node:
            yield from _objects(each)


@pytest.mark.parametrize("kind", OUTPUT_KINDS)
def test_schema_of_output_is_strict_and_described(kind: str) -> None:
    """The schemas are valid, say what each key means, and what they share is the same in both."""
    schema = load_schema(kind)

    Draft202012Validator.check_schema(schema)
    for node in _objects(schema):
        if isinstance(node.get("properties"), dict) and "description" in node:
            assert all(
                "description" in each or "$ref" in each or "const" in each for each in node["properties"].values()
            )
    assert schema["$defs"]["limits"] == load_schema("output-apply")["$defs"]["limits"]
    assert not _DOCUMENT.is_valid({"apply": 2, "run": "", "exit_code": 0, "stopped": "", "outcomes": []})


def test_lines_come_as_soon_as_they_are_known(checkout: Checkout) -> None:
    """A host's line is printed while others are still being read: the last line is not waited for."""
    checkout.append("inventory.yaml", "    there: {ansible_host: 127.0.0.1, ansible_port: 9}\n")

    lines = [json.loads(each) for each in checkout.line.remedy("apply", "--dry-run", "-o", "jsonl").out.splitlines()]

    kinds = [line["kind"] for line in lines]
    assert kinds[:3] == ["run", "host", "host"]
    assert kinds.index("rule") == 3


@pytest.mark.parametrize("of", ["changed", "new"])
def test_signal_without_readings_is_not_judged(checkout: Checkout, of: str) -> None:
    """A signal that changed since the readings were taken, or is new, is shown as not judged: no readings."""
    if of == "changed":
        checkout.append("rules/signals/flag/linux.sh")
        why = "no readings: signal flag has changed since they were taken"
    else:
        (checkout.root / "rules/signals/flag").rename(checkout.root / "rules/signals/newer")
        for name in ("rules/signals/newer/signal.yaml", "rules/high/rule.yaml"):
            checkout.write(name, (checkout.root / name).read_text().replace("signal: flag", "signal: newer"))
        why = "no readings: signal newer is new, the file knows none of that name"
    done = checkout.line.remedy(*_OFFLINE, "-o", "json", "--detailed-exitcode")
    comment = checkout.line.remedy(*_OFFLINE, "--since", "HEAD", "-o", "markdown")
    text = checkout.line.remedy(*_OFFLINE)

    assert done.code == 4
    assert done.json["not_judged"] == [{"rule": "high", "reason": why, "hosts": ["here"]}]
    assert "#### Not judged" in comment.out
    assert "no readings: signal" in comment.out
    assert "nothing would be started" in comment.out
    assert why in text.out


def test_time_of_saved_readings_is_said_to_the_second(checkout: Checkout) -> None:
    """For people seconds are enough, on both streams, and one host is a host."""
    done = checkout.line.remedy(*_OFFLINE)

    assert re.search(r"^as of \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \(readings.jsonl\)", done.out, re.MULTILINE)
    assert re.search(r"as of \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$", done.err, re.MULTILINE)
    assert "1 hosts" not in done.out + done.err


def test_host_without_readings_is_not_judged(checkout: Checkout) -> None:
    """A host that is new since the readings were taken is shown as not judged, in the comment, too."""
    checkout.append("inventory.yaml", "    there: {ansible_host: 192.0.2.1}\n")

    comment = checkout.line.remedy(*_OFFLINE, "--since", "HEAD", "-o", "markdown")

    assert comment.code == 4
    assert "- `there`" in comment.out.partition("#### Not judged")[2]


def test_detailed_exit_code_says_that_fixes_are_pending(checkout: Checkout) -> None:
    """With --detailed-exitcode a dry run ends with 2 when fixes are pending, in every form of output."""
    codes = {form: checkout.line.remedy(*_OFFLINE, "--detailed-exitcode", "-o", form).code for form in _FORMS}

    assert codes == dict.fromkeys(_FORMS, 2)
    assert checkout.line.remedy(*_OFFLINE).code == 0


_FORMS = ("text", "json", "jsonl", "markdown")

_WATCHED = """\
import sys

sys.argv = ["remedy", *sys.argv[1:]]
allowed = sys.argv.pop(1)


def watch(event, arguments):
    if event.startswith("socket.") and event != "socket.__new__":
        sys.stderr.write(f"CONTACT {event} {arguments}\\n")
    if event == "subprocess.Popen" and arguments[1][0] != allowed:
        sys.stderr.write(f"CONTACT {event} {arguments[1]}\\n")
    if event == "socket.__new__":
        sys.stderr.write(f"CONTACT {event} {arguments}\\n")
    if event == "open" and isinstance(arguments[0], str) and arguments[0].endswith("ledger.sqlite3"):
        sys.stderr.write(f"CONTACT {event} {arguments}\\n")
    if event == "sqlite3.connect":
        sys.stderr.write(f"CONTACT {event} {arguments}\\n")


sys.addaudithook(watch)
from remedy.cli.main import main

main()
"""


def _watched(checkout: Checkout, *words: str, allowed: str = "git") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _WATCHED, allowed, *words],
        cwd=checkout.root,
        env=checkout.line.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("form", _FORMS)
def test_offline_opens_no_socket_and_no_ledger(checkout: Checkout, form: str) -> None:
    """Offline no socket is made, no name looked up, no program but git started, and no ledger opened."""
    checkout.line.remedy("apply", "--yes")
    checkout.append("rules/signals/mark/linux.sh")
    checkout.append("inventory.yaml", "    there: {ansible_host: remedy.example}\n")

    done = _watched(checkout, *_OFFLINE, "--since", "HEAD", "-o", form)

    assert "CONTACT" not in done.stderr
    assert done.returncode == 4


def test_watching_sees_what_a_live_dry_run_does(checkout: Checkout) -> None:
    """The watch of the test above does see it when a program is started or a ledger is opened."""
    checkout.line.remedy("apply", "--yes")

    done = _watched(checkout, "apply", "--dry-run")

    assert "CONTACT subprocess.Popen" in done.stderr
    assert "CONTACT sqlite3.connect" in done.stderr


def test_offline_runs_where_there_is_no_network(checkout: Checkout) -> None:
    """In a network namespace without even loopback the dry run comes out just the same."""
    probe = subprocess.run(["unshare", "-n", "true"], capture_output=True)
    if probe.returncode:
        pytest.skip("no network namespace can be made here")
    command = [sys.executable, "-m", "remedy", *_OFFLINE, "-o", "markdown"]

    apart = subprocess.run(
        ["unshare", "-n", *command], cwd=checkout.root, env=checkout.line.environment, capture_output=True, text=True
    )

    assert apart.returncode == 0
    assert apart.stdout == checkout.line.remedy(*_OFFLINE, "-o", "markdown").out


def test_offline_does_not_look_at_the_state(checkout: Checkout) -> None:
    """A stop and a cooldown on this machine do not change what is said offline: everybody sees the same."""
    before = checkout.line.remedy(*_OFFLINE, "-o", "markdown")
    checkout.line.remedy("apply", "--yes")
    checkout.line.remedy("stop", "a test")

    after = checkout.line.remedy(*_OFFLINE, "-o", "markdown")

    assert after.out == before.out
    assert "Cooldowns, attempts and budgets are not considered" in after.out
    assert "state " not in after.err
