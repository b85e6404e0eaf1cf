"""Limits of seconds instead of tens of seconds, for tests of what a runner gives up on."""

import pytest

__all__ = ["be_quick"]

_LIMITS_S = {
    "remedy_runners.winrm.exchange.OPERATION_S": 2,
    "remedy_runners.winrm.exchange._CLEAN_UP_S": 1,
    "remedy_runners.winrm.exchange._PAUSE_S": 0.1,
    "remedy_runners.winrm.transport.ANSWER_S": 1,
    "remedy_runners.winrm.transport._LOGIN_S": 2,
    "remedy_runners.winrm.session.START_S": 6,
    "remedy_runners.winrm.session.GRACE_S": 2,
    "remedy_runners.powershell.session.START_S": 6,
    "remedy_runners.powershell.session.GRACE_S": 2,
}


def be_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the limits; the code that keeps them is the same."""
    for name, seconds in _LIMITS_S.items():
        monkeypatch.setattr(name, seconds)
