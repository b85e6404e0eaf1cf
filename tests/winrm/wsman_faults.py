"""
The faults of MS-WSMV that the server answers with, in the shape that Windows sends.

Texts and subcodes: 2150858793, 2150858843, 87 and 2147942402 as recorded from Windows hosts (pypsrp 0.9.1 sdist);
2150859173, 2150858817 and 995 as public issue reports quote them. The text of SHELL_GONE, and all of ACCESS_DENIED and
ACTION_NOT_KNOWN, are not from a recording. Clients should go by the code.
"""

from dataclasses import dataclass
from xml.sax.saxutils import escape

__all__ = [
    "ABORTED",
    "ACCESS_DENIED",
    "ACTION_NOT_KNOWN",
    "COMMAND_GONE",
    "FILE_NOT_FOUND",
    "INVALID_PARAMETER",
    "OPERATION_TIMEOUT",
    "SCHEMA",
    "SHELLS_PER_USER",
    "SHELL_GONE",
    "Faulted",
    "WSManFault",
    "scripted",
]

_DETAIL = "http://schemas.dmtf.org/wbem/wsman/1/wsman/faultDetail/"
_PROVIDER = r'<f:ProviderFault provider="Shell cmd plugin" path="%systemroot%\system32\winrscmd.dll">'


@dataclass(frozen=True, slots=True, kw_only=True)
class WSManFault:
    """One fault; `detail` is the last word of its FaultDetail, and a provider's own is wrapped as Windows does."""

    code: int
    blames: str
    subcode: str
    reason: str
    message: str | None = None
    detail: str | None = None
    by_provider: bool = False

    def body(self, machine: str) -> str:
        """Return the content of the envelope's body."""
        detail = f"<w:FaultDetail>{_DETAIL}{self.detail}</w:FaultDetail>" if self.detail else ""
        message = escape(self.message or self.reason)
        if self.by_provider:
            message = f"{_PROVIDER}{message}</f:ProviderFault>"
        return (
            f"<s:Fault><s:Code><s:Value>s:{self.blames}</s:Value><s:Subcode><s:Value>{self.subcode}</s:Value>"
            f'</s:Subcode></s:Code><s:Reason><s:Text xml:lang="en-US">{escape(self.reason)}</s:Text></s:Reason>'
            f'<s:Detail>{detail}<f:WSManFault xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault" '
            f'Code="{self.code}" Machine="{escape(machine)}"><f:Message>{message}</f:Message></f:WSManFault>'
            "</s:Detail></s:Fault>"
        )


class Faulted(Exception):
    """Ends the handling of a request with a fault."""

    def __init__(self, fault: WSManFault) -> None:
        super().__init__(f"{fault.code}: {fault.message or fault.reason}")
        self.fault = fault


_SELECTORS = (
    "The WS-Management service cannot process the request because the request contained invalid selectors for the"
    " resource. "
)
OPERATION_TIMEOUT = WSManFault(
    code=2150858793,
    blames="Receiver",
    subcode="w:TimedOut",
    reason="The WS-Management service cannot complete the operation within the time specified in OperationTimeout.  ",
)
COMMAND_GONE = WSManFault(
    code=2150858843,
    blames="Sender",
    subcode="w:InvalidSelectors",
    reason=_SELECTORS,
    message="The Windows Remote Shell received a request to perform an operation on a command identifier that does"
    " not exist. Either the command has completed execution or the client specified an invalid command identifier. ",
    detail="UnexpectedSelectors",
)
SHELL_GONE = WSManFault(
    code=2150858843,
    blames="Sender",
    subcode="w:InvalidSelectors",
    reason=_SELECTORS,
    message="The request for the Windows Remote Shell with this ShellId failed because the shell was not found on the"
    " server. Possible causes are: the specified ShellId is incorrect or the shell no longer exists on the server. ",
    detail="UnexpectedSelectors",
)
INVALID_PARAMETER = WSManFault(
    code=87,
    blames="Sender",
    subcode="w:InvalidParameter",
    reason="The parameter is incorrect. ",
    detail="InvalidValue",
    by_provider=True,
)
FILE_NOT_FOUND = WSManFault(
    code=2147942402,
    blames="Receiver",
    subcode="w:InternalError",
    reason="The system cannot find the file specified. ",
    by_provider=True,
)
SHELLS_PER_USER = WSManFault(
    code=2150859173,
    blames="Receiver",
    subcode="w:QuotaLimit",
    reason="The WS-Management service cannot process the request. The maximum number of concurrent shells for this"
    " user has been exceeded. Close existing shells or raise the quota for this user. ",
)
SCHEMA = WSManFault(
    code=2150858817,
    blames="Sender",
    subcode="w:SchemaValidationError",
    reason="The SOAP XML in the message does not match the corresponding XML schema definition. ",
)
ACTION_NOT_KNOWN = WSManFault(
    code=2150858753,
    blames="Sender",
    subcode="a:ActionNotSupported",
    reason="The WS-Management service cannot process the request because the action URI is not known to it. ",
)
ACCESS_DENIED = WSManFault(code=5, blames="Sender", subcode="w:AccessDenied", reason="Access is denied. ")
ABORTED = WSManFault(
    code=995,
    blames="Receiver",
    subcode="w:InternalError",
    reason="The I/O operation has been aborted because of either a thread exit or an application request. ",
    by_provider=True,
)
_KNOWN = {one.code: one for one in (OPERATION_TIMEOUT, SHELL_GONE, INVALID_PARAMETER, SHELLS_PER_USER, ABORTED, SCHEMA)}


def scripted(code: int) -> WSManFault:
    """Return the fault with this code; one that has no text here is an internal error with that code."""
    return _KNOWN.get(code) or WSManFault(
        code=code, blames="Receiver", subcode="w:InternalError", reason=f"Scripted fault {code}. "
    )
