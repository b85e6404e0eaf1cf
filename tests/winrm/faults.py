"""
Faults that a test scripts: which request they meet, and what becomes of it.

A rule with `action=None` meets any HTTP request as it comes, those of a handshake too. A rule with an action
(`Create`, `Command`, `Send`, `Receive`, `Signal`, `Delete`, or `*` for any of them) meets a message that was read,
from a user who is known. `after` requests pass first, then `times` are met (None: all). The first rule that fits wins.
"""

import threading
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["ANY", "Effect", "Fault", "Faults"]

ANY = "*"


class Effect(StrEnum):
    """
    What becomes of a request.

    status  it is answered with an HTTP status and nothing else
    drop    nothing is done, and the connection ends without an answer
    lose    it is done, and the connection ends without an answer
    cut     it is done, and the connection ends within the answer, after some bytes
    close   it is done and answered, and the connection ends
    hang    nothing is done, and no answer comes until the server stops
    fault   nothing is done; a WS-Management fault is the answer
    slow    it is done as ever, but later
    garbage nothing is done, and the answer (200) is no XML
    """

    STATUS = "status"
    DROP = "drop"
    LOSE = "lose"
    CUT = "cut"
    CLOSE = "close"
    HANG = "hang"
    FAULT = "fault"
    SLOW = "slow"
    GARBAGE = "garbage"


@dataclass(slots=True, kw_only=True)
class Fault:
    """One rule; `number` is the status, the fault's code or the bytes, by effect."""

    effect: Effect
    action: str | None
    times: int | None
    after: int
    number: int = 0
    seconds: float = 0.0
    body: bytes = b""

    def meets(self, action: str | None) -> bool:
        return self.action == action or (self.action == ANY and action is not None)


class Faults:
    """The rules of one server; may be added to from any thread, also while it runs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Fault] = []

    def status(self, status: int, action: str | None = None, *, times: int | None = 1, after: int = 0) -> None:
        """Answer with an HTTP status, 503 say, and an empty body."""
        self._add(Fault(effect=Effect.STATUS, action=action, times=times, after=after, number=status))

    def drop(self, action: str | None = None, *, times: int | None = 1, after: int = 0) -> None:
        """End the connection instead of an answer; nothing was done. `after` N requests: after N answers."""
        self._add(Fault(effect=Effect.DROP, action=action, times=times, after=after))

    def lose_answer(self, action: str, *, times: int | None = 1, after: int = 0) -> None:
        """Do what is asked, then end the connection without an answer."""
        self._add(Fault(effect=Effect.LOSE, action=action, times=times, after=after))

    def cut_answer(self, sent_bytes: int, action: str | None = None, *, times: int | None = 1, after: int = 0) -> None:
        """Do what is asked, then end the connection after so many bytes of the answer, its header's included."""
        self._add(Fault(effect=Effect.CUT, action=action, times=times, after=after, number=sent_bytes))

    def close_after(self, action: str | None = None, *, times: int | None = 1, after: int = 0) -> None:
        """Answer, then end the connection: what an idle limit does between two requests."""
        self._add(Fault(effect=Effect.CLOSE, action=action, times=times, after=after))

    def hang(self, action: str | None = None, *, times: int | None = 1, after: int = 0) -> None:
        """Read the request and never answer."""
        self._add(Fault(effect=Effect.HANG, action=action, times=times, after=after))

    def fault(self, code: int, action: str, *, times: int | None = 1, after: int = 0) -> None:
        """Answer with a fault: 2150859173 (quota), 2150858843 (shell gone), 995 (aborted), …"""
        self._add(Fault(effect=Effect.FAULT, action=action, times=times, after=after, number=code))

    def slow(self, seconds: float, action: str | None = None, *, times: int | None = 1, after: int = 0) -> None:
        """Wait before anything is done."""
        self._add(Fault(effect=Effect.SLOW, action=action, times=times, after=after, seconds=seconds))

    def garbage(self, body: bytes, action: str, *, times: int | None = 1, after: int = 0) -> None:
        """Answer 200 with these bytes for an envelope, encrypted where envelopes are."""
        self._add(Fault(effect=Effect.GARBAGE, action=action, times=times, after=after, body=body))

    def clear(self) -> None:
        """Drop all rules."""
        with self._lock:
            self._rules.clear()

    def take(self, action: str | None) -> Fault | None:
        """Return the rule that this request meets, if any, and count it."""
        with self._lock:
            for rule in self._rules:
                if not rule.meets(action):
                    continue
                if rule.after:
                    rule.after -= 1
                elif rule.times is None or rule.times:
                    rule.times = None if rule.times is None else rule.times - 1
                    return rule
        return None

    def _add(self, rule: Fault) -> None:
        with self._lock:
            self._rules.append(rule)
