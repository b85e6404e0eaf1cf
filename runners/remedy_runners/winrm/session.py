"""A session over WinRM: as many connections as it needs, one at a time, to the machine that the inventory means."""

import ipaddress
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from winrm.protocol import Protocol

from remedy.errors import Refused, Unreachable
from remedy.port import FixEnding, FixJob, FixResult, Permit, WinRM
from remedy_runners.powershell.session import START_S, PowerShellSession
from remedy_runners.secrets import Secrets
from remedy_runners.session import GRACE_S
from remedy_runners.winrm.exchange import AfterLoss, WinRMExchange
from remedy_runners.winrm.faults import is_quota, surely_not_sent, translate
from remedy_runners.winrm.transport import OPERATION_S, Login, close_protocol

__all__ = ["IDLE_S", "ROOM_WAITS_S", "WinRMSession", "proves_the_host"]

IDLE_S = 30
"""A connection that was not used for so long is not used again: hosts close them, and the encryption goes with it."""

ROOM_WAITS_S = (2.0, 5.0, 10.0)
"""A host that has no room for one more shell is asked again after so many seconds each."""

_AFTER_LOSS = {
    AfterLoss.ENDED: "the host says that it has ended since; `remedy reconcile` reads from its marker how",
    AfterLoss.CUT_OFF: "it had not ended when its time was over, and was ended with its shell",
    AfterLoss.UNKNOWN: "the host could not be asked again; it ends what runs there at its deadline",
}

_COMPUTER_NAME_MAX = 15
"""Windows cuts computer names to so many characters. Source: NetBIOS, as %COMPUTERNAME% has it."""


class WinRMSession(PowerShellSession):
    """
    A session whose every new connection first proves that it leads to the right machine.

    `open_protocol` opens a connection, and raises `Unreachable` or `Refused`.
    """

    _listen_s = float(OPERATION_S)

    def __init__(
        self,
        name: str,
        login: Login,
        settings: WinRM,
        *,
        open_protocol: Callable[[], Protocol],
        room_waits_s: Sequence[float],
        root: str | None = None,
        secrets: Secrets | None = None,
    ) -> None:
        """
        Connect, and see that it is the right machine.

        Raises:
            Unreachable: no connection, or the machine did not say which one it is.
            Refused: the login or the machine is not the right one.
        """
        super().__init__(name, root=root, secrets=secrets)
        self._login = login
        self._settings = settings
        self._open_protocol = open_protocol
        self._room_waits_s = room_waits_s
        self._protocol: Protocol | None = None
        self._used_at = 0.0
        self._is_asking = False
        self._exchange: WinRMExchange | None = None
        self._patience_s = 0
        try:
            self._connected()
        except BaseException:
            self.close()
            raise

    def fix(self, permit: Permit, job: FixJob) -> FixResult:
        """
        See `remedy.port.Session`; a script that surely did not arrive whole was not started.

        One whose link is lost goes on to its end, as over every transport.
        """
        self._patience_s = START_S + job.timeout_s + GRACE_S
        try:
            result = super().fix(permit, job)
        finally:
            self._patience_s = 0
        exchange = self._exchange
        if result.ending is not FixEnding.LOST or exchange is None:
            return result
        if not exchange.may_have_arrived:
            raise Unreachable(
                f"{self._login.endpoint}: the link was lost before the script was there whole; nothing was started"
            )
        if exchange.after_loss is None:
            return result
        return replace(result, reason=f"{result.reason}: the link was lost; {_AFTER_LOSS[exchange.after_loss]}")

    def _start(self, command: str, *, within_s: int) -> WinRMExchange:
        waits_s = iter(self._room_waits_s)
        while True:
            protocol, is_new = self._connected()
            self._protocol = None
            try:
                self._exchange = _Returning(
                    protocol,
                    command,
                    within_s=within_s,
                    reconnect=self._open_protocol,
                    start_s=START_S,
                    patience_s=0 if self._is_asking else self._patience_s,
                    take_back=self._take_back,
                )
            except Exception as exc:
                # The host may have ended a connection that was not used for a while.
                wait_s = next(waits_s, None) if is_quota(exc) else 0.0
                if wait_s is None or not (is_quota(exc) or (surely_not_sent(exc) and not is_new)):
                    # The command only waits for its input, and gets none: nothing was started.
                    raise translate(exc, self._login.endpoint, self._login.auth) from exc
                time.sleep(wait_s)
            else:
                return self._exchange

    def _connected(self) -> tuple[Protocol, bool]:
        """Return a connection to the right machine, and whether it is new."""
        if self._protocol is not None and time.monotonic() - self._used_at <= IDLE_S:
            return self._protocol, False
        self._drop()
        self._take_back(self._open_protocol())
        if not self._is_asking and _must_ask(self._settings):
            self._is_asking = True
            try:
                self._check_identity()
            finally:
                self._is_asking = False
        if self._protocol is None:
            raise Unreachable(f"{self._login.endpoint}: the link was lost; nothing was started")
        return self._protocol, True

    def _check_identity(self) -> None:
        """
        See that the machine is the one that the inventory means.

        Raises:
            Unreachable: it did not say.
            Refused: it is another one.
        """
        found, settings = self.identity(), self._settings
        if settings.machine_id is not None:
            expected, said = settings.machine_id.lower(), (found.machine_id or "").lower()
        else:
            expected, said = _short(settings.computer_name or ""), _short(found.computer_name or "")
        if not expected or said != expected:
            raise Refused(
                f"{self._login.endpoint}: ANOTHER MACHINE ANSWERS: it says it is {found.computer_name} with the id "
                f"{found.machine_id}; expected is {settings.machine_id or settings.computer_name}. "
                "Nothing of a rule was sent. See that the address is the right one; only if it is, set "
                "remedy_computer_name or remedy_machine_id to what the machine says",
                identity=True,
            )

    def _take_back(self, protocol: Protocol | None) -> None:
        """Keep a connection for the next command, if nothing went wrong with it."""
        self._drop()
        self._protocol, self._used_at = protocol, time.monotonic()

    def _drop(self) -> None:
        if self._protocol is not None:
            close_protocol(self._protocol)
            self._protocol = None

    def close(self) -> None:
        """See `remedy.port.Session`."""
        self._drop()


class _Returning(WinRMExchange):
    """An exchange that gives its connection back when it is closed."""

    def __init__(
        self,
        protocol: Protocol,
        command: str,
        *,
        within_s: int,
        reconnect: Callable[[], Protocol],
        start_s: int,
        patience_s: int,
        take_back: Callable[[Protocol | None], None],
    ) -> None:
        self._take_back = take_back
        super().__init__(
            protocol, command, within_s=within_s, reconnect=reconnect, start_s=start_s, patience_s=patience_s
        )

    def close(self) -> None:
        """See `remedy_runners.session.Exchange`."""
        super().close()
        protocol, self._protocol = self._protocol, None
        if protocol is None:
            return
        if self.reconnects:
            close_protocol(protocol)
        else:
            self._take_back(protocol)


def proves_the_host(settings: WinRM) -> bool:
    """Say whether the connection itself proves which host it leads to."""
    return settings.scheme == "https" or settings.auth == "kerberos"


def _must_ask(settings: WinRM) -> bool:
    return settings.machine_id is not None or not proves_the_host(settings)


def _short(name: str) -> str:
    """Return a computer's name as Windows compares it; an address stays as it is."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name.partition(".")[0].casefold()[:_COMPUTER_NAME_MAX]
