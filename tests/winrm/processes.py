"""Processes of the tests: one that stands in for a command line, and what became of one."""

from collections.abc import Sequence

from tests.behaviour.waiting import is_alive, wait_until

__all__ = ["in_sh", "is_alive", "wait_until"]


def in_sh(command_line: str) -> Sequence[str]:
    """Let /bin/sh stand in for whatever the command line names."""
    return ("/bin/sh", "-c", command_line)
