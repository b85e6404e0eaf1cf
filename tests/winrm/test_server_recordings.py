"""The loopback server against exchanges recorded from Windows hosts: the same requests get answers of one shape."""

import base64
import json
import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence

import pytest
import requests

from tests.winrm.recordings import Exchange, NotToBeHad, load_recordings
from tests.winrm.server import Authority, WinRMServer
from tests.winrm.shapes import shape

pytestmark = pytest.mark.slow

ALLOWED: Mapping[str, str] = {
    "+ /Envelope/Header/ActivityId": "the older of the recorded hosts do not send it; this server always does",
}
"""Lines that only this server has (+) or only Windows (-), each with the reason why that is no fault."""
PREFIXES = ("test_winrs_", "test_client_execute_cmd")
_RSP = "{http://schemas.microsoft.com/wbem/wsman/1/windows/shell}"
_PROGRAM = """
import json, os, sys, time
plan = json.loads(sys.argv[1])
if plan["reads"]:
    sys.stdin.buffer.read()
for seconds, pieces in plan["steps"]:
    for fd, text in pieces:
        os.write(fd, text.encode())
    time.sleep(seconds)
sys.exit(plan["code"])
"""


@pytest.fixture(scope="module")
def recordings(pytestconfig: pytest.Config) -> Mapping[str, tuple[Exchange, ...]]:
    assert pytestconfig.cache is not None
    try:
        return load_recordings(pytestconfig.cache.mkdir("winrm-recordings"), PREFIXES)
    except NotToBeHad as exc:
        pytest.skip(f"the recordings in the sdist pypsrp 0.9.1 are not to be had: {exc}")


class Replay:
    """One recording, sent to a server of ours; ids of the recording become those that the server gave."""

    def __init__(self, exchanges: Sequence[Exchange], authority: Authority) -> None:
        self._exchanges = exchanges
        self._commands = [one for one in exchanges if "shell/Command<" in one.request]
        self._server = WinRMServer(self._stand_in, tls=authority)
        self._ids: dict[str, str] = {}

    def answers(self) -> Iterator[tuple[Exchange, int, bytes]]:
        """Yield each exchange with the status and the body that our server answers."""
        with self._server as server, requests.Session() as session:
            session.auth = (server.user, server.password)
            session.trust_env = False
            session.verify = str(server.ca_file)
            for exchange in self._exchanges:
                request = _shortened(exchange.request)
                for recorded, ours in self._ids.items():
                    request = request.replace(recorded, ours)
                status, body = _post(session, server.url, request)
                while b"CommandState/Running" in body and "CommandState/Done" in exchange.response:
                    status, more = _post(session, server.url, request)
                    body = _joined(body, more)
                self._ids |= _same_ids(exchange.response, body.decode())
                yield exchange, status, body

    def _stand_in(self, command_line: str) -> Sequence[str] | None:
        """Return a process that writes what the recorded command wrote, or None for a program that was not found."""
        command = self._commands.pop(0)
        if command.status != 200:
            return None
        return (
            sys.executable,
            "-c",
            _PROGRAM,
            json.dumps(_plan(self._exchanges, _id_of("CommandId", command.response))),
        )


def _plan(exchanges: Sequence[Exchange], command_id: str) -> dict[str, object]:
    """Return what a command's process is to do, from the recorded answers to its Receives."""
    steps: list[tuple[float, list[tuple[int, str]]]] = [(0.0, [])]
    code = 0
    for one in exchanges:
        if f'DesiredStream CommandId="{command_id}"' not in one.request:
            continue
        root = ET.fromstring(one.response)
        if one.status != 200:
            steps.append((1.0, []))  # The time-out that `_shortened` puts into every request.
            continue
        exit_code = root.findtext(f".//{_RSP}ExitCode")
        steps.append((0.7 if exit_code is None else 0.0, _output(root)))
        code = int(exit_code or 0)
    reads = any("<rsp:Send>" in one.request and command_id in one.request for one in exchanges)
    return {"steps": steps, "code": code, "reads": reads}


def _output(answer: ET.Element) -> list[tuple[int, str]]:
    """Return what an answer to Receive carries, by file descriptor; each stream in one piece, to be written at once."""
    whole = {"stdout": b"", "stderr": b""}
    for stream in answer.iter(f"{_RSP}Stream"):
        whole[stream.attrib["Name"]] += base64.b64decode(stream.text or "")
    return [(fd, data.decode("utf-8", "replace")) for fd, data in enumerate(whole.values(), 1) if data]


def _post(session: requests.Session, url: str, request: str) -> tuple[int, bytes]:
    answer = session.post(url, request.encode(), headers={"Content-Type": "application/soap+xml;charset=UTF-8"})
    return answer.status_code, answer.content


def _shortened(request: str) -> str:
    """Return a request that waits one second where the recorded one waited longer: only Receive waits."""
    if "shell/Receive<" not in request:
        return request
    return re.sub(r"(OperationTimeout>)PT\d+S", r"\1PT1S", request)


def _joined(first: bytes, second: bytes) -> bytes:
    """Return the second answer to a Receive with the streams of the first before its own."""
    streams = b"".join(re.findall(rb"<rsp:Stream .*?</rsp:Stream>", first))
    return second.replace(b"<rsp:ReceiveResponse>", b"<rsp:ReceiveResponse>" + streams)


def _id_of(name: str, response: str) -> str:
    found = re.search(rf"<rsp:{name}>([^<]+)<", response)
    assert found is not None
    return found[1]


def _same_ids(recorded: str, ours: str) -> dict[str, str]:
    names = [name for name in ("ShellId", "CommandId") if f"<rsp:{name}>" in recorded and f"<rsp:{name}>" in ours]
    return {_id_of(name, recorded): _id_of(name, ours) for name in names}


def _differences(exchange: Exchange, status: int, body: bytes) -> list[str]:
    recorded, ours = shape(exchange.response), shape(body)
    missing = [f"- {line}" for line in recorded if line not in ours]
    added = [f"+ {line}" for line in ours if line not in recorded]
    order = [line for line in recorded if line in ours] != [line for line in ours if line in recorded]
    return [
        *([f"status {status}, recorded {exchange.status}"] if status != exchange.status else []),
        *(line for line in (*missing, *added) if line not in ALLOWED),
        *(["the order differs"] if order else []),
    ]


def test_recorded_requests_get_answers_of_the_recorded_shape(
    recordings: Mapping[str, tuple[Exchange, ...]], authority: Authority
) -> None:
    """Every recorded request of a WinRS client is answered in the shape of Windows, but for what is allowed by name."""
    differences, compared = [], 0

    for name, exchanges in recordings.items():
        for exchange, status, body in Replay(exchanges, authority).answers():
            compared += 1
            differences += [f"{name}: {line}" for line in _differences(exchange, status, body)]

    assert differences == []
    assert compared >= 60


def test_each_allowed_difference_is_seen(recordings: Mapping[str, tuple[Exchange, ...]]) -> None:
    """An allowance that no recording needs is taken off the list."""
    shapes = [shape(exchange.response) for exchanges in recordings.values() for exchange in exchanges]

    assert {line for line in ALLOWED if any(line[2:] not in one for one in shapes)} == set(ALLOWED)
