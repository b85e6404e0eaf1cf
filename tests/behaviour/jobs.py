"""Jobs for sessions under test, with the permits that only the gate makes otherwise."""

import hashlib
from collections.abc import Mapping

from remedy.port import _SEAL, CollectJob, FixJob, Permit

__all__ = ["HOST", "collect_job", "permitted_fix"]

HOST = "web-1"


def collect_job(
    script: bytes,
    *,
    signal: str = "s",
    timeout_s: int = 30,
    columns: Mapping[str, str] | None = None,
    become_root: bool = False,
) -> CollectJob:
    """Return a collector without values."""
    return CollectJob(
        signal=signal,
        script=script,
        environment={},
        columns=columns or {},
        timeout_s=timeout_s,
        become_root=become_root,
    )


def permitted_fix(
    script: bytes,
    *,
    execution_id: str,
    timeout_s: int = 60,
    environment: Mapping[str, str] | None = None,
    become_root: bool = False,
    note: str = "",
    host: str = HOST,
) -> tuple[Permit, FixJob]:
    """Return a fix with the permit for it."""
    digest = hashlib.sha256(script).hexdigest()
    job = FixJob(
        execution_id=execution_id,
        script=script,
        script_sha256=digest,
        environment=environment or {},
        timeout_s=timeout_s,
        become_root=become_root,
        note=note,
    )
    return Permit(execution_id=execution_id, host=host, script_sha256=digest, seal=_SEAL), job
