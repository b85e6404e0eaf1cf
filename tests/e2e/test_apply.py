"""The main job on real hosts: plan, fix, prove."""

import pytest

from tests.e2e.conftest import NAMES, Bench, outcomes

pytestmark = pytest.mark.sshd


def test_dry_run_changes_nothing_and_names_everything(bench: Bench) -> None:
    """A dry run leaves every file of the hosts and of the state alone, and names host, rule, row, script and wave."""
    bench.trouble("alpha", "bravo")
    look = ["find", "/", "-xdev", "(", "-path", "/proc", "-o", "-name", "sshd.log", ")", "-prune", "-o", "-printf"]
    before = {name: _listing(bench, name, look) for name in ("alpha", "bravo")}

    text = bench.remedy("apply", "--dry-run")
    plan = bench.remedy("apply", "--dry-run", "-o", "json").json["plan"]

    assert text.code == 0
    for word in ("alpha", "bravo", "flag-high", "level=9", "flag-high/lower.sh@", "above=5"):
        assert word in text.out
    (rule,) = plan["rules"]
    assert {(each["host"], each["row"]["level"]) for each in rule["executions"]} == {("alpha", 9), ("bravo", 9)}
    assert sorted(each["wave"] for each in rule["executions"]) == [1, 2]
    assert all(len(each["script_sha256"]) == 64 for each in rule["executions"])
    assert before == {name: _listing(bench, name, look) for name in ("alpha", "bravo")}
    assert not (bench.directory / "state").exists()


def _listing(bench: Bench, name: str, look: list[str]) -> str:
    everywhere = []
    for root in ("/run", "/run/remedy", "/tmp", "/var/tmp", "/var/cache", "/var/log", "/etc", "/srv", "/root"):
        done = bench.fleet.run_inside(name, [*look[:1], root, *look[2:], "%p %s %T@ %m\\n"])
        everywhere.append(done.stdout)
    assert all(everywhere)
    return "".join(everywhere)


def test_apply_fixes_and_a_second_one_finds_nothing(bench: Bench) -> None:
    """What matched is fixed, proved by a fresh reading, once; then there is nothing to do."""
    bench.trouble("alpha", "delta", "foxtrot")

    first = bench.remedy("apply", "--yes", "-o", "json")
    second = bench.remedy("apply", "--yes", "-o", "json")

    assert first.code == 0
    assert outcomes(first.json) == {"alpha": "fixed", "delta": "fixed", "foxtrot": "fixed"}
    assert [bench.ran(name) for name in NAMES] == [1, 0, 0, 1, 0, 1]
    assert second.code == 0
    assert second.json["outcomes"] == []
    assert bench.remedy("audit", "verify").code == 0


def test_apply_for_one_named_host_shows_plan_fix_and_proof(bench: Bench) -> None:
    """The command of a person on call shows the row, asks, fixes and proves; a healthy host shows its row too."""
    bench.trouble("charlie")

    fixed = bench.remedy("apply", "-r", "flag-high", "-l", "charlie", "--yes")
    healthy = bench.remedy("apply", "-r", "flag-high", "-l", "charlie", "--yes")

    assert fixed.code == 0
    assert "level=9" in fixed.out
    assert "level 9 -> 0" in fixed.out
    assert healthy.code == 0
    assert "healthy" in healthy.out
    assert "level=0" in healthy.out


def test_broken_collectors_are_unknown_and_the_others_go_on(bench: Bench) -> None:
    """A collector that fails, prints rubbish or hangs makes its host unknown: never fixed, exit 4."""
    bench.trouble(*NAMES)
    bench.plant("alpha", collector="exit 7\n")
    bench.plant("bravo", collector="echo rubbish; exit 0\n")
    bench.plant("charlie", collector="sleep 60\n")

    ran = bench.remedy("apply", "--yes", "-o", "json")

    assert ran.code == 4
    assert outcomes(ran.json) == {"delta": "fixed", "echo": "fixed", "foxtrot": "fixed"}
    assert ran.json["coverage"]["unknown"] == ["alpha", "bravo", "charlie"]
    assert [bench.ran(name) for name in NAMES] == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("command", [("scan",), ("apply", "--dry-run"), ("apply", "--yes")])
def test_fleet_of_failing_collectors_does_not_exit_0(bench: Bench, command: tuple[str, ...]) -> None:
    """Nothing seen is not nothing wrong."""
    for name in NAMES:
        bench.plant(name, collector="exit 1\n")

    ran = bench.remedy(*command)

    assert ran.code == 4
    assert "judged 0 of 6 hosts" in ran.out


def test_max_unseen_accepts_what_a_person_decided(bench: Bench) -> None:
    """--max-unseen says how many unseen hosts still count as complete; one more does not."""
    bench.plant("alpha", collector="exit 1\n")

    assert bench.remedy("scan", "--max-unseen", "1").code == 0
    assert bench.remedy("scan", "--max-unseen", "0").code == 4


def test_changed_host_key_is_loud_and_nothing_runs_there(bench: Bench) -> None:
    """A changed host key is exit 3; the host is refused and the others are fixed."""
    bench.trouble("alpha", "bravo")
    known = bench.fleet.known_hosts_path
    text = known.read_text()
    lines = text.splitlines()
    first, second = (line.split() for line in lines[:2])
    swapped = "\n".join([" ".join([first[0], *second[1:]]), *lines[1:]]) + "\n"
    known.write_text(swapped)
    try:
        ran = bench.remedy("apply", "--yes", "-o", "json")
    finally:
        known.write_text(text)

    assert ran.code == 3
    assert ran.json["coverage"]["refused"] == ["alpha"]
    assert bench.ran("alpha") == 0
    assert outcomes(ran.json) == {"bravo": "fixed"}


def test_unknown_host_key_prints_the_cure(bench: Bench) -> None:
    """A host that is not enrolled is refused with the ssh-keyscan line and the file; exit 4."""
    empty = bench.directory / "known_hosts"
    empty.write_text("")
    inventory = bench.directory / "inventory.yaml"
    inventory.write_text(inventory.read_text().replace(str(bench.fleet.known_hosts_path), str(empty)))

    ran = bench.remedy("scan", "-l", "alpha")

    assert ran.code == 4
    assert f"ssh-keyscan -p {bench.fleet.port} {bench.fleet.address('alpha')} >> {empty}" in ran.out


def test_more_matches_than_the_fuse_sends_nothing(bench: Bench) -> None:
    """Half a fleet suddenly matching is a broken sensor: exit 5, all are listed, nothing is sent."""
    bench.write_rule(matched="[2, 20%]")
    bench.trouble("alpha", "bravo", "charlie")

    dry = bench.remedy("apply", "--dry-run")
    ran = bench.remedy("apply", "--yes", "-o", "json")
    accepted = bench.remedy("apply", "--yes", "-r", "flag-high", "--accept-matched", "3", "-o", "json")

    assert dry.code == 5
    assert all(name in dry.out for name in ("alpha", "bravo", "charlie", "--accept-matched 3"))
    assert ran.code == 5
    assert outcomes(ran.json) == dict.fromkeys(("alpha", "bravo", "charlie"), "fuse")
    assert accepted.code == 0
    assert bench.ran_anywhere() == 3


def test_failing_fix_halts_the_rollout_and_opens_the_breaker(bench: Bench) -> None:
    """One bad host more than max_bad halts; the rule is paused until a person releases it."""
    bench.trouble(*NAMES)
    for name in NAMES:
        bench.plant(name, fix="echo no >&2; exit 9\n")

    first = bench.remedy("apply", "--yes", "-o", "json")
    second = bench.remedy("apply", "--yes", "-o", "json")
    released = bench.remedy("release", "flag-high", "--reason", "a test")

    assert first.code == 5
    assert sorted(outcomes(first.json).values()) == ["failed", *["halted"] * 5]
    assert first.json["worst"] == "failed"
    assert second.json["worst"] is None
    assert bench.ran_anywhere() == 1
    assert second.code == 5
    assert second.json["outcomes"] == []
    assert {held["hold"] for held in second.json["plan"]["held"]} == {"paused"}
    assert "remedy release flag-high --reason TEXT" in second.json["plan"]["held"][0]["lifted_by"]
    assert released.code == 0


def test_fix_that_does_not_help_is_not_fixed(bench: Bench) -> None:
    """A fix that ends well and mends nothing is bad: verification decides."""
    bench.write_rule(within="1s")
    bench.trouble("echo")
    bench.plant("echo", fix="exit 0\n")

    ran = bench.remedy("apply", "--yes", "-o", "json")

    assert outcomes(ran.json) == {"echo": "not_fixed"}
    assert ran.code in (3, 5)


def test_fix_that_breaks_the_sensor_is_unverified(bench: Bench) -> None:
    """When no fresh row can be had after the fix, it is not called fixed."""
    bench.write_rule(within="1s")
    bench.trouble("echo")
    bench.plant("echo", fix="echo 'exit 1' > /run/collector\n")

    ran = bench.remedy("apply", "--yes", "-o", "json")

    assert outcomes(ran.json) == {"echo": "unverified"}


def test_fix_over_its_deadline_is_ended_on_the_host(bench: Bench) -> None:
    """The host ends a fix at its deadline; that is a failure, and it is said."""
    bench.write_rule(timeout="1s")
    bench.trouble("echo")
    bench.plant("echo", fix="sleep 300\n")

    ran = bench.remedy("apply", "--yes", "-o", "json")

    assert outcomes(ran.json) == {"echo": "failed"}
    assert "sleep 300" not in bench.fleet.run_inside("echo", ["ps", "-eo", "args"]).stdout


@pytest.mark.slow
def test_attempts_are_used_up_across_runs_until_released(bench: Bench) -> None:
    """Attempts count over runs; used up, the incident is quarantined until a person releases it."""
    bench.write_rule(cooldown="0s", attempts="2", max_bad="6", within="1s")
    bench.plant("bravo", fix="exit 0\n")
    bench.trouble("bravo")
    codes = [bench.remedy("apply", "--yes").code for _ in range(3)]

    held = bench.remedy("apply", "--dry-run", "-l", "bravo")
    wrong = bench.remedy("release", "flag-high", "-l", "alpha", "--reason", "nothing there")
    released = bench.remedy("release", "flag-high", "-l", "bravo", "--reason", "a test")
    again = bench.remedy("apply", "--yes")

    assert codes == [3, 3, 5]
    assert held.code == 5
    assert "quarantined" in held.out
    assert "remedy release flag-high -l bravo --reason TEXT" in held.out
    assert wrong.code == 6
    assert released.code == 0
    assert again.code == 3
    assert bench.ran("bravo") == 3


def test_cooldown_holds_across_runs(bench: Bench) -> None:
    """An incident that comes back within the cooldown is held, with until when; after a good outcome that is exit 0."""
    bench.trouble("bravo")
    assert bench.remedy("apply", "--yes").code == 0
    bench.trouble("bravo")

    ran = bench.remedy("apply", "--yes")

    assert ran.code == 0
    assert "cooling_down" in ran.out
    assert "until 20" in ran.out
    assert bench.ran("bravo") == 1


def test_hold_file_on_a_host_is_obeyed(bench: Bench) -> None:
    """A host with /etc/remedy/hold gets no fix; that is a person's decision."""
    bench.trouble("alpha")
    bench.fleet.run_inside("alpha", ["sh", "-c", "echo 'do not touch: forensics' > /etc/remedy/hold"])

    ran = bench.remedy("apply", "--yes", "-o", "json")

    assert outcomes(ran.json) == {"alpha": "host_hold"}
    assert "forensics" in ran.json["outcomes"][0]["reason"]
    assert bench.ran("alpha") == 0
    assert ran.code == 0


def test_readings_file_judges_without_contact(bench: Bench) -> None:
    """Saved readings give the same findings as the fleet did, as of then, with every host down or away."""
    bench.trouble("alpha")
    saved = bench.remedy("scan", "--save", "readings.jsonl")
    live = bench.remedy("apply", "--dry-run", "-o", "json").json
    inventory = bench.directory / "inventory.yaml"
    inventory.write_text(inventory.read_text().replace(str(bench.fleet.port), "1"))

    ran = bench.remedy("apply", "--dry-run", "--readings", "readings.jsonl", "-o", "json")
    text = bench.remedy("apply", "--dry-run", "--readings", "readings.jsonl", "--detailed-exitcode")

    assert saved.code == 0
    assert ran.code == 0
    found = [
        [(each["host"], each["row"]) for each in doc["plan"]["rules"][0]["executions"]] for doc in (live, ran.json)
    ]
    assert found[0] == found[1]
    assert text.code == 2
    assert "as of 20" in text.out


def test_observe_only_is_not_pending(bench: Bench) -> None:
    """A rule that only observes shows what it finds; nothing is pending and nothing is wrong."""
    bench.write_rule(mode="observe")
    bench.trouble("alpha")

    ran = bench.remedy("apply", "--dry-run", "--detailed-exitcode")

    assert ran.code == 0
    assert "observe_only" in ran.out
