"""
One session with a host, whatever carries it: sends payloads, reads what comes back.

An exchange is one run of a remote command; SSH and the local runner bring their
own. What came of a fix is decided here and nowhere else.
"""

import hashlib
import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from remedy.errors import Refused, RemedyError, Unreachable
from remedy.port import (
    Collected,
    CollectJob,
    CollectorOutput,
    FixEnding,
    FixJob,
    FixResult,
    MarkersRead,
    Permit,
)
from remedy.text import one_line, untrusted
from remedy_runners.answers import Answer, CollectAnswer, FixAnswer, MarkersAnswer, lost_output, refused_output
from remedy_runners.capture import FIX_OUTPUT_MAX
from remedy_runners.marker_payload import boot_id_of, marker_of, marker_payload, reader_of
from remedy_runners.masking import Mask
from remedy_runners.payload import NOTHING_RAN, PAYLOAD_WAIT_S, collect_payload, fix_payload, remote_command
from remedy_runners.secrets import Secrets

__all__ = [
    "GRACE_S",
    "READ_MARKERS_S",
    "START_GRACE_S",
    "Exchange",
    "FramedSession",
    "LinkLost",
    "check_permit",
    "masked_reason",
    "no_secrets",
    "read_values",
]

GRACE_S = 8
"""The controller waits so long beyond each deadline that the host itself keeps."""

START_GRACE_S = PAYLOAD_WAIT_S + 5
"""The controller waits so long for a payload's first line."""

READ_MARKERS_S = 20
"""The controller waits so long for all markers that it asked for, from a payload's first line on."""

_CHUNK_S = 1.0
_PAYLOAD_REFUSALS = {
    "hold": "/etc/remedy cannot be looked into, so nobody knows whether the host is held; chmod 755 /etc/remedy there",
    "flock": "it has no flock command that works; install util-linux",
    "interpreter": "it has no {}; install it, or write the script for sh",
    "marker": "{} cannot be written; free or repair its file system, so that a second start can be seen",
}


class LinkLost(Exception):
    """The link to the host is gone; never leaves the runners."""


class Exchange(Protocol):
    """One remote command under way."""

    def send(self, data: bytes, *, timeout_s: float) -> None:
        """
        Write to its standard input.

        Raises:
            LinkLost: not all of it could be written in time.
        """

    def finish_input(self, *, timeout_s: float) -> None:
        """
        Say that no more input will come.

        Raises:
            LinkLost: it could not be said in time, or not all that was sent before is on its way.
        """

    def receive(self, *, timeout_s: float) -> tuple[bytes, bytes] | None:
        """
        Return the next bytes of stdout and stderr, both empty after timeout_s; None when both have ended.

        A link that is gone ends both.
        """

    def exit_status(self) -> int | None:
        """Return the status the host reported, None when there is none."""

    def close(self) -> None:
        """Stop listening; what runs goes on. Never raises."""


def _nonce() -> str:
    return secrets.token_hex(16)


class FramedSession:
    """
    The part of `remedy.port.Session` that is the same over every transport.

    Its messages do not name the host: who shows them puts the inventory's name before.
    `secrets` are those of the run; without any, whatever has one is refused.
    """

    def __init__(self, name: str, *, secrets: Secrets | None = None) -> None:
        self._name = name
        self._secrets = secrets or no_secrets()

    def _start(self, command: str) -> Exchange:
        """
        Start a remote command.

        Raises:
            Unreachable: it was surely not started.
            Refused: the host would not have it.
            LinkLost: it may have been started; the text says what was seen.
        """
        raise NotImplementedError

    def _abandon(self) -> None:
        """Drop what was sent and not answered, so that it starts nothing once nobody expects it any more."""

    def collect(self, jobs: Sequence[CollectJob]) -> Collected:
        """See `remedy.port.Session`."""
        outputs: dict[str, CollectorOutput] = {}
        boot_id: str | None = None
        failure: RemedyError | None = None
        heard = False
        ready = read_values(jobs, self._secrets, refused=outputs)
        groups = [[job for job in ready if job.become_root is become_root] for become_root in (False, True)]
        for group in filter(None, groups):
            try:
                answer = self._collect_group(group)
            except (Refused, Unreachable) as exc:
                failure = failure or exc
                outputs |= {job.signal: lost_output(str(exc)) for job in group}
            else:
                heard = True
                boot_id = boot_id or answer.boot_id
                outputs |= {job.signal: answer.output(index) for index, job in enumerate(group)}
        if failure is not None and not heard:
            raise failure
        return Collected(boot_id=boot_id, outputs=outputs)

    def _collect_group(self, jobs: Sequence[CollectJob]) -> CollectAnswer:
        nonce, become_root = _nonce(), jobs[0].become_root
        answer = CollectAnswer(nonce, mask=self._secrets.mask)
        payload = collect_payload(jobs, nonce=nonce)
        within_s = sum(job.timeout_s + GRACE_S for job in jobs)
        self._ask(payload, answer, become_root=become_root, within_s=within_s, unheard="no collector was heard")
        return answer

    def read_markers(self, execution_ids: Sequence[str], *, become_root: bool) -> MarkersRead:
        """See `remedy.port.Session`."""
        asked = tuple(dict.fromkeys(execution_ids))
        nonce, unheard = _nonce(), "the markers were not read"
        answer = MarkersAnswer(nonce, mask=self._secrets.mask)
        payload = marker_payload(asked, nonce=nonce)
        self._ask(payload, answer, become_root=become_root, within_s=READ_MARKERS_S, unheard=unheard)
        if not answer.finished:
            raise Unreachable(f"the link was lost, or the host is too slow; {unheard} to the end")
        as_root, up_s = reader_of(answer.marks)
        return MarkersRead(
            boot_id=boot_id_of(answer.boot_id),
            as_root=as_root,
            up_s=up_s,
            markers={each: marker_of(answer.marks, index) for index, each in enumerate(asked)},
        )

    def _ask(self, payload: bytes, answer: Answer, *, become_root: bool, within_s: float, unheard: str) -> None:
        """Have a payload that changes nothing answered; raises what `collect` raises when it did not even begin."""
        try:
            exchange = self._start(remote_command(payload, become_root=become_root))
        except LinkLost as exc:
            raise Unreachable(f"{exc}; {unheard}") from exc
        try:
            _converse(exchange, payload, answer, within_s=within_s)
            if not answer.started:
                raise self._nothing_heard(exchange, answer, become_root=become_root, unheard=unheard)
        finally:
            exchange.close()
            if not answer.heard and not answer.all_ended:
                self._abandon()

    def _nothing_heard(self, exchange: Exchange, answer: Answer, *, become_root: bool, unheard: str) -> RemedyError:
        status = exchange.exit_status() if answer.all_ended and not answer.heard else None
        if status is None:
            return Unreachable(f"the link was lost; {unheard}")
        return Refused(_why_nothing_ran(status, answer, become_root=become_root))

    def fix(self, permit: Permit, job: FixJob) -> FixResult:
        """See `remedy.port.Session`."""
        check_permit(permit, job, self._name)
        nonce = _nonce()
        try:
            job = self._secrets.fix(job)
        except Refused as exc:
            return FixAnswer(nonce).result(FixEnding.REFUSED, str(exc))
        return masked_reason(self._fix(job, nonce), self._secrets.mask)

    def _fix(self, job: FixJob, nonce: str) -> FixResult:
        payload = fix_payload(job, nonce=nonce)
        answer = FixAnswer(nonce, mask=self._secrets.mask)
        try:
            exchange = self._start(remote_command(payload, become_root=job.become_root))
        except LinkLost as exc:
            return answer.result(FixEnding.LOST, str(exc))
        except Refused as exc:
            return answer.result(FixEnding.REFUSED, str(exc))
        try:
            _converse(exchange, payload, answer, within_s=job.timeout_s + GRACE_S)
            return _fix_result(exchange, answer, job)
        finally:
            exchange.close()
            if not answer.heard and not answer.all_ended:
                self._abandon()

    def close(self) -> None:
        """See `remedy.port.Session`."""
        raise NotImplementedError


def no_secrets() -> Secrets:
    """Return the secrets of who has none: every reference is refused."""
    return Secrets(environment={}, home=Path("/nonexistent"))


def read_values(
    jobs: Sequence[CollectJob], secrets: Secrets, *, refused: dict[str, CollectorOutput]
) -> list[CollectJob]:
    """Return the jobs whose values are all there; the others are `refused`, each by itself."""
    ready = []
    for job in jobs:
        try:
            ready.append(secrets.collector(job))
        except Refused as exc:
            refused[job.signal] = refused_output(str(exc))
    return ready


def masked_reason(result: FixResult, mask: Mask) -> FixResult:
    """Return a result whose reason, which may hold words of the host, shows no secret."""
    return replace(result, reason=mask.text(result.reason))


def check_permit(permit: Permit, job: FixJob, host: str) -> None:
    """
    See that a job is the one that was permitted, for this host.

    Raises:
        ValueError: it is not, which is an error of ours.
    """
    digest = hashlib.sha256(job.script).hexdigest()
    permitted = (permit.execution_id, permit.script_sha256, permit.host)
    if permitted != (job.execution_id, digest, host) or job.script_sha256 != digest:
        raise ValueError(f"{job.execution_id} on {host}: the job is not the one that was permitted")


def _converse(exchange: Exchange, payload: bytes, answer: Answer, *, within_s: float) -> None:
    """Send the payload and listen until it is through, its streams end, or the time is over."""
    deadline = time.monotonic() + START_GRACE_S
    try:
        exchange.send(payload, timeout_s=START_GRACE_S)
    except LinkLost:
        # The host may have said why before it stopped reading.
        deadline = time.monotonic() + _CHUNK_S
    extended = killed = False
    while not answer.finished:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            return
        chunks = exchange.receive(timeout_s=min(left_s, _CHUNK_S))
        if chunks is None:
            answer.end()
            return
        answer.hear(chunks)
        if answer.started and not extended:
            extended, deadline = True, time.monotonic() + within_s
        if answer.too_much and not killed:
            killed, deadline = True, time.monotonic() + GRACE_S
            _ask_to_kill(exchange)


def _ask_to_kill(exchange: Exchange) -> None:
    try:
        exchange.send(b"kill\n", timeout_s=_CHUNK_S)
    except LinkLost:
        return


def _fix_result(exchange: Exchange, answer: FixAnswer, job: FixJob) -> FixResult:
    much = f"ended for printing more than {FIX_OUTPUT_MAX} bytes" if answer.too_much else ""
    if answer.said and not answer.finished:
        much = much or "the end of one of its output streams was not seen"
    match answer.said:
        case ("end", _, "1"):
            return answer.result(FixEnding.TIMED_OUT, much or f"it did not end within {job.timeout_s} s")
        case ("end", code, _) if code.isdecimal():
            return answer.result(FixEnding.FINISHED, much, exit_code=int(code))
        case ("held", *words):
            reason = untrusted(" ".join(words), characters_max=200)
            return answer.result(FixEnding.HOST_HOLD, reason or "/etc/remedy/hold exists on the host")
        case ("busy", *_):
            return answer.result(FixEnding.HOST_BUSY, "another fix is at work on the host")
        case ("already", *_):
            return answer.result(FixEnding.ALREADY_STARTED, "this execution was started on the host before")
        case ("refused", code, *words) if code in _PAYLOAD_REFUSALS:
            what = untrusted(" ".join(words), characters_max=200)
            why = _PAYLOAD_REFUSALS[code].format(what)
            return answer.result(FixEnding.REFUSED, f"nothing ran on the host: {why}")
    # A payload that ran to its end leaves with 0: then somebody may only have swallowed what it said.
    status = exchange.exit_status() if answer.all_ended and not answer.heard else None
    if status:
        why = _why_nothing_ran(status, answer, become_root=job.become_root)
        return answer.result(FixEnding.REFUSED, why)
    return answer.result(FixEnding.LOST, much or "its end was not seen")


def _why_nothing_ran(status: int, answer: Answer, *, become_root: bool) -> str:
    if status in NOTHING_RAN:
        return f"nothing ran on the host: {NOTHING_RAN[status]}"
    said = one_line(answer.noise)
    if become_root and "sudo" in said:
        return (
            f"nothing ran on the host: {said}; let this login run `sudo -n -- sh` without a password, or log in as root"
        )
    return f"nothing ran on the host: its login shell ended with {status}" + (f": {said}" if said else "")
