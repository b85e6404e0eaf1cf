"""One command in one shell of its own on a Windows host, whatever happens to the connection meanwhile."""

import math
import re
import time
from collections.abc import Callable
from typing import TypeVar

import requests
from winrm.exceptions import WinRMOperationTimeoutError
from winrm.protocol import Protocol

from remedy_runners.session import LinkLost
from remedy_runners.winrm.adapter import NotSent
from remedy_runners.winrm.faults import is_gone, surely_not_sent
from remedy_runners.winrm.transport import OPERATION_S, close_protocol

__all__ = ["WinRMExchange"]

_UTF8 = 65_001
_SEND_SIZE = 96 * 1_024
_CLEAN_UP_S = 5
_ABANDONED_S = 120
_RECONNECTS_MAX = 3
_ID = re.compile(r"[0-9A-Za-z{}-]{1,64}")
_Answer = TypeVar("_Answer")


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
    ) -> None:
        """
        Open the shell and start the command, which waits for its input.

        `within_s` is how long the command may take: an abandoned shell, and what
        runs in it, is ended by the host only after that and two minutes.
        """
        self._protocol: Protocol | None = protocol
        self._reconnect = reconnect
        self._pending = bytearray()
        self._exit_status: int | None = None
        self._ended = False
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
        try:
            self._request(
                lambda protocol: protocol.send_command_input(self._shell_id, self._command_id, chunk, end=end), left_s
            )
        except Exception as exc:
            self._discard()
            self.may_have_arrived = end and not surely_not_sent(exc)
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
        except Exception:  # noqa: BLE001  # Whatever it was: what comes after it counts for nothing.
            self._discard()
            return None
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
        """Delete the shell, which ends what runs in it; never raises, and takes no longer than two short tries."""
        if not self._shell_id:
            return
        shell_id, self._shell_id = self._shell_id, ""
        if self._protocol is not None and self._command_id and not self._ended:
            self._try(lambda protocol: protocol.cleanup_command(shell_id, self._command_id))
        for _ in range(2):
            if self._try(lambda protocol: protocol.close_shell(shell_id, close_session=False)):
                return

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
