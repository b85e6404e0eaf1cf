"""What a server does with one message of a known user: Create, Command, Send, Receive, Signal, Delete."""

from xml.sax.saxutils import escape, quoteattr

from tests.winrm.commands import STREAMS, Command
from tests.winrm.messages import (
    CMD_SHELL,
    CREATE,
    DELETE,
    SHELL,
    InvalidBody,
    Message,
    Opening,
    read_arguments,
    read_command_id,
    read_input,
    read_opening,
    read_signal,
    received,
)
from tests.winrm.shells import Limits, Shell, Shells
from tests.winrm.wsman_faults import ACTION_NOT_KNOWN, COMMAND_GONE, INVALID_PARAMETER, SCHEMA, Faulted

__all__ = ["Service"]

_ENVELOPE_BYTES = 4096
"""What is kept of an envelope for its header and the tags of the streams."""


class Service:
    """The shell service over a server's shells; one for all its connections."""

    def __init__(self, *, shells: Shells, limits: Limits, url: str) -> None:
        self._shells = shells
        self._limits = limits
        self._url = url

    def answer(self, message: Message, *, user: str, client: str) -> str:
        """
        Do what a message asks and return the body of the answer.

        Raises:
            Faulted: it cannot be done.
        """
        try:
            if message.action == CREATE:
                return self._create(read_opening(message), user=user, client=client)
            with self._shells.used(message.shell_id, user=user) as shell:
                return self._answer_in(shell, message)
        except InvalidBody as exc:
            raise Faulted(SCHEMA) from exc

    def _answer_in(self, shell: Shell, message: Message) -> str:
        match message.action.removeprefix(f"{SHELL}/"):
            case "Command":
                has_cmd = message.options.get("WINRS_SKIP_CMD_SHELL", "").lower() not in ("true", "1")
                command = self._shells.start(shell, read_arguments(message), has_cmd=has_cmd)
                return f"<rsp:CommandResponse><rsp:CommandId>{command.id}</rsp:CommandId></rsp:CommandResponse>"
            case "Send":
                command_id, data, end = read_input(message)
                command = self._shells.command(shell, command_id)
                command.send(data, end=end, timeout_s=self._timeout_s(message))
                return "<rsp:SendResponse/>"
            case "Receive":
                return self._receive(shell, message)
            case "Signal":
                return self._signal(shell, message)
            case _ if message.action == DELETE:
                self._shells.close(shell.id)
                return ""
            case _:
                raise Faulted(ACTION_NOT_KNOWN)

    def _create(self, opening: Opening, *, user: str, client: str) -> str:
        shell = self._shells.open(opening, owner=user, client=client)
        return (
            f"<x:ResourceCreated><a:Address>{escape(self._url)}</a:Address><a:ReferenceParameters>"
            f"<w:ResourceURI>{CMD_SHELL}</w:ResourceURI><w:SelectorSet>"
            f'<w:Selector Name="ShellId">{shell.id}</w:Selector></w:SelectorSet></a:ReferenceParameters>'
            f'</x:ResourceCreated><rsp:Shell xmlns:rsp="{SHELL}"><rsp:ShellId>{shell.id}</rsp:ShellId>'
            f"<rsp:ResourceUri>{CMD_SHELL}</rsp:ResourceUri><rsp:Owner>{escape(user)}</rsp:Owner>"
            f"<rsp:ClientIP>{client}</rsp:ClientIP>{_echo(opening)}"
            f"<rsp:IdleTimeOut>PT{shell.idle_timeout_s:.3f}S</rsp:IdleTimeOut>"
            f"<rsp:InputStreams>{escape(opening.input_streams)}</rsp:InputStreams>"
            f"<rsp:OutputStreams>{escape(opening.output_streams)}</rsp:OutputStreams>"
            "<rsp:ShellRunTime>P0DT0H0M0S</rsp:ShellRunTime><rsp:ShellInactivity>P0DT0H0M0S</rsp:ShellInactivity>"
            "</rsp:Shell>"
        )

    def _receive(self, shell: Shell, message: Message) -> str:
        """Wait for output; once a command's end was received, it is there only to be signalled."""
        command_id = read_command_id(message)
        if command_id is None:
            raise Faulted(INVALID_PARAMETER)  # As winrscmd.dll says, recorded.
        command = self._shells.command(shell, command_id)
        if command.end_was_taken:
            raise Faulted(COMMAND_GONE)
        room = min(self._limits.envelope_bytes, message.envelope_bytes_max) - _ENVELOPE_BYTES
        output = command.take(timeout_s=self._timeout_s(message), bytes_max=max(room, _ENVELOPE_BYTES) * 3 // 4)
        ended = STREAMS if output.exit_code is not None else ()
        return received(command.id, output.pieces, ended=ended, exit_code=output.exit_code)

    def _signal(self, shell: Shell, message: Message) -> str:
        command_id, code = read_signal(message)
        command: Command = self._shells.command(shell, command_id)
        match code.removeprefix(f"{SHELL}/signal/"):
            case "terminate":
                self._shells.end_command(shell, command)
            case "ctrl_c" | "ctrl_break" if command.end_was_taken:
                self._shells.end_command(shell, command)
            case "ctrl_c" | "ctrl_break":
                command.interrupt()
            case _:
                raise Faulted(INVALID_PARAMETER)
        return "<rsp:SignalResponse/>"

    def _timeout_s(self, message: Message) -> float:
        return min(message.operation_timeout_s, self._limits.timeout_s_max)


def _echo(opening: Opening) -> str:
    """Return what Create repeats of a request, in the order in which Windows does."""
    variables = "".join(
        f"<rsp:Variable Name={quoteattr(name)}>{escape(value)}</rsp:Variable>"
        for name, value in opening.environment.items()
    )
    environment = f"<rsp:Environment>{variables}</rsp:Environment>" if variables else ""
    if opening.working_directory is None:
        return environment
    return f"{environment}<rsp:WorkingDirectory>{escape(opening.working_directory)}</rsp:WorkingDirectory>"
