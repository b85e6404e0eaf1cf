"""Group commit: one transaction and one sync for what threads ask for at once; nobody waits for company."""

import threading
import time

import pytest

from remedy.errors import StateError
from remedy.run import grouping
from remedy.run.grouping import GROUP_MEMBERS_MAX, GroupCommit

THREADS = 64


class Work:
    """What is done for groups: it remembers them, and can be held up."""

    def __init__(self, *, fail_at=0, error=None):
        self.groups = []
        self.entered = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        self.fail_at = fail_at
        self.error = error

    def __call__(self, group):
        self.groups.append(list(group))
        number = len(self.groups)
        self.entered.set()
        assert self.go_on.wait(20)
        if number == self.fail_at:
            raise self.error
        return [f"done {each}" for each in group]


def ask_from_threads(commit, wishes, found=None):
    """Ask from a thread each, all at once; return by wish what came of it, in the order of their ends."""
    found = {} if found is None else found

    def ask(wish):
        try:
            found[wish] = commit.ask(wish)
        except BaseException as exc:  # noqa: BLE001 - what is raised is what is looked at.
            found[wish] = exc

    threads = [threading.Thread(target=ask, args=(wish,), daemon=True) for wish in wishes]
    for thread in threads:
        thread.start()
    return threads, found


def wait_for(what):
    deadline = time.monotonic() + 20
    while not what():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.001)


def held_up(work, commit, wishes):
    """Hold the first group up until all the others wait, then let go; return what came of all."""
    work.go_on.clear()
    first, of_first = ask_from_threads(commit, ["first"])
    assert work.entered.wait(20)
    others, of_others = [], {}
    for number, wish in enumerate(wishes, start=1):
        threads, found = ask_from_threads(commit, [wish])
        others += threads
        of_others[wish] = found
        wait_for(lambda number=number: len(commit._waiting) == number)
    work.go_on.set()
    for thread in (*first, *others):
        thread.join(20)
        assert not thread.is_alive()
    return {**of_first, **{wish: found[wish] for wish, found in of_others.items()}}


def test_single_asker_is_a_group_of_one_and_waits_for_nobody():
    """In one thread every group has one member, done in the asker's own call."""
    threads = []
    commit = GroupCommit(lambda group: [threads.append(threading.get_ident()) or each for each in group])

    assert [commit.ask(number) for number in range(5)] == list(range(5))
    assert threads == [threading.get_ident()] * 5


def test_who_waits_is_done_together_in_the_order_of_asking():
    """Those who came while one was at work are one group, the first to come first, at most 64 in one."""
    work = Work()
    wishes = [f"w{number}" for number in range(GROUP_MEMBERS_MAX + 6)]
    found = held_up(work, GroupCommit(work), wishes)

    assert work.groups == [["first"], wishes[:GROUP_MEMBERS_MAX], wishes[GROUP_MEMBERS_MAX:]]
    assert found == {wish: f"done {wish}" for wish in ("first", *wishes)}


def test_error_of_a_group_reaches_every_member_and_nobody_else():
    """What the work raises, all of its group hear, in the same words; the groups before and after do not."""
    work = Work(fail_at=2, error=StateError("the disk said no"))
    wishes = [f"w{number}" for number in range(GROUP_MEMBERS_MAX + 6)]
    found = held_up(work, GroupCommit(work), wishes)

    heard = {wish for wish, answer in found.items() if isinstance(answer, StateError)}
    assert heard == set(wishes[:GROUP_MEMBERS_MAX])
    assert {str(found[wish]) for wish in heard} == {"the disk said no"}
    assert len({id(found[wish]) for wish in heard}) == GROUP_MEMBERS_MAX


def test_bug_in_the_work_reaches_every_member():
    """An error of ours is no silence for those who wait."""
    work = Work(fail_at=2, error=KeyError("a bug"))
    found = held_up(work, GroupCommit(work), ["a", "b"])

    assert [type(found[wish]) for wish in ("first", "a", "b")] == [str, KeyError, KeyError]


def test_leader_that_is_interrupted_leaves_nobody_waiting():
    """Ctrl-C in the thread that leads: it hears that itself, the others that nobody knows, and work goes on."""
    work = Work(fail_at=2, error=KeyboardInterrupt())
    commit = GroupCommit(work)
    found = held_up(work, commit, ["a", "b", "c"])

    assert sorted(type(found[wish]).__name__ for wish in "abc") == ["KeyboardInterrupt", "StateError", "StateError"]
    assert commit.ask("later") == "done later"
    assert work.groups[-1] == ["later"]


class Interrupted(threading.Event):
    """An event whose waiter is stopped by Ctrl-C at the very moment when it is set."""

    def wait(self, timeout=None):
        super().wait(timeout)
        raise KeyboardInterrupt


@pytest.mark.parametrize("stopped", ["a", "b", "c"])
def test_follower_that_is_interrupted_leaves_nobody_waiting(monkeypatch, stopped):
    """Ctrl-C in a thread that waits, also when it was just called to lead: all others are done, and work goes on."""
    real = grouping._Member

    def make(asked):
        member = real(asked)
        if asked == stopped:
            member.called = Interrupted()
        return member

    monkeypatch.setattr(grouping, "_Member", make)
    work = Work()
    commit = GroupCommit(work)
    found = held_up(work, commit, ["a", "b", "c"])

    assert type(found.pop(stopped)) is KeyboardInterrupt
    assert found == {wish: f"done {wish}" for wish in {"first", "a", "b", "c"} - {stopped}}
    assert commit.ask("later") == "done later"
    # Who was called to lead has taken his wish back: nobody acts on it. That of the others was done by then.
    assert [wish for group in work.groups for wish in group].count(stopped) == (0 if stopped == "a" else 1)


def test_answer_that_is_an_error_is_raised_for_its_member_alone():
    """One of a group that contradicts what is known hears so; the others have their answers."""
    work = Work()

    def with_one_error(group):
        answers = work(group)
        return [StateError("b") if answer == "done b" else answer for answer in answers]

    commit = GroupCommit(with_one_error)
    found = held_up(work, commit, ["a", "b", "c"])

    assert (found["a"], str(found["b"]), found["c"]) == ("done a", "b", "done c")


def test_answers_that_are_too_few_are_an_error_for_all():
    """Work that loses an answer is a bug: nobody is told that all is well."""
    commit = GroupCommit(lambda _group: [])

    with pytest.raises(ValueError, match="shorter"):
        commit.ask("a")


def test_many_threads_get_their_own_answers():
    """64 threads that ask again and again each get the answer to what they asked, in far fewer groups."""
    groups = []

    def work(group):
        groups.append(len(group))
        time.sleep(0.001)
        return [each * 2 for each in group]

    commit = GroupCommit(work)
    wrong = []

    def ask(number):
        for turn in range(20):
            wish = number * 1_000 + turn
            if commit.ask(wish) != wish * 2:
                wrong.append(wish)

    threads = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert wrong == []
    assert sum(groups) == THREADS * 20
    assert len(groups) < THREADS * 20 / 4
    assert max(groups) <= GROUP_MEMBERS_MAX
