"""The shells of one server: quota per user, ownership, idle time-out, and the commands in them."""

import contextlib
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tests.winrm.commands import Command
from tests.winrm.messages import Opening
from tests.winrm.wsman_faults import (
    ACCESS_DENIED,
    COMMAND_GONE,
    FILE_NOT_FOUND,
    SHELL_GONE,
    SHELLS_PER_USER,
    Faulted,
)

__all__ = ["Limits", "Shell", "Shells", "StandIn"]

StandIn = Callable[[str], Sequence[str] | None]
"""Says which process stands in for a command line; None: there is no such program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    What a server allows; the defaults are those of Windows Server 2012 and later.

    `timeout_s_max` bounds every OperationTimeout. The limit of command lines is
    cmd.exe's, and 32,767 without it. Source: winrm/config, and CreateProcess.
    """

    shells_per_user: int = 30
    envelope_bytes: int = 500 * 1024
    timeout_s_max: float = 60.0
    idle_timeout_s: float = 7200.0
    command_line_chars: int = 8191
    command_line_chars_without_cmd: int = 32767


class Shell:
    """One shell; it lives until it is deleted, or nobody used it for its idle time-out."""

    def __init__(self, *, owner: str, client: str, opening: Opening, idle_timeout_s: float) -> None:
        self.id = str(uuid.uuid4()).upper()
        self.owner = owner
        self.client = client
        self.opening = opening
        self.idle_timeout_s = idle_timeout_s
        self.commands: dict[str, Command] = {}
        self.used_at = time.monotonic()
        self.in_use = 0
        self.alarm: threading.Timer | None = None

    def environment(self) -> dict[str, str]:
        """Return what its processes get: a search path and the variables of Create."""
        return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", **self.opening.environment}

    def directory(self) -> str | None:
        """Return its working directory; one that only Windows has is echoed and not used."""
        wanted = self.opening.working_directory
        return wanted if wanted is not None and wanted.startswith("/") else None


class Shells:
    """All shells of a server; methods may be called from any thread."""

    def __init__(self, *, limits: Limits, stand_in: StandIn) -> None:
        self._limits = limits
        self._stand_in = stand_in
        self._lock = threading.Lock()
        self._shells: dict[str, Shell] = {}

    def ids(self) -> tuple[str, ...]:
        """Return the ids of the shells that are open now, oldest first."""
        with self._lock:
            return tuple(self._shells)

    def pids(self) -> tuple[int, ...]:
        """Return the processes of all commands that have not ended."""
        with self._lock:
            commands = [one for shell in self._shells.values() for one in shell.commands.values()]
        return tuple(one.pid for one in commands if not one.has_ended)

    def open(self, opening: Opening, *, owner: str, client: str) -> Shell:
        """
        Open a shell.

        Raises:
            Faulted: its owner has as many as a user may have.
        """
        idle_timeout_s = self._limits.idle_timeout_s if opening.idle_timeout_s is None else opening.idle_timeout_s
        shell = Shell(owner=owner, client=client, opening=opening, idle_timeout_s=idle_timeout_s)
        with self._lock:
            if sum(one.owner == owner for one in self._shells.values()) >= self._limits.shells_per_user:
                raise Faulted(SHELLS_PER_USER)
            self._shells[shell.id] = shell
        self._set_alarm(shell, idle_timeout_s)
        return shell

    @contextlib.contextmanager
    def used(self, shell_id: str | None, *, user: str) -> Iterator[Shell]:
        """
        Hold a shell while a request uses it: it is not idle then.

        Raises:
            Faulted: there is none with this id, or it is another user's.
        """
        with self._lock:
            shell = self._shells.get(shell_id or "")
            if shell is None:
                raise Faulted(SHELL_GONE)
            if shell.owner != user:
                raise Faulted(ACCESS_DENIED)
            shell.in_use += 1
        try:
            yield shell
        finally:
            with self._lock:
                shell.in_use -= 1
                shell.used_at = time.monotonic()

    def start(self, shell: Shell, command_line: str, *, has_cmd: bool) -> Command:
        """
        Start the process that stands in for a command line; cmd.exe's own complaints are processes too.

        Raises:
            Faulted: without cmd.exe, there is no such program; or the shell is gone.
        """
        limits = self._limits
        most = limits.command_line_chars if has_cmd else limits.command_line_chars_without_cmd
        if len(command_line) > most:
            argv: Sequence[str] | None = _complaint("The command line is too long.")
        else:
            argv = self._stand_in(command_line)
        if argv is None and not has_cmd:
            raise Faulted(FILE_NOT_FOUND)
        if argv is None:
            program = command_line.split(" ", 1)[0]
            argv = _complaint(
                f"'{program}' is not recognized as an internal or external command,\r\noperable program or batch file."
            )
        command = Command(argv, shell.environment(), shell.directory())
        with self._lock:
            if self._shells.get(shell.id) is shell:
                shell.commands[command.id] = command
                return command
        command.release()
        raise Faulted(SHELL_GONE)

    def command(self, shell: Shell, command_id: str | None) -> Command:
        """
        Return a command of a shell.

        Raises:
            Faulted: the shell has none with this id.
        """
        with self._lock:
            command = shell.commands.get(command_id or "")
        if command is None:
            raise Faulted(COMMAND_GONE)
        return command

    def end_command(self, shell: Shell, command: Command) -> None:
        """Kill what runs of a command and forget it."""
        with self._lock:
            shell.commands.pop(command.id, None)
        command.release()

    def close(self, shell_id: str) -> None:
        """Forget a shell and kill what runs in it; one that is gone already is no error."""
        with self._lock:
            shell = self._shells.pop(shell_id, None)
            commands = [] if shell is None else list(shell.commands.values())
            if shell is not None and shell.alarm is not None:
                shell.alarm.cancel()
        for command in commands:
            command.release()

    def close_all(self) -> None:
        """Do what a restart of the service does to the shells."""
        for shell_id in self.ids():
            self.close(shell_id)

    def _set_alarm(self, shell: Shell, after_s: float) -> None:
        alarm = threading.Timer(after_s, self._close_if_idle, [shell])
        alarm.daemon = True
        with self._lock:
            if shell.id in self._shells:
                shell.alarm = alarm
                alarm.start()

    def _close_if_idle(self, shell: Shell) -> None:
        with self._lock:
            idle_s = 0.0 if shell.in_use else time.monotonic() - shell.used_at
        if idle_s >= shell.idle_timeout_s:
            self.close(shell.id)
        else:
            self._set_alarm(shell, shell.idle_timeout_s - idle_s)


def _complaint(text: str) -> Sequence[str]:
    """Return a process that says what cmd.exe says, and exits as it does."""
    return ("/bin/sh", "-c", 'printf "%s\\r\\n" "$1" >&2; exit 1', "cmd", text)
