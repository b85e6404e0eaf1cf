"""
Group commit: what threads ask for at the same moment is done together, and made durable once.

Who comes while nobody is at work leads: he does his work at once, in his own call.
Who comes meanwhile waits, and when the leader is done the first of them leads all
who wait by then. No thread is made, nobody waits for company, and in a program of
one thread every group has one member.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from remedy.errors import StateError

__all__ = ["GROUP_MEMBERS_MAX", "GroupCommit"]

GROUP_MEMBERS_MAX = 64
"""The most that is done at once; more would let the first of them wait for the last."""

_Asked = TypeVar("_Asked")
_Answer = TypeVar("_Answer")


class _Member(Generic[_Asked, _Answer]):
    """What one thread asked for, and what became of it."""

    __slots__ = ("answer", "asked", "called", "error", "is_done")

    def __init__(self, asked: _Asked) -> None:
        self.asked = asked
        self.answer: _Answer | None = None
        self.error: BaseException | None = None
        self.is_done = False
        # Set when it is done, or when it is its turn to lead.
        self.called = threading.Event()


class GroupCommit(Generic[_Asked, _Answer]):
    """
    Gathers what threads ask for into groups, each carried out by one call of `carry_out`.

    `carry_out` gets what was asked for in the order in which it was asked, and
    returns an answer to each, in that order; an answer that is a StateError is
    raised for its member alone. What `carry_out` raises, every member of that group
    hears, and nobody else.
    """

    def __init__(self, carry_out: Callable[[Sequence[_Asked]], Sequence[_Answer | StateError]]) -> None:
        self._carry_out = carry_out
        self._waiting: deque[_Member[_Asked, _Answer]] = deque()
        self._guard = threading.Lock()
        self._is_led = False

    def ask(self, asked: _Asked) -> _Answer:
        """
        Return the answer, once the group in which this was asked for is done.

        Raises:
            StateError: it could not be done, or whoever led the group was stopped in
                the middle: then nobody knows whether it was.
        """
        member: _Member[_Asked, _Answer] = _Member(asked)
        with self._guard:
            self._waiting.append(member)
            leads = not self._is_led
            self._is_led = True
        if not leads:
            self._follow(member)
        if not member.is_done:
            try:
                self._lead()
            finally:
                self._hand_over()
        if member.error is not None:
            raise member.error
        return member.answer  # type: ignore[return-value]  # A member without an error has its answer.

    def _follow(self, member: _Member[_Asked, _Answer]) -> None:
        """Wait until it is done, or its turn to lead; who is stopped meanwhile takes back what he asked for."""
        try:
            member.called.wait()
        except BaseException:
            with self._guard:
                was_to_lead = member.called.is_set() and not member.is_done
                if member in self._waiting:
                    self._waiting.remove(member)
            if was_to_lead:
                self._hand_over()
            raise

    def _hand_over(self) -> None:
        """Have the first of those who wait lead; without any, whoever comes next."""
        with self._guard:
            if self._waiting:
                self._waiting[0].called.set()
            else:
                self._is_led = False

    def _lead(self) -> None:
        """Do the work of those who have waited the longest, the leader first."""
        with self._guard:
            group = [self._waiting.popleft() for _ in range(min(GROUP_MEMBERS_MAX, len(self._waiting)))]
        try:
            answers = self._carry_out([member.asked for member in group])
            for member, answer in zip(group, answers, strict=True):
                if isinstance(answer, StateError):
                    member.error = answer
                else:
                    member.answer = answer
        except Exception as exc:  # noqa: BLE001 - not silent: every member raises it.
            for member in group:
                member.error = exc if len(group) == 1 else _copy(exc)
        except BaseException as exc:
            # The leader is being stopped (Ctrl-C); that is no news for the others, but this is.
            for member in group:
                member.error = StateError(f"interrupted while recording: {type(exc).__name__}")
            raise
        finally:
            for member in group:
                member.is_done = True
                member.called.set()


def _copy(error: Exception) -> Exception:
    """Return an error that one thread can raise for itself: raising writes the traceback into it."""
    if not isinstance(error, StateError):
        return error  # A bug of ours: its own traceback is worth more.
    copy = StateError(str(error))
    copy.__cause__ = error
    return copy
