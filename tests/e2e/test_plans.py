"""Plan files, overrides, runs that go on, and the safeguards of remedy.yaml, against real OpenSSH daemons."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest

from tests.e2e.conftest import FIX_THAT_WAITS, NAMES, Bench, await_true, outcomes, stop_process

pytestmark = pytest.mark.sshd

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def write_settings(bench: Bench, text: str) -> None:
    """Write remedy.yaml."""
    (bench.directory / "remedy.yaml").write_text(text)


def freeze_text(start: datetime, end: datetime, reason: str = "year end") -> str:
    """Return a freeze as remedy.yaml has it."""
    return f"freezes: [{{from: {start:%Y-%m-%dT%H:%M}, to: {end:%Y-%m-%dT%H:%M}, zone: UTC, reason: {reason}}}]\n"


# Plan files


def test_reviewed_plan_is_carried_out_once(bench: Bench) -> None:
    """A plan made in a dry run is carried out as it was reviewed; the same file again starts nothing."""
    bench.write_rule(cooldown="0s")
    bench.trouble("alpha", "bravo")

    made = bench.remedy("apply", "--dry-run", "--plan-out", "plan.json", "-o", "json")
    ran_by_dry_run = bench.ran_anywhere()
    checked = bench.remedy("apply", "--dry-run", "--plan", "plan.json")
    first = bench.remedy("apply", "--plan", "plan.json", "-o", "json")
    bench.trouble("alpha", "bravo")
    second = bench.remedy("apply", "--plan", "plan.json", "-o", "json")

    assert (made.code, checked.code, first.code, second.code) == (0, 0, 0, 5)
    assert ran_by_dry_run == 0
    assert "stands as it was reviewed; nobody was contacted" in checked.out
    assert first.json["plan"]["digest"] == made.json["plan"]["digest"]
    assert outcomes(first.json) == {"alpha": "fixed", "bravo": "fixed"}
    assert set(outcomes(second.json).values()) <= {"already_started", "halted"}
    assert (bench.ran("alpha"), bench.ran("bravo")) == (1, 1)


CHANGES = {
    "script": "rules[flag-high].executions[alpha].script_sha256",
    "rule": "rules[flag-high].digest",
    "inventory": "hosts.alpha.user",
    "plan": "was edited",
}


@pytest.mark.parametrize(("what", "named"), CHANGES.items())
def test_changed_ground_refuses_a_plan_and_contacts_nobody(bench: Bench, what: str, named: str) -> None:
    """A rule, script or connection changed since the review, or an edited file: exit 1, named, nothing contacted."""
    bench.trouble("alpha")
    bench.remedy("apply", "--dry-run", "--plan-out", "plan.json")
    if what == "script":
        with (bench.directory / "rules/flag-high/lower.sh").open("a") as script:
            script.write("true\n")
    elif what == "rule":
        bench.write_rule(max_bad="5")
    elif what == "inventory":
        file = bench.directory / "inventory.yaml"
        file.write_text(re.sub(r"(alpha:\n(?: +.*\n)*? +ansible_user:) \w+", r"\1 somebody", file.read_text(), count=1))
        if "somebody" not in file.read_text():
            file.write_text(file.read_text().replace("ansible_user: root", "ansible_user: somebody"))
    else:
        file = bench.directory / "plan.json"
        file.write_text(file.read_text().replace('"level": 9', '"level": 8'))

    refused = bench.remedy("apply", "--plan", "plan.json")

    assert refused.code == 1
    assert named in refused.err
    assert bench.ran_anywhere() == 0


def test_expired_plan_starts_nothing(bench: Bench) -> None:
    """A plan of more than 4 h ago is whole and stands, and is not begun: exit 5, with its time."""
    bench.trouble("alpha")
    bench.remedy("apply", "--dry-run", "--plan-out", "plan.json")
    old = _aged(bench, timedelta(hours=4, seconds=1))

    refused = bench.remedy("apply", "--plan", old, "-o", "json")

    assert refused.code == 5
    assert outcomes(refused.json) == {"alpha": "plan_expired"}
    assert bench.ran_anywhere() == 0


def _aged(bench: Bench, age: timedelta) -> str:
    """Return a plan file as it would be if it had been made that much earlier: its digest and ids are right."""
    from remedy.canonical import canonical_json, digest_fields, digest_text
    from remedy.readings import parse_time, time_text

    document = json.loads((bench.directory / "plan.json").read_text())
    made = parse_time(document["created_at"]) - age
    document.pop("digest")
    document.pop("expires_at")
    executions = [each for rule in document["rules"] for each in rule["executions"]]
    for each in executions:
        each.pop("id")
    document["created_at"] = time_text(made)
    digest = digest_text(canonical_json(document))
    for rule in document["rules"]:
        for each in rule["executions"]:
            each["id"] = digest_fields((digest, rule["rule"], each["host"], canonical_json(each["key"])))[:16]
    document |= {"digest": digest, "expires_at": time_text(made + timedelta(hours=4))}
    (bench.directory / "old.json").write_text(json.dumps(document))
    return "old.json"


# Going on after a run


def test_apply_from_a_run_takes_only_what_ended_so(bench: Bench) -> None:
    """After a halted run, --from-run plans the failed and the skipped hosts anew; the failed one is cooling down."""
    bench.write_rule(waves="[1, 2, 100%]")
    bench.trouble(*NAMES[:4])
    for name in NAMES[:4]:
        bench.plant(name, fix="exit 7\n")
    first = bench.remedy("apply", "--yes", "-o", "json")
    for name in NAMES[:4]:
        bench.plant(name, fix="true\n")
    bench.trouble("foxtrot")
    run = first.json["run"]
    bench.remedy("release", "flag-high", "--reason", "the script is repaired")

    again = bench.remedy("apply", "--yes", "--from-run", run, "-o", "json")
    nothing = bench.remedy("apply", "--yes", "--from-run", run, "--outcome", "fixed")
    unknown = bench.remedy("apply", "--yes", "--from-run", "20200101T000000Z-0000")

    failed = [host for host, word in outcomes(first.json).items() if word == "failed"]
    assert len(failed) == 1
    assert {each["host"]: each["hold"] for each in again.json["plan"]["held"]} == {failed[0]: "cooling_down"}
    assert outcomes(again.json) == {name: "fixed" for name in NAMES[:4] if name not in failed}
    assert bench.ran("foxtrot") == 0
    assert (nothing.code, unknown.code) == (6, 6)
    assert "ended as fixed" in nothing.err


def test_override_lifts_one_hold_for_one_host(bench: Bench) -> None:
    """A cooldown is lifted for one named host with a reason, which stands in the audit log; else it holds."""
    bench.trouble("alpha", "bravo")
    bench.remedy("apply", "--yes")
    bench.trouble("alpha", "bravo")
    words = ("apply", "--yes", "-r", "flag-high", "--override", "cooling_down")

    held = bench.remedy("apply", "--yes", "-o", "json")
    two = bench.remedy(*words, "-l", "alpha,bravo", "--reason", "disk swapped")
    unsaid = bench.remedy(*words, "-l", "alpha")
    lifted = bench.remedy(*words, "-l", "alpha", "--reason", "disk swapped", "-o", "json")

    assert {each["hold"] for each in held.json["plan"]["held"]} == {"cooling_down"}
    assert (two.code, unsaid.code, lifted.code) == (1, 1, 0)
    assert outcomes(lifted.json) == {"alpha": "fixed"}
    assert (bench.ran("alpha"), bench.ran("bravo")) == (2, 1)
    log = (bench.directory / "state" / "audit" / f"{lifted.json['run']}.jsonl").read_text()
    (record,) = [json.loads(line) for line in log.splitlines() if '"hold.overridden"' in line]
    assert (record["data"]["host"], record["data"]["reason"]) == ("alpha", "disk swapped")


# Safeguards


def test_freeze_starts_nothing_and_says_until_when(bench: Bench) -> None:
    """Inside a freeze nobody is contacted and the exit code is 5; a dry run shows the plan, and 5 as well."""
    now = datetime.now(UTC)
    write_settings(bench, freeze_text(now - timedelta(hours=1), now + timedelta(hours=5)))
    bench.trouble("alpha")

    applied = bench.remedy("apply", "--yes")
    planned = bench.remedy("apply", "--dry-run")

    assert (applied.code, planned.code) == (5, 5)
    assert "year end" in applied.err
    assert "alpha" in planned.out
    assert bench.ran_anywhere() == 0


def test_freeze_written_in_the_middle_ends_the_run(bench: Bench) -> None:
    """A freeze that is added to remedy.yaml while a fix runs lets that one end, and no other start."""
    now = datetime.now(UTC)
    write_settings(bench, "state: state\n")
    bench.write_rule(timeout="60s")
    bench.trouble(*NAMES[:3])
    for name in NAMES[:3]:
        bench.plant(name, fix=FIX_THAT_WAITS)

    process = bench.begin("apply", "--yes", "-o", "json")
    await_true(lambda: bench.ran_anywhere() == 1)
    write_settings(bench, "state: state\n" + freeze_text(now - timedelta(hours=1), now + timedelta(hours=5)))
    bench.let_go(*NAMES[:3])
    out, _ = process.communicate(timeout=60)

    assert process.returncode == 5
    assert sorted(outcomes(json.loads(out)).values()) == ["fixed", "halted", "halted"]
    assert bench.ran_anywhere() == 1


def test_budget_holds_over_processes(bench: Bench) -> None:
    """With a budget of two hosts a day, two runs together start on two hosts, and the message names the budget."""
    write_settings(bench, "budgets: {per_rule: 2/24h}\n")
    bench.trouble("alpha", "bravo", "charlie")

    first = bench.remedy("apply", "--yes", "-l", "alpha", "-o", "json")
    second = bench.remedy("apply", "--yes", "-o", "json")

    assert (first.code, second.code) == (0, 5)
    assert bench.ran_anywhere() == 2
    assert "budget" in outcomes(second.json).values()
    assert "2/24h" in second.out


def test_protected_host_is_touched_only_by_name_and_last(bench: Bench) -> None:
    """A protected host is held until it stands literally in --limit; then it is the last in the plan's order."""
    write_settings(bench, "protected: alpha\n")
    bench.trouble(*NAMES)

    unnamed = bench.remedy("apply", "--yes", "-o", "json")
    glob = bench.remedy("apply", "--dry-run", "-l", "alph*", "-o", "json")
    named = bench.remedy("apply", "--dry-run", "-l", "all,alpha", "-o", "json")
    fixed = bench.remedy("apply", "--yes", "-l", "alpha", "-o", "json")

    assert {each["host"]: each["hold"] for each in unnamed.json["plan"]["held"]} == {"alpha": "protected"}
    assert [each["hold"] for each in glob.json["plan"]["held"]] == ["protected"]
    assert named.json["plan"]["rules"][0]["order"][-1] == "alpha"
    assert outcomes(fixed.json) == {"alpha": "fixed"}


def test_window_that_is_closed_holds_the_rule(bench: Bench) -> None:
    """Outside the rule's change window its findings are held with the next opening; exit 0, nothing ran."""
    tomorrow = datetime.now(UTC) + timedelta(days=2)
    day = DAYS[tomorrow.weekday()]
    rule = bench.directory / "rules" / "flag-high" / "rule.yaml"
    window = f'change_windows: [{{days: [{day}], from: "01:00", to: "02:00", zone: UTC}}]\n'
    rule.write_text(rule.read_text() + window)
    bench.trouble("alpha")

    applied = bench.remedy("apply", "--yes", "-o", "json")

    assert applied.code == 0
    (held,) = applied.json["plan"]["held"]
    assert (held["hold"], held["until"]) == ("outside_window", f"{tomorrow:%Y-%m-%d}T01:00:00Z")
    assert bench.ran_anywhere() == 0


# Blast radius


def test_half_a_fleet_that_suddenly_matches_starts_nothing(bench: Bench) -> None:
    """More hosts than `matched` allows: nothing runs, exit 5, and the message says why and what would be needed."""
    bench.write_rule(matched="[2, 20%]")
    bench.trouble("alpha", "bravo", "charlie")

    blown = bench.remedy("apply", "--yes")
    shown = bench.remedy("apply", "--dry-run")
    accepted = bench.remedy("apply", "--yes", "-r", "flag-high", "--accept-matched", "3", "-o", "json")

    assert (blown.code, shown.code, accepted.code) == (5, 5, 0)
    for said in (blown.out, shown.out):
        assert "3 of 6 judged hosts match, more than matched [2, 20%] = 2" in said
        assert "-r flag-high --accept-matched 3" in said
    assert len(outcomes(accepted.json)) == bench.ran_anywhere() == 3


def test_soaking_run_does_not_block_a_targeted_fix(bench: Bench) -> None:
    """While a rollout soaks, one host it is not at work on is mended at once, by the same rule and by another."""
    rule = bench.directory / "rules" / "flag-high" / "rule.yaml"
    rule.write_text(rule.read_text().replace("soak: 0s", "soak: 60s"))
    other = bench.directory / "rules" / "flag-other"
    other.mkdir()
    for name in ("rule.yaml", "lower.sh"):
        (other / name).write_text((rule.parent / name).read_text().replace("rule: flag-high", "rule: flag-other"))
    bench.trouble("alpha", "bravo", "charlie", "delta")

    nightly = bench.begin("apply", "--yes", "-r", "flag-high", "-l", "alpha,bravo")
    try:
        await_true(lambda: bench.ran("alpha") + bench.ran("bravo") == 1)
        same = bench.remedy("apply", "--yes", "-r", "flag-high", "-l", "charlie", "-o", "json")
        another = bench.remedy("apply", "--yes", "-r", "flag-other", "-l", "delta", "-o", "json")
        is_soaking = nightly.poll() is None
    finally:
        stop_process(nightly)
        nightly.communicate()

    assert is_soaking
    assert outcomes(same.json) == {"charlie": "fixed"}
    assert outcomes(another.json) == {"delta": "fixed"}


def test_second_fix_on_one_host_says_who_holds_it(bench: Bench) -> None:
    """Two fixes on one host: the second says which run holds it, since when, and until when at the latest."""
    bench.write_rule(timeout="60s")
    bench.trouble("alpha")
    bench.plant("alpha", fix=FIX_THAT_WAITS)

    first = bench.begin("apply", "--yes", "-l", "alpha", "-o", "json")
    await_true(lambda: bench.ran("alpha") == 1)
    second = bench.remedy("apply", "--yes", "-l", "alpha", "-o", "json")
    bench.let_go("alpha")
    out, _ = first.communicate(timeout=60)

    assert outcomes(json.loads(out)) == {"alpha": "fixed"}
    assert outcomes(second.json) == {"alpha": "host_busy"}
    (reason,) = [each["reason"] for each in second.json["outcomes"]]
    run = json.loads(out)["run"]
    assert run in reason
    assert re.search(r"since 20\d\d-", reason)
    assert re.search(r"until 20\d\d-", reason)
