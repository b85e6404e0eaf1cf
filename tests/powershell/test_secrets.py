"""Secrets over a session with PowerShell: refused before anything is sent, masked in text and in CLIXML."""

import html
from dataclasses import replace
from pathlib import Path

import pytest

from remedy.port import Captured, CollectorEnding, FixEnding
from remedy.secrets import SecretReference
from remedy_runners.secrets import Secrets
from tests.powershell.scripted import Scripted, ScriptedSession, a_collector, a_fix, line, says

VALUE = 'tok<en & "qu\'ote" of-a-secret'
_ENVIRONMENT = {"REMEDY_PARAM_TOKEN": SecretReference("env:PLANTED")}
STARTED = line("started boot-1")


def _session(process: Scripted, **environment: str) -> ScriptedSession:
    session = ScriptedSession(process)
    session._secrets = Secrets(environment=environment, home=Path("/nonexistent"))
    return session


def test_fix_without_its_secret_is_refused_and_nothing_is_sent() -> None:
    """The reference is named; no process is started."""
    permit, job = a_fix()
    session = _session(says(b""))

    result = session.fix(permit, replace(job, environment=_ENVIRONMENT))

    assert result.ending is FixEnding.REFUSED
    assert "env:PLANTED is not set" in result.reason
    assert session.commands == []


def test_collector_without_its_secret_spoils_only_itself() -> None:
    """The others are asked; it ends as refused, with the reference named."""
    session = _session(says(STARTED + b'{"free": 1}\n' + line("end 0 ")))
    without = replace(a_collector("needs"), environment=_ENVIRONMENT)

    outputs = session.collect([without, a_collector("disk")]).outputs

    assert outputs["needs"].ending is CollectorEnding.REFUSED
    assert "env:PLANTED is not set" in outputs["needs"].reason
    assert outputs["disk"].ending is CollectorEnding.EXITED
    assert len(session.commands) == 1


def test_value_is_masked_on_both_streams_and_in_clixml() -> None:
    """PowerShell's error stream is XML with marks of its own, and wraps lines at 80 columns."""
    wrapped = "_x000D__x000A_".join(html.escape(part, quote=False) for part in (VALUE[:9], VALUE[9:]))
    block = f'#< CLIXML\r\n<Objs xmlns="x"><S S="Error">no: {wrapped}_x000D__x000A_</S></Objs>'
    permit, job = a_fix()
    process = says(STARTED + f"login {VALUE}\n".encode() + line("exit 1 "), stderr=block.encode())

    result = _session(process, PLANTED=VALUE).fix(permit, replace(job, environment=_ENVIRONMENT))

    assert result.ending is FixEnding.FINISHED
    assert result.stdout.kept.strip() == b"login ***"
    assert result.stderr.kept.strip() == b"no: ***"
    assert result.stdout.masked == result.stderr.masked == ("secret env:PLANTED",)


def _said_of(stderr: bytes) -> Captured:
    """Return what is kept of the standard error of a fix that was handed the secret."""
    permit, job = a_fix()
    process = says(STARTED + line("exit 1 "), stderr=stderr)
    return _session(process, PLANTED="0123456789abcdefghij").fix(permit, replace(job, environment=_ENVIRONMENT)).stderr


_HALVES = b'<S S="Error">no: 0123456789_x000D__x000A_</S><S S="Error">abcdefghij_x000D__x000A_</S>'


def test_value_in_two_lines_of_clixml_that_breaks_off_is_masked() -> None:
    """A block without its end cannot be decoded; its lines are kept, and what was cut in two between them is hidden."""
    said = _said_of(b"#< CLIXML\r\n<Objs xmlns='x'>" + _HALVES + b'<S S="Error">the end of')

    assert said.kept.split() == [b"#<", b"CLIXML", b"no:", b"***", b"the", b"end", b"of"]
    assert said.masked == ("secret env:PLANTED",)


def test_damaged_clixml_beside_a_whole_block_is_masked_too() -> None:
    """One block that was decoded says nothing about the next."""
    said = _said_of(b"#< CLIXML\r\n<Objs>" + _HALVES + b"</Objs>#< CLIXML\r\n<Objs>" + _HALVES)

    assert said.kept.count(b"***") == 2
    assert b"01234" not in said.kept
    assert b"fghij" not in said.kept


@pytest.mark.parametrize("before", [b"", b"plain text " * 110_000])
def test_clixml_too_long_to_be_decoded_is_not_kept(before: bytes) -> None:
    """Where a secret may be in it, its size and digest stand in its place; where there is none, all is as ever."""
    block = b"#< CLIXML\r\n<Objs>" + _HALVES + b'<S S="Error">x</S>' * 60_000 + _HALVES

    said = _said_of(before + block)

    assert said.complete
    assert said.kept.startswith(b"not kept: ")
    assert said.kept.endswith(b"are more than 1048576 and may hold a secret\n")
    assert str(len(before + block)).encode() in said.kept
    permit, job = a_fix()
    assert _session(says(STARTED + line("exit 1 "), stderr=block)).fix(permit, job).stderr.tail.endswith(_HALVES)


def test_collector_that_prints_its_secret_has_no_rows() -> None:
    """Rows with a secret in them are not kept, not even with stars in its place."""
    process = says(STARTED + f'{{"free": "{VALUE}"}}\n'.encode() + line("end 0 "))
    job = replace(a_collector(), environment=_ENVIRONMENT)

    output = _session(process, PLANTED=VALUE).collect([job]).outputs["disk"]

    assert output.ending is CollectorEnding.PRINTED_SECRET
    assert output.reason == "it printed the secret env:PLANTED; its rows are not kept"
    assert VALUE.encode() not in output.stdout.kept


def test_words_of_the_host_in_a_reason_are_masked() -> None:
    """What a hold file says is shown; a secret that somebody wrote into it is not."""
    permit, job = a_fix()
    process = says(line(f"held since {VALUE}") + line("load 1 "), status=1)

    result = _session(process, PLANTED=VALUE).fix(permit, replace(job, environment=_ENVIRONMENT))

    assert result.ending is FixEnding.HOST_HOLD
    assert result.reason == "since ***"
