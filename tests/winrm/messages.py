"""
SOAP as MS-WSMV has it: requests read into values, answers written in the shape that Windows sends.

Source: [MS-WSMV] sections 2.2 and 3.1.4, and the exchanges with Windows hosts recorded in the pypsrp 0.9.1 sdist.
"""

import base64
import binascii
import re
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

__all__ = [
    "CMD_SHELL",
    "CREATE",
    "DELETE",
    "FAULT",
    "SHELL",
    "TRANSFER",
    "InvalidBody",
    "Malformed",
    "Message",
    "Opening",
    "duration_s",
    "envelope",
    "read_arguments",
    "read_command_id",
    "read_input",
    "read_message",
    "read_opening",
    "read_signal",
    "received",
]

SOAP = "http://www.w3.org/2003/05/soap-envelope"
ADDRESSING = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
TRANSFER = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
WSMAN = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
MICROSOFT = "http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd"
SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
CMD_SHELL = f"{SHELL}/cmd"
FAULT = "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault"
ANONYMOUS = f"{ADDRESSING}/role/anonymous"
CREATE = f"{TRANSFER}/Create"
DELETE = f"{TRANSFER}/Delete"
_NAMES = {"s": SOAP, "a": ADDRESSING, "w": WSMAN, "rsp": SHELL}
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")


class Malformed(Exception):
    """The body of a request is no SOAP envelope."""


class InvalidBody(Exception):
    """An envelope's body is not as the schema of its action wants it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One request; `action` is the whole URI, `name` its last word (Create, Command, …)."""

    action: str
    message_id: str
    resource_uri: str
    shell_id: str | None
    operation_timeout_s: float
    envelope_bytes_max: int
    options: Mapping[str, str]
    body: ET.Element

    @property
    def name(self) -> str:
        return self.action.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a Create asks of its shell; None where it says nothing."""

    input_streams: str
    output_streams: str
    idle_timeout_s: float | None
    working_directory: str | None
    environment: Mapping[str, str]


def duration_s(text: str) -> float:
    """
    Return the seconds of an xs:duration without years and months.

    Raises:
        InvalidBody: it is none, a bare number for instance.
    """
    found = _DURATION.fullmatch(text)
    if not found or not any(found.groups()):
        raise InvalidBody(f"no duration: {text!r}")
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def read_message(data: bytes) -> Message:
    """
    Read an envelope.

    Raises:
        Malformed: no XML, no envelope, or without an action, a message id or a usable time-out.
    """
    try:
        root = ET.fromstring(data)
    except (ET.ParseError, ValueError) as exc:
        raise Malformed(str(exc)) from exc
    header, body = root.find("s:Header", _NAMES), root.find("s:Body", _NAMES)
    if header is None or body is None:
        raise Malformed("no envelope")
    action, message_id = (header.findtext(f"a:{name}", "", _NAMES).strip() for name in ("Action", "MessageID"))
    if not action or not message_id:
        raise Malformed("no action or no message id")
    selectors = {one.get("Name"): one.text or "" for one in header.iterfind("w:SelectorSet/w:Selector", _NAMES)}
    options = header.iterfind("w:OptionSet/w:Option", _NAMES)
    try:
        return Message(
            action=action,
            message_id=message_id,
            resource_uri=header.findtext("w:ResourceURI", "", _NAMES).strip(),
            shell_id=selectors.get("ShellId"),
            operation_timeout_s=duration_s(header.findtext("w:OperationTimeout", "PT60S", _NAMES)),
            envelope_bytes_max=int(header.findtext("w:MaxEnvelopeSize", "153600", _NAMES)),
            options={one.get("Name", ""): one.text or "" for one in options},
            body=body,
        )
    except (InvalidBody, ValueError) as exc:
        raise Malformed(str(exc)) from exc


def read_opening(message: Message) -> Opening:
    """
    Read what a Create asks.

    Raises:
        InvalidBody: it has no shell, or its idle time-out is no duration.
    """
    shell = message.body.find("rsp:Shell", _NAMES)
    if shell is None:
        raise InvalidBody("Create without rsp:Shell")
    idle = shell.findtext("rsp:IdleTimeOut", None, _NAMES)
    variables = shell.iterfind("rsp:Environment/rsp:Variable", _NAMES)
    return Opening(
        input_streams=shell.findtext("rsp:InputStreams", "stdin", _NAMES),
        output_streams=shell.findtext("rsp:OutputStreams", "stdout stderr", _NAMES),
        idle_timeout_s=None if idle is None else duration_s(idle),
        working_directory=shell.findtext("rsp:WorkingDirectory", None, _NAMES),
        environment={one.get("Name", ""): one.text or "" for one in variables},
    )


def read_arguments(message: Message) -> str:
    """
    Return the command line of a Command: command and arguments with one space between.

    Raises:
        InvalidBody: it names no command.
    """
    command = message.body.findtext("rsp:CommandLine/rsp:Command", "", _NAMES)
    if not command:
        raise InvalidBody("Command without rsp:Command")
    arguments = (one.text or "" for one in message.body.iterfind("rsp:CommandLine/rsp:Arguments", _NAMES))
    return " ".join((command, *arguments))


def read_input(message: Message) -> tuple[str | None, bytes, bool]:
    """
    Return of a Send: its command's id, the bytes, and whether no more will come.

    Raises:
        InvalidBody: it is not for stdin, or it is no base64.
    """
    stream = message.body.find("rsp:Send/rsp:Stream", _NAMES)
    if stream is None or stream.get("Name") != "stdin":
        raise InvalidBody("Send without a stream stdin")
    try:
        data = base64.b64decode(stream.text or "", validate=True)
    except binascii.Error as exc:
        raise InvalidBody(str(exc)) from exc
    return stream.get("CommandId"), data, stream.get("End", "").lower() == "true"


def read_command_id(message: Message) -> str | None:
    """Return the id of the command whose output a Receive wants; None: it names none."""
    stream = message.body.find("rsp:Receive/rsp:DesiredStream", _NAMES)
    return None if stream is None else stream.get("CommandId")


def read_signal(message: Message) -> tuple[str | None, str]:
    """Return of a Signal: its command's id and the code's URI."""
    signal = message.body.find("rsp:Signal", _NAMES)
    if signal is None:
        return None, ""
    return signal.get("CommandId"), signal.findtext("rsp:Code", "", _NAMES).strip()


def envelope(action: str, relates_to: str | None, body: str) -> bytes:
    """Return an answer: header and body as Windows writes them, with ids of its own."""
    relation = "" if relates_to is None else f"<a:RelatesTo>{escape(relates_to)}</a:RelatesTo>"
    return (
        f'<s:Envelope xml:lang="en-US" xmlns:s="{SOAP}" xmlns:a="{ADDRESSING}" xmlns:x="{TRANSFER}" '
        f'xmlns:w="{WSMAN}" xmlns:rsp="{SHELL}" xmlns:p="{MICROSOFT}"><s:Header><a:Action>{action}</a:Action>'
        f"<a:MessageID>uuid:{_new_id()}</a:MessageID><p:ActivityId>{_new_id()}</p:ActivityId>"
        f"<a:To>{ANONYMOUS}</a:To>{relation}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def received(
    command_id: str, output: Iterable[tuple[str, bytes]], *, ended: Iterable[str], exit_code: int | None
) -> str:
    """Return the body of a Receive's answer; `ended` are streams at their end, an exit code says Done."""
    name = quoteattr(command_id)
    streams = [
        f'<rsp:Stream Name="{stream}" CommandId={name}>{base64.b64encode(data).decode()}</rsp:Stream>'
        for stream, data in output
    ]
    streams += [f'<rsp:Stream Name="{stream}" CommandId={name} End="true"></rsp:Stream>' for stream in ended]
    state = "Running" if exit_code is None else "Done"
    code = "" if exit_code is None else f"<rsp:ExitCode>{exit_code}</rsp:ExitCode>"
    return (
        f"<rsp:ReceiveResponse>{''.join(streams)}<rsp:CommandState CommandId={name} "
        f'State="{SHELL}/CommandState/{state}">{code}</rsp:CommandState></rsp:ReceiveResponse>'
    )


def _new_id() -> str:
    return str(uuid.uuid4()).upper()
