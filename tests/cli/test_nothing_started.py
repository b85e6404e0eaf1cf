"""An apply that ends before its plan is agreed to: what it says, and where what it says can be found."""

import re
from pathlib import Path

import pytest

from tests.cli.command_line import CommandLine
from tests.cli.dry_runs import Checkout

_SHOWN = re.compile(r"^run        (\S+)$", flags=re.MULTILINE)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A repository whose rule `high` matches this machine and has a fix."""
    checkout = Checkout(CommandLine(tmp_path))
    checkout.write_all()
    return checkout


def test_missing_secret_names_rule_and_host(checkout: Checkout) -> None:
    """A secret that is not there is said with the rule and the host that need it; the run can be looked up."""
    checkout.append("rules/high/rule.yaml", "params: {token: {secret: env:NOT_THERE}}\n")

    done = checkout.line.remedy("apply", "--yes")
    (run,) = _SHOWN.findall(done.err)
    asked = checkout.line.remedy("runs", run)
    shown = checkout.line.remedy("audit", "show", "--run", run)

    assert done.code == 1
    assert done.err.splitlines()[-1] == (
        "remedy: high on here: the environment variable NOT_THERE of the reference env:NOT_THERE is not set, or "
        f"empty; nothing was started; evidence: remedy audit show --run {run}"
    )
    assert (asked.code, asked.err.splitlines()[-1]) == (
        6,
        f"remedy: run {run} started nothing on any host; remedy audit show --run {run}",
    )
    assert shown.code == 0
    assert run in shown.out


def test_run_is_named_only_once_it_is_kept(checkout: Checkout) -> None:
    """An apply that is stopped before it begins keeps nothing, and names no run that could not be found."""
    checkout.line.remedy("stop", "maintenance")

    done = checkout.line.remedy("apply", "--yes")

    assert done.code == 5
    assert _SHOWN.findall(done.err) == []
