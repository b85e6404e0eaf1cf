"""
A session with a host whose shell is PowerShell, whatever carries it.

Each script gets a PowerShell process of its own, one after the other, so that
one that hangs, floods or fails spoils only itself. What came of a fix is decided
here; its twin for POSIX shells is `remedy_runners.session`.
"""

import secrets
import time
from collections.abc import Callable, Sequence

from remedy.errors import Refused, RemedyError, Unreachable
from remedy.port import Collected, CollectJob, CollectorOutput, FixEnding, FixJob, FixResult, MarkersRead, Permit
from remedy_runners.answers import lost_output
from remedy_runners.powershell.endings import (
    Identity,
    collector_output,
    ended,
    fix_result,
    identity_of,
    marker_of,
    reader_of,
    why_nothing_ran,
)
from remedy_runners.powershell.texts import (
    collector_payload,
    command_line,
    fix_payload,
    identity_payload,
    markers_payload,
)
from remedy_runners.powershell.trailer import PowerShellAnswer, TrailerKind
from remedy_runners.secrets import Secrets
from remedy_runners.session import (
    GRACE_S,
    READ_MARKERS_S,
    START_GRACE_S,
    Exchange,
    LinkLost,
    check_permit,
    masked_reason,
    no_secrets,
    read_values,
)

__all__ = ["DRAIN_S", "START_S", "PowerShellSession"]

START_S = START_GRACE_S + 20
"""The controller waits so long for a payload's first line; PowerShell takes seconds to start on a busy machine."""

DRAIN_S = 5
"""After the trailer the controller waits at most so long for the rest of standard error, which CLIXML comes at."""

_CHUNK_S = 1.0
_UNHEARD_MAX = 2
"""So many collectors in a row that were not heard are proof enough that the next will not be either."""


class PowerShellSession:
    """
    The part of `remedy.port.Session` that is the same over every transport, for PowerShell.

    `root` is the folder of markers, lock and hold file on the host (None: where
    Windows keeps the data of programs). A login has one privilege: become_root
    changes nothing. Its messages do not name the host.
    """

    _listen_s = _CHUNK_S
    """It listens so long at once, at most; where each time costs a request, longer."""

    def __init__(
        self,
        name: str,
        *,
        root: str | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        secrets: Secrets | None = None,
    ) -> None:
        self._name = name
        self._secrets = secrets or no_secrets()
        self._root = root
        self._monotonic = monotonic

    def _start(self, command: str, *, within_s: int) -> Exchange:
        """
        Start a remote command; it gets nothing on its standard input yet, and is closed within within_s seconds.

        Raises:
            Unreachable: it was surely not started.
            Refused: the host would not have it.
            LinkLost: it may have been started; the text says what was seen.
        """
        raise NotImplementedError

    def _abandon(self) -> None:
        """Drop what was sent and not answered, so that it starts nothing once nobody expects it any more."""

    def close(self) -> None:
        """See `remedy.port.Session`."""
        raise NotImplementedError

    def collect(self, jobs: Sequence[CollectJob]) -> Collected:
        """See `remedy.port.Session`; jobs are run in their order."""
        outputs: dict[str, CollectorOutput] = {}
        boot_id: str | None = None
        failure: RemedyError | None = None
        unheard, heard, is_hopeless = 0, False, False
        for job in read_values(jobs, self._secrets, refused=outputs):
            if is_hopeless:
                outputs[job.signal] = lost_output(f"it was not started: {failure}")
                continue
            nonce = _nonce()
            payload = collector_payload(job, nonce=nonce)
            answer = PowerShellAnswer.of_collector(nonce, mask=self._secrets.mask)
            try:
                exchange = self._open(job.timeout_s + GRACE_S, unheard="no collector was heard")
            except (Refused, Unreachable) as exc:
                # A password that was refused once must not be tried again for each collector.
                failure, is_hopeless = failure or exc, True
                outputs[job.signal] = lost_output(str(exc))
                continue
            try:
                self._ask(exchange, payload, answer, within_s=job.timeout_s + GRACE_S, unheard="no collector was heard")
            except (Refused, Unreachable) as exc:
                unheard += 1
                failure, is_hopeless = failure or exc, unheard >= _UNHEARD_MAX
                outputs[job.signal] = lost_output(str(exc))
            else:
                unheard, heard, boot_id = 0, True, boot_id or answer.boot_id
                outputs[job.signal] = collector_output(answer)
        if failure is not None and not heard:
            raise failure
        return Collected(boot_id=boot_id, outputs=outputs)

    def read_markers(self, execution_ids: Sequence[str], *, become_root: bool) -> MarkersRead:
        """See `remedy.port.Session`; both privileges have the same markers."""
        asked = tuple(dict.fromkeys(execution_ids))
        nonce = _nonce()
        payload = markers_payload(asked, nonce=nonce, root=self._root)
        answer = self._told(payload, nonce, unheard="the markers were not read")
        as_root, up_s = reader_of(answer.marks)
        return MarkersRead(
            boot_id=answer.boot_id,
            as_root=as_root,
            up_s=up_s,
            markers={each: marker_of(answer.marks, index) for index, each in enumerate(asked)},
        )

    def identity(self) -> Identity:
        """
        Return what the machine reports of itself; it gets nothing to run but the question.

        Raises:
            Unreachable: the link is gone, or the answer did not come whole.
            Refused: the host cannot run the loader.
        """
        nonce = _nonce()
        answer = self._told(identity_payload(nonce=nonce), nonce, unheard="the machine did not say which one it is")
        return identity_of(answer.marks)

    def _told(self, payload: bytes, nonce: str, *, unheard: str) -> PowerShellAnswer:
        """Have one of our own questions answered to the end."""
        answer = PowerShellAnswer.of_collector(nonce, mask=self._secrets.mask)
        exchange = self._open(READ_MARKERS_S, unheard=unheard)
        status = self._converse(exchange, payload, answer, within_s=READ_MARKERS_S)
        if answer.trailer is not None and answer.trailer.kind is TrailerKind.END:
            return answer
        why = why_nothing_ran(answer, status)
        if why is not None:
            raise Refused(f"nothing ran on the host: {why}")
        raise Unreachable(f"the link was lost, or the host is too slow; {unheard} to the end")

    def _open(self, within_s: int, *, unheard: str) -> Exchange:
        try:
            return self._start(command_line(), within_s=START_S + within_s + DRAIN_S)
        except LinkLost as exc:
            raise Unreachable(f"{_said(exc)}; {unheard}") from exc

    def _ask(
        self, exchange: Exchange, payload: bytes, answer: PowerShellAnswer, *, within_s: float, unheard: str
    ) -> None:
        """Have a payload that changes nothing answered; raises what `collect` raises when it did not even begin."""
        status = self._converse(exchange, payload, answer, within_s=within_s)
        if answer.started:
            return
        why = why_nothing_ran(answer, status)
        if why is None:
            raise Unreachable(f"the link was lost, or PowerShell did not start in time; {unheard}")
        raise Refused(f"nothing ran on the host: {why}")

    def fix(self, permit: Permit, job: FixJob) -> FixResult:
        """See `remedy.port.Session`."""
        check_permit(permit, job, self._name)
        nonce = _nonce()
        try:
            job = self._secrets.fix(job)
        except Refused as exc:
            return ended(PowerShellAnswer.of_fix(nonce), FixEnding.REFUSED, str(exc))
        return masked_reason(self._fix(job, nonce), self._secrets.mask)

    def _fix(self, job: FixJob, nonce: str) -> FixResult:
        payload = fix_payload(job, nonce=nonce, root=self._root)
        answer = PowerShellAnswer.of_fix(nonce, mask=self._secrets.mask)
        try:
            exchange = self._open(job.timeout_s + GRACE_S, unheard="nothing was started")
        except Refused as exc:
            return ended(answer, FixEnding.REFUSED, str(exc))
        status = self._converse(exchange, payload, answer, within_s=job.timeout_s + GRACE_S)
        return fix_result(answer, job, status)

    def _converse(self, exchange: Exchange, payload: bytes, answer: PowerShellAnswer, *, within_s: float) -> int | None:
        """
        Send the payload and listen until it is through, its streams end, it is too much, or the time is over.

        Returns the status of a process that said nothing, if the host reported one.
        """
        try:
            self._listen(exchange, payload, answer, within_s=within_s)
            return exchange.exit_status() if answer.all_ended and not answer.heard else None
        finally:
            exchange.close()
            if not answer.heard and not answer.all_ended:
                self._abandon()

    def _listen(self, exchange: Exchange, payload: bytes, answer: PowerShellAnswer, *, within_s: float) -> None:
        deadline = self._monotonic() + START_S
        try:
            exchange.send(payload, timeout_s=START_GRACE_S)
            exchange.finish_input(timeout_s=START_GRACE_S)
        except LinkLost:
            # The host may have said why before it stopped reading.
            deadline = self._monotonic() + _CHUNK_S
        is_running = is_draining = False
        while not answer.too_much:
            left_s = deadline - self._monotonic()
            if left_s <= 0:
                return
            chunks = exchange.receive(timeout_s=min(left_s, self._listen_s))
            if chunks is None:
                answer.end()
                return
            answer.hear(chunks)
            if answer.finished and not is_draining:
                is_draining, deadline = True, self._monotonic() + DRAIN_S
            elif answer.started and not is_running and not is_draining:
                is_running, deadline = True, self._monotonic() + within_s


def _nonce() -> str:
    return secrets.token_hex(16)


def _said(exc: LinkLost) -> str:
    return str(exc) or "the link was lost"
