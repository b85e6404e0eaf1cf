"""One command in one shell of its own on a Windows host, whatever happens to the connection meanwhile."""

import math
import re
import time
from collections.abc import Callable
from enum import Enum, auto
from typing import TypeVar

import requests
from winrm.exceptions import WinRMOperationTimeoutError
from winrm.protocol import Protocol

from remedy.errors import Refused
from remedy_runners.capture import FIX_OUTPUT_MAX
from remedy_runners.session import LinkLost
from remedy_runners.winrm.adapter import NotSent
from remedy_runners.winrm.faults import is_gone, surely_not_sent
from remedy_runners.winrm.transport import OPERATION_S, close_protocol

__all__ = ["AfterLoss", "WinRMExchange"]

_UTF8 = 65_001
_SEND_SIZE = 96 * 1_024
_CLEAN_UP_S = 5
_ABANDONED_S = 120
_RECONNECTS_MAX = 3
_PAUSE_S = 2.0
_ID = re.compile(r"[0-9A-Za-z{}-]{1,64}")
_Answer = TypeVar("_Answer")


class AfterLoss(Enum):
    """
    What became of a command whose link was lost after its input had arrived, or may have.

    ENDED    the host says that it has ended
    CUT_OFF  its time was over, or nobody waited; what was still running ended with its shell
    UNKNOWN  the host could not be asked any more; it ends the shell when its idle time is over
    """

    ENDED = auto()
    CUT_OFF = auto()
    UNKNOWN = auto()


class WinRMExchange:
    """
    One command on one shell; ended and deleted by `close`, also over a new connection.

    `reconnect` opens another protocol for the clean-up when the first one has
    raised, or its host has ended the connection; a protocol that raised anything
    but an operation's timeout is never used again.
    """

    def __init__(
        self,
        protocol: Protocol,
        command: str,
        *,
        within_s: int,
        reconnect: Callable[[], Protocol],
        start_s: int = 0,
        patience_s: int = 0,
    ) -> None:
        """
        Open the shell and start the command, which waits for its input.

        `within_s` is how long the command may take: an abandoned shell, and what
        runs in it, is ended by the host only after that and two minutes. When the
        link is lost, `close` waits for the command's end until `patience_s` after
        its input, and for its first word until `start_s`: deleting the shell sooner
        would cut off in the middle what runs.
        """
        self._protocol: Protocol | None = protocol
        self._reconnect = reconnect
        self._pending = bytearray()
        self._exit_status: int | None = None
        self._ended = False
        self._start_s = start_s
        self._patience_s = patience_s
        self._was_heard = False
        self._input_ended_at = 0.0
        self._link_lost = False
        self.after_loss: AfterLoss | None = None
        """What became of the command when its link was lost; None while it was not, and before `close`."""
        self._shell_id = ""
        self._command_id = ""
        self.may_have_arrived = False
        """Whether the last of the input may have reached the command."""
        self.reconnects = 0
        """How often a connection that the host had ended was replaced; what is there then is not asked who it is."""
        try:
            living = self._living(OPERATION_S)
            self._shell_id = _id(living.open_shell(codepage=_UTF8, idle_timeout=f"PT{within_s + _ABANDONED_S}S"))
            self._command_id = _id(living.run_command(self._shell_id, command, console_mode_stdin=False))
        except BaseException:
            self._discard()
            self.close()
            raise

    def send(self, data: bytes, *, timeout_s: float) -> None:
        """See `remedy_runners.session.Exchange`; the last bytes wait for `finish_input`."""
        self._pending += data
        deadline = time.monotonic() + timeout_s
        while len(self._pending) > _SEND_SIZE:
            chunk = bytes(self._pending[:_SEND_SIZE])
            del self._pending[:_SEND_SIZE]
            self._send(chunk, deadline, end=False)

    def finish_input(self, *, timeout_s: float) -> None:
        """See `remedy_runners.session.Exchange`."""
        chunk = bytes(self._pending)
        self._pending.clear()
        self._send(chunk, time.monotonic() + timeout_s, end=True)

    def _send(self, chunk: bytes, deadline: float, *, end: bool) -> None:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            self._discard()
            raise LinkLost("the host is too slow to take the input")
        self.may_have_arrived = end
        self._input_ended_at = time.monotonic()
        try:
            self._request(
                lambda protocol: protocol.send_command_input(self._shell_id, self._command_id, chunk, end=end), left_s
            )
        except Exception as exc:
            self._discard()
            self.may_have_arrived = self._link_lost = end and not surely_not_sent(exc)
            raise LinkLost("the link was lost as it was sent") from exc

    def receive(self, *, timeout_s: float) -> tuple[bytes, bytes] | None:
        """See `remedy_runners.session.Exchange`."""
        if self._ended or self._protocol is None:
            return None
        try:
            stdout, stderr, code, done = self._request(
                lambda protocol: protocol.get_command_output_raw(self._shell_id, self._command_id), timeout_s
            )
        except WinRMOperationTimeoutError:
            return b"", b""
        except Exception as exc:  # noqa: BLE001  # Whatever it was: what comes after it counts for nothing.
            self._discard()
            self._link_lost = not is_gone(exc)
            return None
        self._was_heard |= bool(stdout)
        if done:
            self._ended = True
            self._exit_status = code
        return stdout, stderr

    def _request(self, step: Callable[[Protocol], _Answer], left_s: float) -> _Answer:
        """Have one message answered; one that surely was not sent goes over a new connection."""
        try:
            return step(self._living(left_s))
        except NotSent:
            self._discard()
            if self.reconnects >= _RECONNECTS_MAX:
                raise
        self.reconnects += 1
        self._protocol = self._reconnect()
        return step(self._living(left_s))

    def exit_status(self) -> int | None:
        """See `remedy_runners.session.Exchange`."""
        return self._exit_status

    def close(self) -> None:
        """Delete the shell, which ends what runs in it; see `patience_s` for a link that was lost. Never raises."""
        if not self._shell_id:
            return
        if self._link_lost:
            self.after_loss = self._wait_out()
        shell_id, self._shell_id = self._shell_id, ""
        if self._protocol is not None and self._command_id and not self._ended:
            self._try(lambda protocol: protocol.cleanup_command(shell_id, self._command_id))
        for _ in range(2):
            if self._try(lambda protocol: protocol.close_shell(shell_id, close_session=False)):
                return

    def _wait_out(self) -> AfterLoss:
        """Let the command end by itself; what it prints now came after a gap, and counts for nothing."""
        unread, found = FIX_OUTPUT_MAX, AfterLoss.CUT_OFF
        while unread > 0 and (left_s := self._left_s()) > 0:
            try:
                if self._protocol is None:
                    self._protocol = self._reconnect()
                    self.reconnects += 1
                stdout, stderr, _, self._ended = self._living(left_s).get_command_output_raw(
                    self._shell_id, self._command_id
                )
            except WinRMOperationTimeoutError:
                found = AfterLoss.CUT_OFF
            except Exception as exc:  # noqa: BLE001  # A host that starts again or a network that comes back: until then.
                self._discard()
                found = AfterLoss.ENDED if is_gone(exc) else AfterLoss.UNKNOWN
                if is_gone(exc) or isinstance(exc, Refused):
                    return found
                time.sleep(min(_PAUSE_S, max(0.0, self._left_s())))
            else:
                self._was_heard |= bool(stdout)
                found, unread = AfterLoss.CUT_OFF, unread - len(stdout) - len(stderr)
                if self._ended:
                    return AfterLoss.ENDED
        return found

    def _left_s(self) -> float:
        waits_s = self._patience_s if self._was_heard else min(self._start_s, self._patience_s)
        return self._input_ended_at + waits_s - time.monotonic()

    def _try(self, step: Callable[[Protocol], None]) -> bool:
        """Take one step of the clean-up, over a new connection if need be; say whether there is nothing left to do."""
        was_discarded = self._protocol is None
        try:
            if was_discarded:
                self._protocol = self._reconnect()
            step(self._living(_CLEAN_UP_S))
        except Exception as exc:  # noqa: BLE001  # The host ends the shell by itself when its time is over.
            self._discard()
            return is_gone(exc)
        if was_discarded:
            # Good enough to clean up; the next command gets one that nothing went wrong before.
            self._discard()
        return True

    def _discard(self) -> None:
        """End a connection on which something went wrong."""
        if self._protocol is not None:
            close_protocol(self._protocol)
            self._protocol = None

    def _living(self, left_s: float) -> Protocol:
        """Return the protocol, with so much time for one request of its host, in whole seconds."""
        if self._protocol is None:
            raise LinkLost("the link was lost before")
        self._protocol.operation_timeout_sec = max(1, min(OPERATION_S, math.ceil(left_s)))
        return self._protocol


def _id(text: str | None) -> str:
    if text is None or _ID.fullmatch(text) is None:
        raise requests.ConnectionError("the id of a shell or command is odd")
    return text
