"""The breakers of a dead run: too many bad hosts in it pause their rule when it is resumed."""

import pytest

from tests.run.bench import Bench, SlowedLedger
from tests.run.dead_runs import NAMES, OWN, breakers_of, resume, with_two_lost
from tests.run.fleet import NOW, trouble


@pytest.mark.parametrize(
    ("max_bad", "said"), [(0, "max_bad 0"), (1, "max_bad 1"), (2, ""), (3, ""), (None, "its own is not known")]
)
def test_too_many_bad_hosts_of_a_dead_run_open_the_breaker(tmp_path, max_bad, said):
    """More bad hosts than the run's max_bad pause the rule, audited, with what ends it; not known, it is 0."""
    bench = Bench(tmp_path / "state", trouble(*NAMES))
    with_two_lost(bench, max_bad=max_bad)

    resumed, _, _, _ = resume(bench)
    bench.run_id = OWN
    recorded = bench.recorded("breaker.opened")

    if not said:
        assert (resumed.paused, breakers_of(bench), recorded) == ((), {}, [])
        return
    assert "2 bad hosts" in breakers_of(bench)["flag-high"]
    assert said in recorded[0]["reason"]
    assert "remedy release flag-high --reason TEXT" in resumed.paused[0]
    assert said in resumed.paused[0]


def test_max_bad_of_an_altered_file_is_not_believed(tmp_path):
    """When its chain is broken a dead run's file says no max_bad, and any bad host opens the breaker."""
    bench = Bench(tmp_path / "state", trouble(*NAMES))
    with_two_lost(bench, max_bad=7)
    path = bench.state.audit / f"{bench.run_id}.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"max_bad":7', b'"max_bad":9', 1))

    resumed, _, _, _ = resume(bench)

    assert "its own is not known" in resumed.paused[0]
    assert "flag-high" in breakers_of(bench)


def test_breaker_that_is_open_already_is_left_as_it_is(tmp_path):
    """Nothing is recorded of a rule that is paused by its breaker already."""
    bench = Bench(tmp_path / "state", trouble(*NAMES))
    with_two_lost(bench, max_bad=0)
    ledger = SlowedLedger.open(bench.state.ledger)
    ledger.open_breaker("flag-high", bench.run_id, NOW, "an earlier reason")
    ledger.close()

    resumed, _, _, _ = resume(bench)

    assert resumed.paused == ()
    assert "an earlier reason" in breakers_of(bench)["flag-high"]
