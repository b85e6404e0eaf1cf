"""Asking hosts what became of executions: where markers are looked for, and what their absence proves."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from remedy.errors import Refused, Unreachable
from remedy.model import Host, Transport
from remedy.port import Endpoint, Marker, MarkersRead, MarkerState
from remedy.reconciling import Reconciled
from remedy.run.asking import HostAnswer, HostQuestion, Start, Unseen, ask_hosts, recorded_starts
from remedy.state.ledger_rows import ExecutionRow
from remedy.summary import HostEnding
from tests.run.bench import Bench
from tests.run.fleet import NOW, trouble
from tests.run.rules import ROOT, rule

ABSENT = Marker(state=MarkerState.ABSENT)
FINISHED = Marker(state=MarkerState.ENDED, boot_id="boot-1", exit_code=0, over=False)
HOUR = timedelta(hours=1)
HERE = "ops@10.0.0.1:22"


@dataclass
class Markers:
    """One host's markers, of the login and of root; what is a BaseException is raised instead."""

    login: Marker | BaseException = ABSENT
    root: Marker | BaseException = ABSENT
    login_is_root: bool = False
    boot_id: str | None = "boot-1"
    up_s: int | None = 1_000_000
    connect: BaseException | None = None
    address: str = "10.0.0.1"
    asked: list[bool] = field(default_factory=list)
    opened: int = 0
    closed: int = 0
    after: timedelta = timedelta(0)


class _Runner:
    """A runner over hosts with markers; its clock moves when one is read."""

    warnings = ()

    def __init__(self, hosts):
        self.hosts = hosts
        self.now = NOW + HOUR

    def clock(self) -> datetime:
        return self.now

    def endpoint(self, target):
        return Endpoint(address=self.hosts[target.name].address, port=22, user="ops")

    def connect(self, target):
        host = self.hosts[target.name]
        if host.connect is not None:
            raise host.connect
        host.opened += 1
        return _Session(self, host)


class _Session:
    def __init__(self, runner, host):
        self._runner = runner
        self._host = host

    def read_markers(self, execution_ids, *, become_root):
        host = self._host
        host.asked.append(become_root)
        self._runner.now += host.after
        found = host.root if become_root or host.login_is_root else host.login
        if isinstance(found, BaseException):
            raise found
        return MarkersRead(
            boot_id=host.boot_id,
            as_root=become_root or host.login_is_root,
            up_s=host.up_s,
            markers=dict.fromkeys(execution_ids, found),
        )

    def close(self):
        self._host.closed += 1


def unseen(*, boot_id="boot-1", become_root=None, endpoint="", at=NOW, host="web-1"):
    """Return an execution that was started at a time."""
    row = ExecutionRow(
        execution_id=f"x-{host}",
        rule="low-disk",
        host=host,
        key=ROOT,
        started_at=at,
        ending=None,
        exit_code=None,
        outcome_at=NOW,
        outcome=None,
        reason="",
    )
    return Unseen(row=row, at=at, start=Start(boot_id=boot_id, become_root=become_root, endpoint=endpoint))


def ask(markers, of=None, *, stop=False):
    """Ask one host, and return its answer."""
    answers = ask_all({"web-1": markers}, [of or unseen()], stop=stop)
    return answers[0]


def ask_all(hosts, of, *, stop=False):
    """Ask several hosts."""
    runner = _Runner(hosts)
    questions = [HostQuestion(host=Host(name=each.row.host), unseen=(each,)) for each in of]
    heard: list[HostAnswer] = []
    answers = ask_hosts(
        questions,
        {Transport.SSH: runner},
        clock=runner.clock,
        on_answer=heard.append,
        asked_to_stop=lambda: stop,
    )
    assert sorted(each.host for each in heard) == [each.host for each in answers]
    assert all(host.closed == host.opened for host in hosts.values())
    return answers


def found(markers, of=None):
    """Return what was found out of the one execution."""
    of = of or unseen()
    return ask(markers, of).found[of.row.execution_id]


def test_marker_of_the_login_is_enough():
    """When the login has the marker, root is not asked: no sudo for nothing."""
    markers = Markers(login=FINISHED, root=RuntimeError("never asked"))

    assert found(markers).found is Reconciled.FINISHED
    assert found(markers).exit_code == 0
    assert set(markers.asked) == {False}


def test_marker_of_root_is_found_by_a_plain_login():
    """When only root has it, that is the execution's: its id is nobody else's."""
    assert found(Markers(root=FINISHED)).found is Reconciled.FINISHED


def test_fix_that_ran_as_the_login_is_not_looked_for_as_root():
    """When the audit log says that it ran as the login, nobody becomes root."""
    markers = Markers(root=FINISHED)

    assert found(markers, unseen(become_root=False)).found is Reconciled.UNKNOWN
    assert markers.asked == [False]


@pytest.mark.parametrize(
    ("login_is_root", "become_root", "what"),
    [
        (True, None, Reconciled.NEVER_STARTED),
        (True, True, Reconciled.NEVER_STARTED),
        (True, False, Reconciled.NEVER_STARTED),
        (False, True, Reconciled.NEVER_STARTED),
        (False, None, Reconciled.UNKNOWN),
        (False, False, Reconciled.UNKNOWN),
    ],
)
def test_absence_proves_something_only_where_the_marker_would_have_to_be(login_is_root, become_root, what):
    """No marker in both places: never started if it must have been root's; else its user's may have gone at logout."""
    assert found(Markers(login_is_root=login_is_root), unseen(become_root=become_root)).found is what


def test_markers_in_both_places_prove_nothing():
    """An id of which root and the login both have a marker is odd: one of the two is not the fix's."""
    both = Markers(login=FINISHED, root=FINISHED)
    other = unseen(host="web-1")
    elsewhere = Unseen(
        row=ExecutionRow(**{name: getattr(other.row, name) for name in ExecutionRow.__slots__} | {"execution_id": "y"}),
        at=NOW,
        start=other.start,
    )
    runner = _Runner({"web-1": both})
    both_read = _Session.read_markers

    def only_one(self, execution_ids, *, become_root):
        read = both_read(self, execution_ids, become_root=become_root)
        markers = {**read.markers, **({} if become_root else {"y": ABSENT})}
        return MarkersRead(boot_id=read.boot_id, as_root=read.as_root, up_s=read.up_s, markers=markers)

    session = type("Session", (_Session,), {"read_markers": only_one})
    runner.connect = lambda target: session(runner, both)
    (answer,) = ask_hosts(
        [HostQuestion(host=Host(name="web-1"), unseen=(other, elsewhere))],
        {Transport.SSH: runner},
        clock=runner.clock,
        on_answer=lambda _answer: None,
        asked_to_stop=lambda: False,
    )

    assert answer.found["x-web-1"].found is Reconciled.UNKNOWN
    assert answer.found["y"].found is Reconciled.FINISHED


def test_login_that_cannot_become_root_leaves_it_unknown():
    """When sudo says no and the login has no marker, the message says so; a marker of the login is still believed."""
    no_sudo = Refused("sudo: a password is required")

    told = found(Markers(root=no_sudo))

    assert told.found is Reconciled.UNKNOWN
    assert "sudo: a password is required" in told.reason
    assert found(Markers(root=no_sudo, login=FINISHED)).found is Reconciled.FINISHED


def test_host_that_was_started_anew_is_told_without_root():
    """Another boot id than that of the intent proves that it does not run, also where sudo says no."""
    markers = Markers(root=Refused("sudo says no"), boot_id="boot-2")

    assert found(markers, unseen(endpoint=HERE)).found is Reconciled.REBOOTED


@pytest.mark.parametrize("become_root", [None, True, False])
@pytest.mark.parametrize(
    "markers",
    [
        {"boot_id": "boot-2"},
        {"boot_id": "boot-2", "login_is_root": True},
        {"boot_id": "boot-2", "root": Refused("sudo says no")},
    ],
)
def test_another_boot_id_proves_nothing_where_the_endpoint_is_not_known(markers, become_root):
    """A name that was given to a new machine has another boot id, too, and the old one may still be running the fix."""
    not_known = found(Markers(**markers), unseen(become_root=become_root))
    known = found(Markers(**markers), unseen(become_root=become_root, endpoint=HERE))

    assert not_known.found is Reconciled.UNKNOWN
    assert "may be another machine" in not_known.reason
    assert known.found is Reconciled.REBOOTED


def test_marker_of_before_the_reboot_proves_it_wherever_the_host_led():
    """An execution that left its marker ran on that very machine: what is said of its reboot is proved."""
    started = Marker(state=MarkerState.STARTED, boot_id="boot-1")

    assert found(Markers(login=started, boot_id="boot-2")).found is Reconciled.REBOOTED
    assert found(Markers(root=started, boot_id="boot-2")).found is Reconciled.REBOOTED


@pytest.mark.parametrize(
    "markers", [Markers(login_is_root=True), Markers(login_is_root=True, boot_id="boot-2"), Markers(login=FINISHED)]
)
def test_host_that_leads_elsewhere_now_is_not_asked(markers):
    """A host that leads elsewhere than when the execution was started is not contacted: unknown, with both places."""
    answer = ask(markers, unseen(endpoint="ops@10.0.0.9:22"))

    (moved,) = answer.found.values()
    assert moved.found is Reconciled.UNKNOWN
    assert "ops@10.0.0.9:22" in moved.reason
    assert HERE in moved.reason
    assert (markers.opened, markers.asked) == (0, [])
    assert found(markers, unseen(endpoint=HERE)).proves_end


def test_host_is_asked_only_about_what_was_started_where_it_leads_now():
    """Of two executions the one that was started elsewhere is unknown, and the other one is found out."""
    markers = Markers(login=FINISHED)
    runner = _Runner({"web-1": markers})
    here, there = unseen(endpoint=HERE), unseen(endpoint="ops@10.0.0.9:22")
    there = replace(there, row=replace(there.row, execution_id="y"))

    (answer,) = ask_hosts(
        [HostQuestion(host=Host(name="web-1"), unseen=(here, there))],
        {Transport.SSH: runner},
        clock=runner.clock,
        on_answer=lambda _answer: None,
        asked_to_stop=lambda: False,
    )

    assert {name: each.found for name, each in answer.found.items()} == {
        "x-web-1": Reconciled.FINISHED,
        "y": Reconciled.UNKNOWN,
    }
    assert answer.endpoint == HERE


def test_execution_on_its_way_while_the_host_is_read_is_unknown():
    """What was 29 s old when the host was asked may still have come, though it is 40 s old when the answer is here."""
    slow = Markers(login_is_root=True, after=timedelta(seconds=11))

    assert found(slow, unseen(at=NOW + HOUR - timedelta(seconds=29))).found is Reconciled.UNKNOWN
    assert found(slow, unseen(at=NOW + HOUR - timedelta(seconds=30))).found is Reconciled.NEVER_STARTED


def test_container_started_while_it_was_on_its_way_is_unknown():
    """The time the host is up is compared with the age after the answer: a younger system proves nothing."""
    slow = Markers(login_is_root=True, after=timedelta(seconds=5), up_s=102)

    assert found(slow, unseen(at=NOW + HOUR - timedelta(seconds=100))).found is Reconciled.UNKNOWN


def test_hosts_that_cannot_be_asked_do_not_hinder_the_others():
    """Each host ends by itself: unreachable, refused (a changed key is said), or with its answer."""
    hosts = {
        "web-1": Markers(connect=Unreachable("no route")),
        "web-2": Markers(connect=Refused("the key has changed", identity=True)),
        "web-3": Markers(login=Refused("no timeout here")),
        "web-4": Markers(login=FINISHED),
    }

    answers = ask_all(hosts, [unseen(host=name) for name in hosts])

    assert [(each.ending, each.identity) for each in answers] == [
        (HostEnding.UNREACHABLE, False),
        (HostEnding.REFUSED, True),
        (HostEnding.REFUSED, False),
        (HostEnding.COLLECTED, False),
    ]
    assert [len(each.found) for each in answers] == [0, 0, 0, 1]


def test_transport_without_a_runner_is_refused():
    """A host whose transport this version does not speak is refused, and nothing is concluded."""
    (answer,) = ask_hosts(
        [HostQuestion(host=Host(name="web-1", transport=Transport.WINRM), unseen=(unseen(),))],
        {},
        clock=lambda: NOW,
        on_answer=lambda _answer: None,
        asked_to_stop=lambda: False,
    )

    assert answer.ending is HostEnding.REFUSED
    assert "winrm" in answer.reason


def test_bug_of_ours_is_not_swallowed():
    """What is neither Unreachable nor Refused surfaces, and the session is closed."""
    markers = Markers(login=KeyError("a bug"))

    with pytest.raises(KeyError):
        ask(markers)

    assert markers.closed == 1


def test_starts_are_what_the_audit_file_says_of_intents(tmp_path):
    """The boot id of each intent is read from the run's audit file; from a file with a broken chain nothing is."""
    bench = Bench(tmp_path / "state", trouble("web-1", "web-2"))
    applied = bench.apply(bench.scope(rule()))
    bench.ledger.close()
    path = bench.state.audit / f"{bench.run_id}.jsonl"

    starts, odd = recorded_starts(bench.state.audit, bench.run_id)
    path.write_bytes(path.read_bytes().replace(b'"boot-1"', b'"boot-2"', 1))
    none, why = recorded_starts(bench.state.audit, bench.run_id)

    assert odd == ""
    assert {execution_id: start.boot_id for execution_id, start in starts.items()} == {
        end.execution.id: "boot-1" for end in applied.ends
    }
    assert none == {}
    assert bench.run_id in why


def test_starts_of_a_run_without_a_file_are_not_known(tmp_path):
    """A missing audit file is said, and says nothing."""
    assert recorded_starts(tmp_path, "20261122T084500Z-1a2b")[0] == {}
    assert "is missing" in recorded_starts(tmp_path, "20261122T084500Z-1a2b")[1]
