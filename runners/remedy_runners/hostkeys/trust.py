"""
What known_hosts says about one host, and whether the key it shows is one that is trusted.

There is one answer for an unknown key, and no option changes it.

Source: OpenSSH's check_host_key() and order_hostkeyalgs().
"""

from dataclasses import dataclass
from typing import Protocol

from remedy.errors import Refused
from remedy_runners.hostkeys.certificate import CERTIFICATE_SUFFIX, HostCertificate, read_certificate
from remedy_runners.hostkeys.key import KEY_ALGORITHMS, RSA_BITS_MIN, HostKey, rsa_bits
from remedy_runners.hostkeys.line import Line

__all__ = ["HostTrust", "Judge", "Shown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a host has shown in the key exchange: the key it signed with, and the certificate around it, if any."""

    key: HostKey
    certificate: bytes | None = None


class Judge(Protocol):
    """Who says whether what a host shows is trusted; `algorithms` is what it is asked for, the first one preferred."""

    @property
    def algorithms(self) -> tuple[str, ...]:
        """The names of host key algorithms, as the key exchange has them."""

    def check(self, shown: Shown, *, where: str, key_files: str, forget: str, now_s: int) -> None:
        """
        See that what is shown is trusted; `where` begins the message if not.

        Raises:
            Refused: it is not; `identity` is true when the host is another one than it should be.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class HostTrust:
    """
    The lines of known_hosts files for one host, by what they say.

    `name` is how the host stands in the files, `principal` how a certificate must
    name it.
    """

    name: str
    principal: str
    keys: tuple[Line, ...]
    authorities: tuple[Line, ...]
    revoked: tuple[Line, ...]

    @property
    def is_known(self) -> bool:
        """Whether anything is there by which the host could prove itself."""
        return bool(self.keys or self.authorities)

    @property
    def algorithms(self) -> tuple[str, ...]:
        """
        Certificates first if an authority is known, then the kinds of key that are known, then the others.

        So a host with keys of several kinds shows one that can be checked, and one
        that has another kind only is seen to have changed.
        """
        kinds = dict.fromkeys((*(line.key.kind for line in self.keys), *KEY_ALGORITHMS))
        plain = [name for kind in kinds for name in KEY_ALGORITHMS[kind]]
        signed = [name + CERTIFICATE_SUFFIX for name in plain] if self.authorities else []
        return (*signed, *plain)

    def check(self, shown: Shown, *, where: str, key_files: str, forget: str, now_s: int) -> None:
        """See `Judge`."""
        self._check_revoked(shown.key, where, "THE HOST KEY IS REVOKED")
        fault = "" if shown.certificate is None else self._certificate_fault(shown, shown.certificate, where, now_s)
        by_certificate = shown.certificate is not None and not fault
        if not by_certificate and all(shown.key != line.key for line in self.keys):
            raise self._refusal(shown, fault, where, key_files, forget)
        bits = rsa_bits(shown.key)
        if bits is not None and bits < RSA_BITS_MIN:
            raise Refused(f"{where}: its RSA host key has less than {RSA_BITS_MIN} bits; give it a new one")

    def _check_revoked(self, key: HostKey, where: str, what: str) -> None:
        line = next((line for line in self.revoked if line.key == key), None)
        if line is not None:
            raise Refused(
                f"{where}: {what}: {line.place} says that nobody may trust {key}. "
                "Nothing was sent. Whoever has it may not be the host; ask the host's owner for its new key",
                identity=True,
            )

    def _certificate_fault(self, shown: Shown, blob: bytes, where: str, now_s: int) -> str:
        """Return why the certificate does not count, '' if it does; one of a revoked authority is refused at once."""
        try:
            certificate = read_certificate(blob)
        except ValueError as exc:
            return str(exc)
        self._check_revoked(certificate.authority, where, "THE AUTHORITY OF ITS CERTIFICATE IS REVOKED")
        return self._fault(shown, certificate, now_s)

    def _fault(self, shown: Shown, certificate: HostCertificate, now_s: int) -> str:
        if certificate.key != shown.key:
            return "it is for another key than the one shown"
        if all(certificate.authority != line.key for line in self.authorities):
            return f"its authority {certificate.authority} is not known for this host"
        return certificate.fault(self.principal, now_s=now_s)

    def _refusal(self, shown: Shown, fault: str, where: str, key_files: str, forget: str) -> Refused:
        if self.keys:
            known = ", ".join(dict.fromkeys(str(line.key) for line in self.keys))
            also = f" Its certificate does not help: {fault}." if fault else ""
            return Refused(
                f"{where}: THE HOST KEY HAS CHANGED: it shows {shown.key}, known is {known} ({key_files}).{also} "
                f"Somebody may be in between, or the host was set up anew. Nothing was sent. "
                f"Ask the host's owner for the fingerprint; if it is right: {forget}",
                identity=True,
            )
        places = ", ".join(line.place for line in self.authorities)
        if fault:
            return Refused(
                f"{where}: THE HOST'S CERTIFICATE IS NOT TRUSTED: {fault} (authority: {places}). Nothing was sent. "
                "Have the host's key signed anew, or see who answers there",
                identity=True,
            )
        return Refused(
            f"{where}: it shows {shown.key} without a certificate, and {places} knows only an authority for it; "
            "nothing was sent. Have its key signed, or enrol the key itself"
        )
