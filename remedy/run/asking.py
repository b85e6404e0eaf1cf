"""
Asking hosts what became of executions whose end nobody saw; changes nothing on any of them.

A marker lies where the fix ran: root's in one place, the login's in another. Which
of the two is known from the run's audit file, or because the login is root;
otherwise both are looked at, and that neither has it proves nothing.

A name may lead to another machine by now. A host that leads elsewhere than when the
execution was started is not asked about it. Where that is not known, only what the
execution itself left there, or the boot id of its intent, says that it is the same.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from remedy.errors import Refused, StateError, Unreachable
from remedy.model import Host
from remedy.port import Marker, MarkersRead, MarkerState, Runner, Session
from remedy.reconciling import Reconciled, Reconciliation, reconciled
from remedy.run.collect import CONNECTIONS_MAX, Runners, runner_of, target_of
from remedy.run.crew import Crew, Crews, ThreadCrew
from remedy.run.recorded_ends import doubt_of_log
from remedy.state.audit_format import AuditType, records_of
from remedy.state.ledger_rows import ExecutionRow
from remedy.summary import HostEnding
from remedy.text import untrusted

__all__ = ["HostAnswer", "HostQuestion", "Start", "Unseen", "ask_hosts", "recorded_starts"]

_TICK_S = 0.2
_ABSENT = Marker(state=MarkerState.ABSENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What the audit log says of the start of an execution; None is "not known", and '' for where the host led."""

    boot_id: str | None = None
    become_root: bool | None = None
    endpoint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """An execution whose end was not seen: its row in the ledger, when and how it was started."""

    row: ExecutionRow
    at: datetime
    start: Start


@dataclass(frozen=True, slots=True, kw_only=True)
class HostQuestion:
    """A host, as the inventory has it now, and the executions that it is asked about."""

    host: Host
    unseen: tuple[Unseen, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostAnswer:
    """
    How asking a host ended, as at collection, and what was found out of each execution.

    `endpoint` is where it leads now; `found` is empty unless it answered, or leads
    elsewhere than before: it is not asked then, and nothing is known.
    """

    host: str
    ending: HostEnding
    reason: str = ""
    identity: bool = False
    endpoint: str = ""
    found: Mapping[str, Reconciliation] = field(default_factory=dict)


def recorded_starts(directory: Path, run_id: str) -> tuple[Mapping[str, Start], str]:
    """
    Return what a run's audit file says of each start, and why it is not believed ('' when it is).

    A file that is missing, cannot be read, or has a broken chain, says nothing.
    """
    starts: dict[str, Start] = {}
    try:
        odd = doubt_of_log(directory, run_id)
        if odd:
            return {}, untrusted(odd)
        with (directory / f"{run_id}.jsonl").open("rb") as file:
            for record in records_of(file):
                if record["type"] == AuditType.EXECUTION_INTENT:
                    starts[str(record["data"]["execution"])] = _start(record["data"])
    except (StateError, OSError, ValueError, KeyError, TypeError) as exc:
        return {}, untrusted(str(exc))
    return starts, ""


def _start(data: Mapping[str, Any]) -> Start:
    boot_id, become_root, endpoint = data["boot_id"], data.get("become_root"), data.get("endpoint")
    return Start(
        boot_id=boot_id if isinstance(boot_id, str) else None,
        become_root=become_root if isinstance(become_root, bool) else None,
        endpoint=endpoint if isinstance(endpoint, str) else "",
    )


def ask_hosts(
    questions: Sequence[HostQuestion],
    runners: Runners,
    *,
    clock: Callable[[], datetime],
    on_answer: Callable[[HostAnswer], None],
    asked_to_stop: Callable[[], bool],
    crews: Crews = ThreadCrew,
) -> tuple[HostAnswer, ...]:
    """
    Ask every host, several at once; `on_answer` hears of each as it answers, in the caller's thread.

    When `asked_to_stop` says so, hosts that were not begun yet are left out.
    """
    answers: list[HostAnswer] = []
    crew: Crew[HostAnswer] = crews(min(CONNECTIONS_MAX, max(1, len(questions))))
    with crew:
        try:
            for question in questions:
                crew.begin(question.host.name, partial(_tell, crew, question, runners, clock))
            left = len(questions)
            while left:
                answer = crew.take(_TICK_S)
                if answer is not None:
                    left -= 1
                    answers.append(answer)
                    on_answer(answer)
                if asked_to_stop():
                    left -= len(crew.drop())
        finally:
            crew.drop()
    return tuple(sorted(answers, key=lambda answer: answer.host))


def _tell(crew: Crew[HostAnswer], question: HostQuestion, runners: Runners, clock: Callable[[], datetime]) -> None:
    crew.put(_asked(question, runners, clock))


def _asked(question: HostQuestion, runners: Runners, clock: Callable[[], datetime]) -> HostAnswer:
    """Ask one host; every way it can end is a value."""
    host = question.host
    try:
        runner = runner_of(runners, host)
        endpoint = str(runner.endpoint(target_of(host)))
        here = tuple(each for each in question.unseen if each.start.endpoint in ("", endpoint))
        looks = _asked_there(runner, host, here, clock) if here else None
    except Refused as exc:
        reason = untrusted(str(exc))
        return HostAnswer(host=host.name, ending=HostEnding.REFUSED, reason=reason, identity=exc.identity)
    except Unreachable as exc:
        return HostAnswer(host=host.name, ending=HostEnding.UNREACHABLE, reason=untrusted(str(exc)))
    found = {each.row.execution_id: _led_elsewhere(each, endpoint) for each in question.unseen}
    if looks is not None:
        found |= {each.row.execution_id: _conclusion(each, looks, endpoint) for each in here}
    return HostAnswer(host=host.name, ending=HostEnding.COLLECTED, endpoint=endpoint, found=found)


def _asked_there(runner: Runner, host: Host, unseen: Sequence[Unseen], clock: Callable[[], datetime]) -> "_Looks":
    session = runner.connect(target_of(host))
    try:
        return _looks(session, unseen, clock)
    finally:
        session.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What a host said in one place, and the times just before it was asked and after it answered."""

    read: MarkersRead
    before: datetime
    after: datetime

    def conclude(self, unseen: Unseen) -> Reconciliation:
        """
        Return what follows for an execution.

        Its age is somewhere between the two times; what holds for one of them only is not proved.
        """
        marker = self.read.markers.get(unseen.row.execution_id, Marker(state=MarkerState.ODD))
        boot_id = unseen.start.boot_id
        ages_s = ((at - unseen.at).total_seconds() for at in (self.before, self.after))
        young, old = (
            reconciled(intent_boot_id=boot_id, read=self.read, marker=marker, age_s=age_s) for age_s in ages_s
        )
        return old if not old.proves_end else young

    def has(self, unseen: Unseen) -> bool:
        """Say whether there is anything of an execution in this place."""
        return self.read.markers.get(unseen.row.execution_id, _ABSENT).state is not MarkerState.ABSENT


@dataclass(frozen=True, slots=True, kw_only=True)
class _Looks:
    """What the login sees, and what root sees; None when the login cannot become root, or is root itself."""

    login: _Look
    root: _Look | None
    no_root: str = ""


def _looks(session: Session, unseen: Sequence[Unseen], clock: Callable[[], datetime]) -> _Looks:
    ids = [each.row.execution_id for each in unseen]
    login = _look(session, ids, clock, become_root=False)
    elsewhere = [each for each in unseen if each.start.become_root is not False and not login.has(each)]
    if login.read.as_root or not elsewhere:
        return _Looks(login=login, root=None)
    try:
        return _Looks(login=login, root=_look(session, ids, clock, become_root=True))
    except Refused as exc:
        return _Looks(login=login, root=None, no_root=untrusted(str(exc)))


def _look(session: Session, ids: Sequence[str], clock: Callable[[], datetime], *, become_root: bool) -> _Look:
    before = clock()
    read = session.read_markers(ids, become_root=become_root)
    return _Look(read=read, before=before, after=clock())


def _conclusion(unseen: Unseen, looks: _Looks, endpoint: str) -> Reconciliation:
    """Return what became of an execution, by what its host showed in each place."""
    root = looks.root
    if looks.login.has(unseen) and root is not None and root.has(unseen):
        return _unknown("it has a marker of root and one of the login, and only one of them can be its own")
    if root is not None and root.has(unseen):
        return root.conclude(unseen)
    if looks.login.has(unseen) or looks.login.read.as_root:
        concluded = looks.login.conclude(unseen)
    elif root is not None and unseen.start.become_root is True:
        concluded = root.conclude(unseen)
    else:
        # Of the login's place an absence proves no more than that it may have run.
        concluded = looks.login.conclude(unseen)
        if looks.no_root and not concluded.proves_end:
            return _unknown(f"{concluded.reason}; and root's markers cannot be read: {looks.no_root}")
    has_marker = looks.login.has(unseen) or (root is not None and root.has(unseen))
    if concluded.found is Reconciled.REBOOTED and not has_marker and not unseen.start.endpoint:
        # The machine that it runs on may be another one, which nobody started anew.
        return _unknown(
            f"it has no marker at {endpoint}, and another boot id than when it was started; where its host led then "
            "is not recorded, so that may be another machine"
        )
    return concluded


def _led_elsewhere(unseen: Unseen, endpoint: str) -> Reconciliation:
    was = untrusted(unseen.start.endpoint)
    return _unknown(f"its host leads to {endpoint} now, and led to {was} when it was started; nobody was asked there")


def _unknown(reason: str) -> Reconciliation:
    return Reconciliation(found=Reconciled.UNKNOWN, exit_code=None, reason=reason)
