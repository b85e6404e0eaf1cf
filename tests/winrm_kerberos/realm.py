"""A Kerberos realm on loopback: MIT's KDC with a database of its own, the keys of a WinRM service, and tickets."""

import contextlib
import secrets
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import k5test
import krb5

from tests.winrm.processes import wait_until

__all__ = ["PASSWORD", "SERVICE", "USER", "Realm", "realm_on_loopback"]

USER = "remedy"
PASSWORD = "PlantedSecret43"
SERVICE = "HTTP/localhost"
_STRANGER = "stranger"
_AES256 = 18


class Realm:
    """
    What tests ask of a realm.

    `environment` leads the libraries of Kerberos to it: settings, tickets of
    `USER`, keys of `SERVICE`. They read it anew for every login.
    """

    def __init__(self, realm: Any, directory: Path) -> None:
        self._realm = realm
        self._directory = directory

    @property
    def port(self) -> int:
        """The KDC's."""
        return int(self._realm.portbase)

    @property
    def environment(self) -> Mapping[str, str]:
        return {name: value for name, value in self._realm.env.items() if name.startswith("KRB5")}

    @property
    def stranger(self) -> str:
        """A principal with a ticket to be had, whom no host knows."""
        return _STRANGER

    def ticket(self, user: str = USER, *flags: str) -> str:
        """Get a ticket into a cache of its own, as kinit does with these flags; return the cache's name."""
        cache = self._directory / f"tickets-{secrets.token_hex(4)}"
        self._realm.kinit(f"{user}@{self._realm.realm}", PASSWORD, flags=["-c", str(cache), *flags])
        return str(cache)

    def expired_ticket(self) -> str:
        """Get a ticket whose time is over; return the cache's name."""
        cache = self.ticket(USER, "-l", "1s")
        got_at = time.time()
        wait_until(lambda: time.time() > got_at + 2)
        return cache

    def services_in(self, cache: str) -> set[str]:
        """Return whom the tickets in a cache are for, without the realm."""
        lines = self._realm.run([shutil.which("klist") or "klist", cache]).decode().splitlines()
        return {line.split()[-1].rpartition("@")[0] for line in lines if line[:1].isdigit()}

    def other_keys(self) -> str:
        """Return a file with a key under the name of `SERVICE` that is not the one that the KDC knows."""
        path = self._directory / f"keys-{secrets.token_hex(4)}"
        context = krb5.init_context()
        name = krb5.parse_name_flags(context, f"{SERVICE}@{self._realm.realm}".encode())
        key = krb5.init_keyblock(context, _AES256, secrets.token_bytes(32))
        for version in range(1, 4):
            krb5.kt_add_entry(context, krb5.kt_resolve(context, f"FILE:{path}".encode()), name, version, 0, key)
        return str(path)

    def settings(self, **libdefaults: str) -> str:
        """Return a krb5.conf that differs from the realm's."""
        environment = self._realm.special_env(
            secrets.token_hex(4), has_kdc_conf=False, krb5_conf=_krb5_conf(self._realm.portbase, **libdefaults)
        )
        return str(environment["KRB5_CONFIG"])

    def settings_with_kdc(self, port: int) -> str:
        """Return a krb5.conf that looks for the KDC at another port."""
        environment = self._realm.special_env(secrets.token_hex(4), has_kdc_conf=False, krb5_conf=_krb5_conf(port))
        return str(environment["KRB5_CONFIG"])


@contextlib.contextmanager
def realm_on_loopback(directory: Path) -> Iterator[Realm]:
    """Start a KDC on 127.0.0.1 with a user who has a ticket and a service that has its keys, and stop it."""
    port = _free_port()
    listen = f"127.0.0.1:{port}"
    realm = k5test.K5Realm(
        portbase=port,
        krb5_conf=_krb5_conf(port),
        # Without these it would listen on all addresses of this machine.
        kdc_conf={"realms": {"$realm": {
            "kdc_ports": None, "kdc_tcp_ports": None, "kdc_listen": listen, "kdc_tcp_listen": listen,
        }}},
        create_user=False,
        create_host=False,
        start_kdc=False,
    )  # fmt: skip
    with contextlib.ExitStack() as undo:
        undo.callback(realm.stop)
        for user in (USER, _STRANGER):
            realm.addprinc(user, PASSWORD)
        realm.addprinc(SERVICE)
        realm.extract_keytab(SERVICE, realm.keytab)
        realm.start_kdc()
        realm.kinit(f"{USER}@{realm.realm}", PASSWORD)
        yield Realm(realm, directory)


def _krb5_conf(port: int, **libdefaults: str) -> dict[str, Any]:
    return {
        "libdefaults": {
            "dns_lookup_realm": "false",
            "dns_canonicalize_hostname": "false",
            "rdns": "false",
            # A ticket that could be delegated, so that a test sees whether it was.
            "forwardable": "true",
            **libdefaults,
        },
        "realms": {"$realm": {"kdc": f"127.0.0.1:{port}"}},
    }


def _free_port() -> int:
    """Return a port that nobody has, and whose neighbours k5test can name."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = int(listener.getsockname()[1])
        if port < 65_500:
            return port
