"""What the tests of the demo share: they need root, namespaces and OpenSSH's daemon."""

import os
import shutil
import sys

import pytest


@pytest.fixture(autouse=True)
def _fleet_is_possible(request: pytest.FixtureRequest) -> None:
    """Skip what needs a fleet where none can be made; in CI nothing is skipped."""
    if request.node.get_closest_marker("sshd") is None or os.environ.get("CI"):
        return
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("sshd", path="/usr/sbin:/usr/bin") is None:
        pytest.skip("needs root on Linux and sshd (openssh-server)")
