"""What can be said of Kerberos without any: whose ticket is asked for, and which encrypted answers count."""

import struct

import pytest
import requests

from remedy_runners.winrm.kerberos import Answers, service_of

_HEADER = (
    b"--Encrypted Boundary\r\n"
    b"\tContent-Type: application/HTTP-SPNEGO-session-encrypted\r\n"
    b"\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length=9\r\n"
)


def _token(number: int, *, start: bytes = b"\x05\x04\x07\xff\x00\x00\x00\x1c") -> bytes:
    return start + number.to_bytes(8, "big") + bytes(44)


def _part(token: bytes) -> bytes:
    sealed = struct.pack("<i", len(token)) + token + b"encrypted"
    return _HEADER + b"--Encrypted Boundary\r\n\tContent-Type: application/octet-stream\r\n" + sealed


def _answer(number: int) -> bytes:
    return _part(_token(number)) + b"--Encrypted Boundary--\r\n"


@pytest.mark.parametrize("first", [0, 722_568_494, 2**64 - 2])
def test_answers_in_their_order_count(first: int) -> None:
    """A host begins to count wherever it likes, and goes on one by one, also over the end of 64 bits."""
    answers = Answers()

    for number in range(first, first + 4):
        answers.check(_answer(number % 2**64))


@pytest.mark.parametrize("number", [6, 7, 9, 0])
def test_answer_that_is_not_the_next_one_is_none(number: int) -> None:
    """After number 7 only 8 counts: not the same again, not an earlier one, none after a gap."""
    answers = Answers()
    answers.check(_answer(7))

    with pytest.raises(requests.ConnectionError, match="not the next one"):
        answers.check(_answer(number))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"<xml/>", id="clear text"),
        pytest.param(_part(_token(1, start=b"\x05\x04\x05\xff\x00\x00\x00\x1c")), id="signed, not encrypted"),
        pytest.param(_part(_token(1, start=b"\x60\x3f\x06\x09\x2a\x86\x48\x86")), id="RC4"),
        pytest.param(_part(b"\x05\x04\x07"), id="cut off"),
        pytest.param(_part(_token(1)) + _part(_token(2)), id="two in one"),
    ],
)
def test_answer_that_is_not_encrypted_as_it_should_be_is_none(body: bytes) -> None:
    """Only one whole message, encrypted with AES, is an answer."""
    with pytest.raises(requests.ConnectionError, match="not encrypted as Kerberos does"):
        Answers().check(body)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_ticket_is_asked_for_the_name_in_the_endpoint(scheme: str) -> None:
    """The whole name of the service: nothing that DNS could replace is left."""
    assert service_of(f"{scheme}://Web-1.corp.example:5985/wsman") == "HTTP/web-1.corp.example"
