"""How much may cross: scripts of any size, output up to its caps, and what comes of more than that."""

import hashlib
import time

import pytest

from remedy.port import CollectorEnding, FixEnding
from remedy_runners.capture import COLLECTOR_STDERR_MAX, COLLECTOR_STDOUT_MAX, FIX_KEPT_MAX, FIX_OUTPUT_MAX
from tests.behaviour.host import Host
from tests.behaviour.waiting import is_alive, wait_until


def test_script_of_200_kb_arrives_whole(host: Host) -> None:
    """A fix and a collector of 200 kB run from their first line to their last."""
    script = b"echo begun\n" + b"# filler\n" * 22_000 + b"echo whole; exit 9\n"
    session = host.connect()

    output = session.collect([host.collector(script)]).outputs["s"]
    result = session.fix(*host.fix(script))

    assert (output.ending, output.exit_code, output.stdout.head) == (CollectorEnding.EXITED, 9, b"begun\nwhole\n")
    assert (result.ending, result.exit_code, result.stdout.kept) == (FixEnding.FINISHED, 9, b"begun\nwhole\n")


@pytest.mark.slow
def test_script_of_2_mb_arrives_whole(host: Host) -> None:
    """A fix of 2 MB runs from its first line to its last."""
    script = b"echo begun\n" + b"# filler\n" * 222_222 + b"echo whole; exit 9\n"

    result = host.connect().fix(*host.fix(script))

    assert (result.ending, result.exit_code, result.stdout.kept) == (FixEnding.FINISHED, 9, b"begun\nwhole\n")


def test_largest_output_is_intact_and_one_byte_more_is_too_much(host: Host) -> None:
    """Exactly 1 MiB is a complete reading with its exit code; 1 MiB + 1 is not, and the next collector is intact."""
    jobs = [
        host.collector(f"head -c {size} /dev/zero; exit 3".encode(), signal=name)
        for name, size in (("fits", COLLECTOR_STDOUT_MAX), ("over", COLLECTOR_STDOUT_MAX + 1), ("next", 5))
    ]

    outputs = host.connect().collect(jobs).outputs

    assert (outputs["fits"].ending, outputs["fits"].exit_code) == (CollectorEnding.EXITED, 3)
    assert outputs["fits"].stdout.size == COLLECTOR_STDOUT_MAX
    assert outputs["fits"].stdout.complete
    assert (outputs["over"].ending, outputs["over"].exit_code) == (CollectorEnding.TOO_MUCH_OUTPUT, None)
    assert (outputs["next"].exit_code, outputs["next"].stdout.head) == (3, bytes(5))


def test_much_standard_error_spoils_no_reading(host: Host) -> None:
    """A collector that writes a megabyte of errors ends well; the first 64 KiB of them are kept."""
    script = b"x=$(head -c 1000000 /dev/zero | tr '\\0' x); printf %s \"$x\" >&2; echo fine"

    output = host.connect().collect([host.collector(script)]).outputs["s"]

    assert (output.ending, output.exit_code, output.stdout.head) == (CollectorEnding.EXITED, 0, b"fine\n")
    assert output.stderr.head == b"x" * COLLECTOR_STDERR_MAX


def test_much_output_of_a_fix_keeps_head_and_tail_and_counts_all(host: Host) -> None:
    """Of a megabyte on each stream, 64 KiB from either end are kept, and all of it is counted and hashed."""
    script = b"echo begin; head -c 1000000 /dev/zero; echo end; head -c 900000 /dev/zero >&2; echo err >&2"
    whole = b"begin\n" + bytes(1_000_000) + b"end\n"

    result = host.connect().fix(*host.fix(script))

    assert (result.ending, result.exit_code) == (FixEnding.FINISHED, 0)
    assert (result.stdout.size, result.stdout.sha256) == (len(whole), hashlib.sha256(whole).hexdigest())
    assert result.stdout.head == whole[:FIX_KEPT_MAX]
    assert result.stdout.tail == whole[-FIX_KEPT_MAX:]
    assert result.stderr.size == 900_004
    assert result.stderr.tail.endswith(b"\0err\n")


def test_endless_output_ends_the_fix(host: Host) -> None:
    """
    A script that prints for ever is ended at 16 MiB, long before its deadline, and is no success.

    Where its end is seen it has failed, by a code that says that it was killed; else it is lost.
    """
    began = time.monotonic()

    result = host.connect().fix(*host.fix(b"echo $$; yes & yes >&2", timeout_s=100))

    expected = (FixEnding.FINISHED, 137) if host.is_told_of_kills else (FixEnding.LOST, None)
    assert (result.ending, result.exit_code) == expected
    assert str(FIX_OUTPUT_MAX) in result.reason
    assert max(result.stdout.size, result.stderr.size) > FIX_OUTPUT_MAX
    assert time.monotonic() - began < 50
    wait_until(lambda: not is_alive(int(result.stdout.head.partition(b"\n")[0])))
