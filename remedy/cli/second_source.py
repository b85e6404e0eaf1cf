"""A second source for host keys: a known_hosts file that somebody trusts, or fingerprints that somebody was told."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from remedy.cli.console import Talk
from remedy.errors import Refused, UsageError
from remedy_runners.hostkeys import HostKey, KnownHosts, fingerprint
from remedy_runners.hostkeys.line import Marker

__all__ = ["Said", "SecondSource", "second_source"]

_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_NOBODY = "nobody was contacted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a second source says of one host: fingerprints, with their kinds if it knows these, and the revoked ones."""

    keys: tuple[tuple[str | None, str], ...]
    revoked: tuple[str, ...] = ()

    def agrees(self, key: HostKey) -> bool:
        """Say whether the source has the key."""
        return any(said == fingerprint(key.blob) for _, said in self.keys)

    def disagrees(self, keys: Sequence[HostKey]) -> bool:
        """Say whether the source has other keys: of a kind that is shown, or not one of those shown."""
        if not self.keys:
            return False
        kinds = {kind for kind, _ in self.keys}
        return not any(self.agrees(key) for key in keys) or any(
            key.kind in kinds and not self.agrees(key) for key in keys
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondSource:
    """
    Who vouches for keys instead of a person.

    `said_of` takes a name as it stands in known_hosts; `by` is what is written beside a key.
    """

    named: str
    by: str
    said_of: Callable[[str], Said]


def second_source(file: str | None, fingerprints: Sequence[str], talk: Talk) -> SecondSource | None:
    """
    Return who vouches for keys; None leaves it to a person.

    Raises:
        UsageError: two sources, a file that cannot be read, or what is no fingerprint.
    """
    if file is not None and fingerprints:
        raise UsageError(f"--from and --fingerprint are given; name one source; {_NOBODY}")
    if file is not None:
        return _file_source(file, talk)
    for text in fingerprints:
        if _FINGERPRINT.fullmatch(text.rstrip("=")) is None:
            raise UsageError(f"--fingerprint {text}: write it as ssh-keygen -lf does, SHA256:…; {_NOBODY}")
    if not fingerprints:
        return None
    said = Said(keys=tuple((None, text.rstrip("=")) for text in fingerprints))
    return SecondSource(named="--fingerprint", by="by fingerprint", said_of=lambda _name: said)


def _file_source(file: str, talk: Talk) -> SecondSource:
    path = Path(file)
    if not path.is_file():
        raise UsageError(f"--from {file}: it is not there, or no regular file; {_NOBODY}")
    known = KnownHosts()
    try:
        known.lines("", [path])
    except Refused as exc:
        raise UsageError(f"--from {exc}; {_NOBODY}") from exc
    for warning in known.warnings:
        talk.say(f"warning: {warning}")

    def said_of(name: str) -> Said:
        lines = known.lines(name, [path])
        return Said(
            keys=tuple((line.key.kind, fingerprint(line.key.blob)) for line in lines if line.marker is Marker.NONE),
            revoked=tuple(fingerprint(line.key.blob) for line in lines if line.marker is Marker.REVOKED),
        )

    return SecondSource(named=file, by="from a file", said_of=said_of)
