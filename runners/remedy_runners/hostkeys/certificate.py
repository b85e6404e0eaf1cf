"""
Host certificates of OpenSSH: read, and judged as ssh judges them, or more strictly.

Reading and the check of the signature are the cryptography library's; what it
does not tell is read here: which algorithm signed, and with which key.

Source: OpenSSH's PROTOCOL.certkeys, sshkey_cert_check_host() and sshkey_cert_check_authority().
"""

import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from remedy.text import untrusted
from remedy_runners.hostkeys.key import KEY_ALGORITHMS, RSA_BITS_MIN, HostKey, key_of_blob, rsa_bits

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.serialization import SSHCertificate

__all__ = ["CERTIFICATE_SUFFIX", "HostCertificate", "read_certificate"]

CERTIFICATE_SUFFIX = "-cert-v01@openssh.com"
_KEY_FIELDS = {"ssh-ed25519": 1, "ssh-rsa": 2}
_ECDSA_FIELDS = 2
_FOR_EVER = 2**64 - 1
_SHOWN_MAX = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCertificate:
    """
    A certificate that a host has shown, with a signature that is right: what it says, and who says it.

    Times are seconds since 1970 by the signer's word; `valid_before_s` is the first
    second in which it counts no more.
    """

    key: HostKey
    authority: HostKey
    key_id: str
    is_of_host: bool
    principals: tuple[bytes, ...]
    valid_after_s: int
    valid_before_s: int
    critical_options: tuple[bytes, ...]

    def fault(self, principal: str, *, now_s: int) -> str:
        """Return why the certificate proves nothing about a host of that name at that time; '' if it does."""
        if not self.is_of_host:
            return "it is a certificate of a user, not of a host"
        if now_s < self.valid_after_s:
            return f"it counts only from {_time(self.valid_after_s)} on"
        if now_s >= self.valid_before_s:
            return f"it expired at {_time(self.valid_before_s)}"
        if not self.principals:
            return "it names no host"
        if principal.encode("utf-8") not in self.principals:
            names = ", ".join(untrusted(name, characters_max=255) for name in self.principals[:_SHOWN_MAX])
            more = f" and {len(self.principals) - _SHOWN_MAX} more" if len(self.principals) > _SHOWN_MAX else ""
            return f"it is for {names}{more}, not for {principal}"
        if self.critical_options:
            return f"it has the critical option {untrusted(self.critical_options[0], characters_max=80)}, unknown to us"
        bits = rsa_bits(self.authority)
        if bits is not None and bits < RSA_BITS_MIN:
            return f"its authority's RSA key has less than {RSA_BITS_MIN} bits"
        return ""


def read_certificate(blob: bytes) -> HostCertificate:
    """
    Return the certificate whose bytes these are, its signature checked.

    Raises:
        ValueError: they are none, the signature is wrong, or of an algorithm that is not supported (SHA-1 is not).
    """
    from cryptography.exceptions import InvalidSignature

    kind, authority, signature = _parts(blob)
    signer = key_of_blob(authority)
    signed_by = _first_field(signature)
    if signed_by not in KEY_ALGORITHMS[signer.kind]:
        raise ValueError(f"it is signed with {untrusted(signed_by, characters_max=64)}, which is not safe")
    try:
        read = _read(kind, blob)
        read.verify_cert_signature()
    except InvalidSignature as exc:
        raise ValueError("its signature is wrong") from exc
    except Exception as exc:
        # Odd bytes make the library raise many things, NotImplementedError among them.
        raise ValueError(f"it cannot be read: {untrusted(str(exc), characters_max=80)}") from exc
    return HostCertificate(
        key=_plain_key(read),
        authority=signer,
        key_id=untrusted(read.key_id, characters_max=80),
        is_of_host=_is_of_host(read),
        principals=tuple(read.valid_principals),
        valid_after_s=read.valid_after,
        valid_before_s=read.valid_before,
        critical_options=tuple(read.critical_options),
    )


def _read(kind: str, blob: bytes) -> "SSHCertificate":
    from cryptography.hazmat.primitives.serialization import SSHCertificate, load_ssh_public_identity

    read = load_ssh_public_identity(f"{kind} ".encode("ascii") + base64.b64encode(blob))
    if not isinstance(read, SSHCertificate):
        raise ValueError("a key without a certificate")
    return read


def _is_of_host(read: "SSHCertificate") -> bool:
    from cryptography.hazmat.primitives.serialization import SSHCertificateType

    return read.type is SSHCertificateType.HOST


def _plain_key(read: "SSHCertificate") -> HostKey:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    text = read.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return key_of_blob(base64.b64decode(text.split()[1]))


def _parts(blob: bytes) -> tuple[str, bytes, bytes]:
    """Return the kind of a certificate, the key of its authority, and its signature, as they stand in the bytes."""
    reader = _Reader(blob)
    kind = reader.text().decode("latin-1")
    plain = kind.removesuffix(CERTIFICATE_SUFFIX)
    if plain == kind or plain not in KEY_ALGORITHMS:
        raise ValueError(f"certificates of the type {untrusted(kind, characters_max=64)} are not supported")
    reader.text()  # The nonce.
    for _ in range(_KEY_FIELDS.get(plain, _ECDSA_FIELDS)):
        reader.text()
    reader.skip(12)  # Serial number and type.
    reader.text()  # The key's id.
    reader.text()  # The principals.
    reader.skip(16)  # From when to when.
    for _ in range(3):  # Critical options, extensions, and what is reserved.
        reader.text()
    authority, signature = reader.text(), reader.text()
    reader.end()
    return kind, authority, signature


def _first_field(signature: bytes) -> str:
    return _Reader(signature).text().decode("latin-1")


class _Reader:
    """Reads bytes from front to back."""

    def __init__(self, blob: bytes) -> None:
        self._blob = blob
        self._at = 0

    def skip(self, size: int) -> bytes:
        found = self._blob[self._at : self._at + size]
        if len(found) != size:
            raise ValueError("it is cut off")
        self._at += size
        return found

    def text(self) -> bytes:
        return self.skip(int.from_bytes(self.skip(4), "big"))

    def end(self) -> None:
        if self._at != len(self._blob):
            raise ValueError("something stands behind its end")


def _time(seconds: int) -> str:
    if seconds >= _FOR_EVER:
        return "the end of time"
    try:
        return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, ValueError, OSError):
        return f"second {seconds}"
