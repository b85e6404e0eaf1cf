"""The sandbox in which starter scripts run for real."""

from collections.abc import Iterator

import pytest

from tests.starter.sandbox import Machine, MachineMissing


@pytest.fixture
def machine() -> Iterator[Machine]:
    """Give a machine to break; skip where none can be made, and say why."""
    made = Machine()
    try:
        made.__enter__()
    except MachineMissing as exc:
        pytest.skip(f"starter scripts run in a sandbox of their own: {exc}")
    try:
        yield made
    finally:
        made.__exit__(None, None, None)
