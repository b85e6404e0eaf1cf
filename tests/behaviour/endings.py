"""How a script ended is what is heard: its exit code, its deadline, and that nobody else's is mixed in."""

import time

import pytest

from remedy.port import CollectorEnding, FixEnding
from tests.behaviour.host import Host

_CODES = (0, 1, 90, 97, 124, 126, 137, 143, 255)
_SOME = (0, 3, 124, 137, 255)


def test_exit_code_of_a_fix_is_exact(host: Host) -> None:
    """Every exit code comes back as it is, also those that loaders and deadlines use, with what was printed."""
    session = host.connect()

    results = [session.fix(*host.fix(f"echo out; echo err >&2; exit {code}".encode())) for code in _CODES]

    assert [(each.ending, each.exit_code) for each in results] == [(FixEnding.FINISHED, code) for code in _CODES]
    assert {(each.stdout.kept, each.stderr.kept) for each in results} == {(b"out\n", b"err\n")}


def test_exit_code_of_a_collector_is_exact(host: Host) -> None:
    """Each of several collectors has its own exit code."""
    jobs = [host.collector(f"echo {code}; exit {code}".encode(), signal=f"s{code}") for code in _SOME]

    outputs = host.connect().collect(jobs).outputs

    assert {name: (each.ending, each.exit_code, each.stdout.head) for name, each in outputs.items()} == {
        f"s{code}": (CollectorEnding.EXITED, code, f"{code}\n".encode()) for code in _SOME
    }


def test_spoiled_collectors_leave_others_alone(host: Host) -> None:
    """One that hangs, fails, floods or prints rubbish spoils only itself: the good ones are intact."""
    jobs = [
        host.collector(b"echo first", signal="first"),
        host.collector(b"echo begun; sleep 60", signal="hangs", timeout_s=1),
        host.collector(b"exit 3", signal="fails"),
        host.collector(b"yes", signal="floods"),
        host.collector(b"head -c 5000 /dev/urandom", signal="rubbish"),
        host.collector(b"if true", signal="syntax"),
        host.collector(b"echo last", signal="last"),
    ]

    outputs = host.connect().collect(jobs).outputs

    assert (outputs["first"].stdout.head, outputs["last"].stdout.head) == (b"first\n", b"last\n")
    assert {outputs[each].ending for each in ("first", "rubbish", "last")} == {CollectorEnding.EXITED}
    assert (outputs["hangs"].ending, outputs["hangs"].exit_code) == (CollectorEnding.TIMED_OUT, None)
    assert outputs["hangs"].stdout.head == b"begun\n"
    assert (outputs["fails"].ending, outputs["fails"].exit_code) == (CollectorEnding.EXITED, 3)
    assert (outputs["floods"].ending, outputs["floods"].exit_code) == (CollectorEnding.TOO_MUCH_OUTPUT, None)
    assert outputs["rubbish"].stdout.size == 5000
    assert (outputs["syntax"].ending, outputs["syntax"].exit_code) == (CollectorEnding.EXITED, 2)


def test_deadline_of_a_fix_is_heard(host: Host) -> None:
    """A fix that the host ends at its deadline is `timed_out`, not `lost`, with what it printed until then."""
    began = time.monotonic()

    result = host.connect().fix(*host.fix(b"echo begun; echo err >&2; sleep 60; echo never", timeout_s=1))

    assert (result.ending, result.exit_code) == (FixEnding.TIMED_OUT, None)
    assert (result.stdout.kept, result.stderr.kept) == (b"begun\n", b"err\n")
    assert "1 s" in result.reason
    assert 1 <= time.monotonic() - began < 8


def test_silence_is_no_end(host: Host) -> None:
    """A script that prints nothing for longer than one listens at once is waited for."""
    result = host.connect().fix(*host.fix(b"echo begun; sleep 1.2; echo done; exit 9"))

    assert (result.ending, result.exit_code, result.stdout.kept) == (FixEnding.FINISHED, 9, b"begun\ndone\n")


def test_fix_that_differs_from_its_permit_is_an_error(host: Host) -> None:
    """A permit for one script, or for one execution, does not carry another; nothing is sent."""
    session = host.connect()
    permit, job = host.fix(b"echo permitted")
    _, other_script = host.fix(f"touch {host.folder}/ran".encode())
    other_permit, _ = host.fix(b"echo permitted")

    with pytest.raises(ValueError, match="not the one that was permitted"):
        session.fix(permit, other_script)
    with pytest.raises(ValueError, match="not the one that was permitted"):
        session.fix(other_permit, job)
    assert not (host.seen / "ran").exists()
