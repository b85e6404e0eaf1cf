"""
A WinRM server on loopback for tests: the real protocol (MS-WSMV), real processes, scripted faults.

Use it so::

    def stand_in(command_line: str) -> Sequence[str]:
        return ("/bin/sh", "-c", "cat; echo on stderr >&2; exit 3")

    with WinRMServer(stand_in) as server:                     # http, NTLM with message encryption
        run_something(server.url, server.user, server.password)
        assert not server.shells_open()
        assert server.journal.clear_text_bodies == 0
        assert server.journal.actions() == ("Create", "Command", "Receive", "Signal", "Delete")

    authority = Authority(tmp_path)                           # https: Basic, client certificates, NTLM
    client = authority.client("remedy")
    with WinRMServer(stand_in, tls=authority, client_certificates={client.fingerprint: "remedy"}) as server:
        ...  # server.ca_file, server.fingerprint; client.file, client.key_file

`server.url`, `.address`, `.port`, `.user`, `.password`, `.ca_file` (None over http), `.journal`, `.faults`,
`.shells_open()` (ids), `.pids()` (processes that run), `.connections_open()`. `server.close_shells()` is a restart of
the service, `server.drop_connections()` a network that went away. `WinRMServer(…, is_listening=False)` has its port,
on which connections are refused until `server.listen()`. Faults are scripted before or while it runs::

    server.faults.status(503)                                 # the first request, before any login
    server.faults.drop(after=4)                               # the connection ends after 4 answers
    server.faults.cut_answer(100, "Receive")                  # … after 100 bytes of that answer
    server.faults.lose_answer("Command")                      # the command was started, nobody hears of it
    server.faults.hang("Receive"); server.faults.slow(2.0, "Create")
    server.faults.fault(2150859173, "Create"); server.faults.fault(995, "Receive", times=None)
    server.faults.garbage(b"<not xml", "Receive")

A *stand-in* maps the whole command line to the arguments of the process that runs in its place; it gets the bytes of
Send on stdin, and its bytes and exit code (0 to 255) are what Receive answers. Its environment is PATH, LANG and the
variables of Create. None: there is no such program. It is never a PowerShell, and proves nothing about one.
`tests.winrm.processes.in_sh` lets /bin/sh run the command line. Real limits: `limits=Limits(shells_per_user=1, …)`.
The fixtures `server` (http, `in_sh`) and `authority` are in this folder's conftest.

NTLM accounts are the process's (NTLM_USER_FILE): servers of one process may share a user with the same password or
have different users; set before the first server starts, cleared after the last one stops.

What it does not do: CredSSP, PSRP, code pages other than UTF-8's 65001, TLS renegotiation, HTTP chunks.
"""

import contextlib
import socket
import ssl
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from tests.winrm.accounts import add_account, remove_account
from tests.winrm.authentication import Policy
from tests.winrm.certificates import Authority, Certificate, end_point_binding, server_context
from tests.winrm.connection import Connection, Shared
from tests.winrm.faults import Faults
from tests.winrm.journal import Journal
from tests.winrm.service import Service
from tests.winrm.shells import Limits, Shells, StandIn

__all__ = ["Authority", "Limits", "StandIn", "WinRMServer"]

_PATH = "/wsman"


class WinRMServer:
    """
    One server; a context manager, or `start` and `stop`.

    `certificate` replaces the one that `tls` would sign for the address and
    localhost. `client_certificates` maps fingerprints to users. `binds_channel`
    refuses NTLM within TLS that is not bound to the server's certificate.
    `kerberos` takes tickets for the principals in the keytab that KRB5_KTNAME names
    (needs the packages gssapi and krb5). `offers_ntlm` adds the scheme NTLM, which
    Windows does not offer here: curl knows no other way.

    Raises:
        ExceptionGroup: at `stop`, with what went wrong in the server's own code.
    """

    def __init__(
        self,
        stand_in: StandIn,
        *,
        tls: Authority | None = None,
        certificate: Certificate | None = None,
        client_certificates: Mapping[str, str] | None = None,
        binds_channel: bool = False,
        kerberos: bool = False,
        offers_ntlm: bool = False,
        address: str = "127.0.0.1",
        port: int = 0,
        user: str = "remedy",
        password: str = "Tr0ub4dor-and-3",
        other_users: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        is_listening: bool = True,
    ) -> None:
        self.address = address
        self.user = user
        self.password = password
        self.journal = Journal()
        self.faults = Faults()
        self.ca_file = None if tls is None else tls.ca_file
        self._limits = limits or Limits()
        self._certificate = certificate
        if tls is not None and certificate is None:
            self._certificate = tls.server([address, "localhost"])
        self._is_listening = is_listening
        self._shells = Shells(limits=self._limits, stand_in=stand_in)
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._errors: list[Exception] = []
        self._listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((address, port))
        self._acceptor: threading.Thread | None = None
        self._policy = Policy(
            accounts={user: password, **(other_users or {})},
            certificates=dict(client_certificates or {}),
            is_tls=self._certificate is not None,
            kerberos=kerberos,
            offers_ntlm=offers_ntlm,
            channel_binding=end_point_binding(self._certificate) if binds_channel and self._certificate else None,
        )

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{'http' if self._certificate is None else 'https'}://{host}:{self.port}{_PATH}"

    @property
    def fingerprint(self) -> str | None:
        """The SHA-256 of the server's certificate, None over http."""
        return None if self._certificate is None else self._certificate.fingerprint

    def shells_open(self) -> tuple[str, ...]:
        """Return the ids of the shells that are open now, oldest first."""
        return self._shells.ids()

    def pids(self) -> tuple[int, ...]:
        """Return the processes of the commands that have not ended."""
        return self._shells.pids()

    def connections_open(self) -> int:
        """Return how many TCP connections are open now."""
        with self._lock:
            return len(self._connections)

    def close_shells(self) -> None:
        """Forget all shells and kill what runs in them, as a restart of the service does."""
        self._shells.close_all()

    def drop_connections(self) -> None:
        """End all TCP connections without a word."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            _shut(connection)

    def start(self) -> None:
        """
        Make the user known to NTLM and, unless made with `is_listening=False`, open the port.

        Raises:
            ValueError: the process has the user with another password.
        """
        with contextlib.ExitStack() as undo:
            undo.callback(self._listener.close)
            for account in self._policy.accounts.items():
                add_account(account)
                undo.callback(remove_account, account)
            undo.pop_all()
        if self._is_listening:
            self.listen()

    def listen(self) -> None:
        """Open the port: until now connections to it are refused."""
        context = None
        if self._certificate is not None:
            assert self.ca_file is not None
            context = server_context(self._certificate, self.ca_file)
        shared = Shared(
            service=Service(shells=self._shells, limits=self._limits, url=self.url),
            policy=self._policy,
            journal=self.journal,
            faults=self.faults,
            limits=self._limits,
            machine=self.address,
            path=_PATH,
            context=context,
            stopping=self._stopping,
        )
        self._listener.listen(128)
        self._acceptor = threading.Thread(target=self._accept, args=[shared], name=f"winrm-{self.port}", daemon=True)
        self._acceptor.start()

    def stop(self) -> None:
        """
        End everything: port, connections, shells, processes, threads.

        Raises:
            ExceptionGroup: something went wrong in the server's own code while it ran.
        """
        self._stopping.set()
        if self._acceptor is not None:
            _shut(self._listener)  # Wakes the thread that waits for connections.
            self._acceptor.join()
        self._listener.close()
        self._shells.close_all()
        self.drop_connections()
        with self._lock:
            threads = list(self._connections.values())
        for thread in threads:
            thread.join()
        self._shells.close_all()  # One that was being opened meanwhile.
        for account in self._policy.accounts.items():
            remove_account(account)
        if self._errors:
            raise ExceptionGroup("the WinRM server of the tests failed", self._errors)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _accept(self, shared: Shared) -> None:
        while not self._stopping.is_set():
            try:
                connection, address = self._listener.accept()
            except OSError:
                if self._stopping.is_set():
                    return
                raise
            thread = threading.Thread(
                target=self._serve, args=[connection, address, shared], name=f"winrm-{self.port}-peer", daemon=True
            )
            with self._lock:
                self._connections[connection] = thread
            thread.start()

    def _serve(self, plain: socket.socket, address: tuple[str, int], shared: Shared) -> None:
        """Serve one connection to its end; what a peer does wrong ends only its connection."""
        number = shared.journal.add_connection()
        connection = plain
        try:
            if shared.context is not None:
                connection = shared.context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
                with self._lock:  # The wrapped socket took the plain one's place.
                    self._connections[connection] = self._connections.pop(plain)
                if self._stopping.is_set():  # `drop_connections` may have met the plain one, which is empty now.
                    return
                connection.do_handshake()
            Connection(connection, address, shared, number)
        except (ConnectionError, ssl.SSLError, TimeoutError):
            pass  # The peer went, or does not like our certificate: tests see that on the peer's side.
        except OSError as exc:
            if not self._stopping.is_set():
                self._note(exc)
        except Exception as exc:  # noqa: BLE001  # Shown by `stop`: a thread has nobody to raise to.
            self._note(exc)
        finally:
            _shut(connection)
            connection.close()
            with self._lock:
                self._connections.pop(plain, None)
                self._connections.pop(connection, None)

    def _note(self, error: Exception) -> None:
        with self._lock:
            self._errors.append(error)


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # It is gone already.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)  # TLS's own would pull its keys from under a reader.
