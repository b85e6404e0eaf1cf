"""Many sessions at once, and many jobs in one: nothing is mixed up."""

import threading
from concurrent.futures import ThreadPoolExecutor

from remedy.port import CollectorEnding
from tests.behaviour.host import Host

_SESSIONS = 20


def test_twenty_sessions_at_once_do_not_mix(host: Host) -> None:
    """20 sessions in 20 threads: each gets its own output and code."""
    together = threading.Barrier(_SESSIONS)

    def run(number: int) -> tuple[bytes, bytes, int | None]:
        together.wait(timeout=30)
        script = f"echo {number}; head -c 20000 /dev/zero; echo -{number} >&2; exit {number}".encode()
        output = host.connect().collect([host.collector(script)]).outputs["s"]
        return output.stdout.head, output.stderr.head, output.exit_code

    with ThreadPoolExecutor(_SESSIONS) as pool:
        answers = list(pool.map(run, range(_SESSIONS)))

    assert answers == [
        (f"{number}\n".encode() + bytes(20_000), f"-{number}\n".encode(), number) for number in range(_SESSIONS)
    ]


def test_sessions_that_take_turns_do_not_mix(host: Host) -> None:
    """Two sessions with one host, used in turn: each answer is that of its own question."""
    sessions = [host.connect(), host.connect()]

    outputs = [
        sessions[number % 2].collect([host.collector(f"echo {number}".encode())]).outputs["s"] for number in range(4)
    ]

    assert [each.ending for each in outputs] == [CollectorEnding.EXITED] * 4
    assert [each.stdout.head for each in outputs] == [f"{number}\n".encode() for number in range(4)]
