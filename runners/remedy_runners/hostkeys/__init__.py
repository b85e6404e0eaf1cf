"""
Host keys: known_hosts files read once per run, looked up and judged as OpenSSH does, strictly.

`key` and `line` read, `known_hosts` looks up, `certificate` and `trust` judge;
`offers` asks a host for its keys and `recording` writes them down (`remedy enroll`).
"""

from remedy_runners.hostkeys.key import HostKey, fingerprint
from remedy_runners.hostkeys.known_hosts import KnownHosts
from remedy_runners.hostkeys.line import known_hosts_name
from remedy_runners.hostkeys.trust import HostTrust, Judge, Shown

__all__ = ["HostKey", "HostTrust", "Judge", "KnownHosts", "Shown", "fingerprint", "known_hosts_name"]
