"""A certification authority of the tests, and what it signs: servers' certificates, clients', and wrong ones."""

import datetime as dt
import hashlib
import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["Authority", "Certificate", "end_point_binding", "fingerprint_of", "server_context"]

_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate and its key in PEM files; `fingerprint` is SHA-256 in lower-case hexadecimal."""

    file: Path
    key_file: Path
    fingerprint: str


class Authority:
    """One authority with its files in a directory; two of them do not trust each other."""

    def __init__(self, directory: Path, name: str = "tests") -> None:
        self._directory = directory
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Authority {name}")])
        self._key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.KeyUsage(
            digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
            key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        certificate = (
            self._builder(self._name, self._key, days=(-1, 30))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.ca_file = directory / f"authority-{name}.pem"
        self.ca_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def server(self, names: Sequence[str], *, days: tuple[int, int] = (-1, 30)) -> Certificate:
        """Sign a certificate for a server's names and addresses, valid between two days from now."""
        return self._issue(names, ExtendedKeyUsageOID.SERVER_AUTH, days)

    def client(self, user: str, *, days: tuple[int, int] = (-1, 30)) -> Certificate:
        """Sign a certificate for a user, whom a server maps by its fingerprint."""
        return self._issue([user], ExtendedKeyUsageOID.CLIENT_AUTH, days)

    def _issue(self, names: Sequence[str], usage: x509.ObjectIdentifier, days: tuple[int, int]) -> Certificate:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        certificate = (
            self._builder(subject, key, days=days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
        file = self._directory / f"{fingerprint[:16]}.pem"
        key_file = self._directory / f"{fingerprint[:16]}.key"
        file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return Certificate(file=file, key_file=key_file, fingerprint=fingerprint)

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, days: tuple[int, int]
    ) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + days[0] * _DAY)
            .not_valid_after(now + days[1] * _DAY)
        )


def server_context(certificate: Certificate, ca_file: Path) -> ssl.SSLContext:
    """Return a server's TLS settings: its certificate, and clients' ones checked if they send one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.file, certificate.key_file)
    context.load_verify_locations(ca_file)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def end_point_binding(certificate: Certificate) -> bytes:
    """
    Return the application data of a channel binding to a server's certificate.

    Source: RFC 5929 section 4 (tls-server-end-point); the certificates here are signed with SHA-256.
    """
    return b"tls-server-end-point:" + bytes.fromhex(certificate.fingerprint)


def fingerprint_of(der: bytes | None) -> str | None:
    """Return the SHA-256 of a certificate, None of none."""
    return hashlib.sha256(der).hexdigest() if der else None


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
