"""What the tests that are run everywhere say of the lane that is not."""

import os
import socket

import pytest


def test_realm_is_on_loopback_only(request: pytest.FixtureRequest) -> None:
    """The KDC answers on 127.0.0.1; nobody reaches it by another address of this machine."""
    if not os.environ.get("REMEDY_TEST_KERBEROS"):
        pytest.skip("WinRM over Kerberos has a lane of its own: scripts/test-kerberos")
    port = request.getfixturevalue("realm").port

    socket.create_connection(("127.0.0.1", port)).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port)).close()
