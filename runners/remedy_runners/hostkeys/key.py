"""
A host's public key: its kinds, its fingerprint, and how it is read from a line of text.

What is no key is refused for the reasons for which OpenSSH skips it.

Source: RFC 4253 section 6.6, RFC 5656 section 3.1, RFC 8709 section 4; OpenSSH's sshkey_read(), sshbuf_get_bignum2().
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from remedy.text import untrusted

__all__ = [
    "KEY_ALGORITHMS",
    "RSA_BITS_MIN",
    "HostKey",
    "check_point",
    "fields_of",
    "fingerprint",
    "key_of_blob",
    "read_key",
    "rsa_bits",
]

KEY_ALGORITHMS: Mapping[str, tuple[str, ...]] = {
    "ssh-ed25519": ("ssh-ed25519",),
    "ecdsa-sha2-nistp256": ("ecdsa-sha2-nistp256",),
    "ecdsa-sha2-nistp384": ("ecdsa-sha2-nistp384",),
    "ecdsa-sha2-nistp521": ("ecdsa-sha2-nistp521",),
    "ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256"),
}
"""The kinds of key that are supported, and the signatures that prove each; none with SHA-1."""

RSA_BITS_MIN = 2_048
_RSA_BITS_READ_MIN = 1_024
_NUMBER_BYTES_MAX = 2_048
_ED25519_BYTES = 32
_POINT_BYTES = {"nistp256": 65, "nistp384": 97, "nistp521": 133}
_UNCOMPRESSED = 4
# Names of signatures that ssh takes for the kind of the key as well.
_OTHER_NAMES = {"rsa-sha2-256": "ssh-rsa", "rsa-sha2-512": "ssh-rsa"}
_BLANKS_IN_BASE64 = b"\r\v\f"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostKey:
    """A public key of a host: its kind, and its bytes in the one form in which equal keys are equal."""

    kind: str
    blob: bytes

    def __str__(self) -> str:
        return f"{self.kind} {fingerprint(self.blob)}"

    @property
    def text(self) -> str:
        """The key as it stands in a file: its kind and its bytes as base64."""
        return f"{self.kind} {base64.b64encode(self.blob).decode('ascii')}"


def fingerprint(blob: bytes) -> str:
    """Return the SHA-256 fingerprint of a public key, as ssh-keygen prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode("ascii").rstrip("=")


def read_key(kind: bytes, text: bytes) -> HostKey:
    """
    Return the key of a line: the kind it names, and the base64 beside it.

    Raises:
        ValueError: it is none, or of a kind that is not supported; the message says why.
    """
    named = kind.decode("latin-1")
    named = _OTHER_NAMES.get(named, named)
    if named not in KEY_ALGORITHMS:
        raise ValueError(f"keys of the type {untrusted(kind, characters_max=64)} are not supported")
    packed = text.translate(None, _BLANKS_IN_BASE64)
    try:
        blob = binascii.a2b_base64(packed, strict_mode=True)
    except binascii.Error as exc:
        raise ValueError("the key is not base64") from exc
    # Bits that belong to no byte must be zero, or two texts would be one key.
    if base64.b64encode(blob) != packed:
        raise ValueError("the key is not base64")
    key = key_of_blob(blob)
    if key.kind != named:
        raise ValueError("the key is not of the type the line says")
    return key


def key_of_blob(blob: bytes) -> HostKey:
    """
    Return the key whose bytes these are.

    Raises:
        ValueError: they are none, or of a kind that is not supported.
    """
    fields = fields_of(blob)
    kind = fields[0].decode("latin-1") if fields else ""
    match kind.split("-"):
        case ["ssh", "ed25519"]:
            _check_count(fields, 2)
            if len(fields[1]) != _ED25519_BYTES:
                raise ValueError(f"an Ed25519 key has {_ED25519_BYTES} bytes, and this one has {len(fields[1])}")
        case ["ecdsa", "sha2", curve] if curve in _POINT_BYTES:
            _check_count(fields, 3)
            if fields[1] != curve.encode("ascii"):
                raise ValueError("the key is of another curve than it says")
            if len(fields[2]) != _POINT_BYTES[curve] or fields[2][0] != _UNCOMPRESSED:
                raise ValueError("the key is no point of its curve")
        case ["ssh", "rsa"]:
            _check_count(fields, 3)
            numbers = [_number(field) for field in fields[1:]]
            if numbers[1].bit_length() < _RSA_BITS_READ_MIN:
                raise ValueError(f"an RSA key of {numbers[1].bit_length()} bits is none")
            blob = _packed((b"ssh-rsa", *(_number_bytes(number) for number in numbers)))
        case _:
            raise ValueError("the bytes of the key are of no type that is supported")
    return HostKey(kind=kind, blob=blob)


def rsa_bits(key: HostKey) -> int | None:
    """Return how many bits an RSA key has; None for other kinds."""
    return _number(fields_of(key.blob)[2]).bit_length() if key.kind == "ssh-rsa" else None


def check_point(key: HostKey) -> None:
    """
    See that the point of an ECDSA key lies on its curve; other kinds have none.

    Apart from reading, since it takes ten times as long as all the rest.

    Raises:
        ValueError: it does not.
    """
    if not key.kind.startswith("ecdsa-"):
        return
    from cryptography.hazmat.primitives.asymmetric import ec

    curves = {b"nistp256": ec.SECP256R1(), b"nistp384": ec.SECP384R1(), b"nistp521": ec.SECP521R1()}
    _, curve, point = fields_of(key.blob)
    try:
        ec.EllipticCurvePublicKey.from_encoded_point(curves[curve], point)
    except ValueError as exc:
        raise ValueError("the key is no point of its curve") from exc


def fields_of(blob: bytes) -> list[bytes]:
    """
    Return the fields of a key's bytes, each of which has its length before it.

    Raises:
        ValueError: one is cut off.
    """
    fields: list[bytes] = []
    at = 0
    while at < len(blob):
        size = int.from_bytes(blob[at : at + 4], "big")
        if at + 4 + size > len(blob):
            raise ValueError("the key is cut off")
        fields.append(blob[at + 4 : at + 4 + size])
        at += 4 + size
    return fields


def _check_count(fields: Sequence[bytes], count: int) -> None:
    if len(fields) != count:
        raise ValueError(f"a key of this type has {count} fields, and this one has {len(fields)}")


def _number(field: bytes) -> int:
    if field[:1] >= b"\x80":
        raise ValueError("the key has a negative number")
    if len(field) > _NUMBER_BYTES_MAX + 1 or (len(field) == _NUMBER_BYTES_MAX + 1 and field[0]):
        raise ValueError("the key has a number that is too long")
    return int.from_bytes(field, "big")


def _number_bytes(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1, "big") if number else b""


def _packed(fields: Sequence[bytes]) -> bytes:
    return b"".join(len(field).to_bytes(4, "big") + field for field in fields)
