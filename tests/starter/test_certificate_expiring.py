"""The signal certificate, with certificates made here and read by openssl on the planted machine."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from remedy.model import Reading, ReadingStatus, Row
from tests.starter.sandbox import RULES, Machine, row_of

_PLACE = "/srv/tls/web.pem"


@cache
def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _pem(
    *,
    days_left: float = 100,
    lifetime_days: float = 365,
    name: str = "web.example.org",
    serial: int = 0xA1,
    end: datetime | None = None,
) -> str:
    """Return a self-signed certificate that ends so many days from now."""
    ends = end or datetime.now(UTC) + timedelta(days=days_left)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else [])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(_key().public_key())
        .serial_number(serial)
        .not_valid_before(ends - timedelta(days=lifetime_days))
        .not_valid_after(ends)
        .sign(_key(), hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


def _secret() -> str:
    return (
        _key()
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )


def _read(machine: Machine, *paths: str) -> Reading:
    return machine.collect("certificate", {"paths": paths})


def _rows(reading: Reading) -> list[tuple[object, object]]:
    assert reading.status is ReadingStatus.OK, reading.reason
    return [(row["subject"], row["days_left"]) for row in reading.rows]


def _match(rows: Iterable[Row]) -> list[bool | None]:
    rule = RULES["certificate-expiring"]
    judged = rule.when.bind(rule.params)
    return [judged(row, {}) for row in rows]


@pytest.mark.parametrize("days_left", [29, 400, 0.5, -3, -4000])
def test_days_are_counted_to_the_end(machine: Machine, days_left: float) -> None:
    """`days_left` is what is left of notAfter, negative after it; the lifetime is from notBefore to notAfter."""
    machine.plant(_PLACE).write_text(_pem(days_left=days_left, lifetime_days=397, serial=0xBEEF))

    row = row_of(_read(machine, _PLACE), path=_PLACE)

    assert row["days_left"] == pytest.approx(days_left, abs=0.02)
    assert (row["subject"], row["serial"], row["lifetime_days"]) == ("CN=web.example.org", "BEEF", 397)


@pytest.mark.parametrize(
    "end",
    [
        datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC),
        datetime(2028, 3, 1, tzinfo=UTC),
        datetime(2030, 1, 9, 12, tzinfo=UTC),
        datetime(2031, 12, 31, tzinfo=UTC),
        datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2050, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
    ],
)
def test_every_date_is_read(machine: Machine, end: datetime) -> None:
    """Leap days, months, and years beyond 2050, which are written in another form, are counted exactly."""
    machine.plant(_PLACE).write_text(_pem(end=end))

    row = row_of(_read(machine, _PLACE), path=_PLACE)

    assert row["days_left"] == pytest.approx((end - datetime.now(UTC)) / timedelta(days=1), abs=0.02)


@pytest.mark.parametrize(
    ("days_left", "lifetime_days", "match"),
    [(29, 365, True), (31, 365, False), (22, 90, True), (23, 90, False), (1, 6, True), (2, 6, False), (-1, 365, True)],
)
def test_short_lived_certificates_have_less_time(
    machine: Machine, days_left: float, lifetime_days: float, match: bool
) -> None:
    """A certificate of a year matches below 30 days, one that lives less below a quarter of its life."""
    machine.plant(_PLACE).write_text(_pem(days_left=days_left, lifetime_days=lifetime_days))

    assert _match(_read(machine, _PLACE).rows) == [match]


def test_every_certificate_of_a_bundle_is_read(machine: Machine) -> None:
    """A bundle with text around, Windows line ends and a key in between has a row for each certificate."""
    parts = [
        "subject=CN = leaf\n",
        _pem(days_left=300, name="leaf", serial=1),
        _secret(),
        _pem(days_left=3, name="middle", serial=2).replace("\n", "\r\n"),
        "\n# the root\n",
        _pem(days_left=900, name="root", serial=1).rstrip("\n"),
    ]
    machine.plant(_PLACE).write_bytes("".join(parts).encode())

    reading = _read(machine, _PLACE)

    assert sorted(map(str, (row["subject"] for row in reading.rows))) == ["CN=leaf", "CN=middle", "CN=root"]
    assert sorted(str(row["subject"]) for row, bad in zip(reading.rows, _match(reading.rows), strict=True) if bad) == [
        "CN=middle"
    ]


def test_certificate_that_stands_there_twice_is_one_row(machine: Machine) -> None:
    """The same certificate twice is one row; of two with one name and serial the one that ends first counts."""
    early = _pem(days_left=5, name="root", serial=1)
    late = _pem(days_left=500, name="root", serial=1)
    machine.plant(_PLACE).write_text(late + early + late)

    reading = _read(machine, _PLACE)

    assert _rows(reading) == [("CN=root", pytest.approx(5, abs=0.02))]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Müller, Bau", "CN=M\\C3\\BCller\\, Bau"),
        ('a "b" \\c', 'CN=a \\"b\\" \\\\c'),
        ("x" * 64, "CN=" + "x" * 64),
        ("a\nb\tc", "CN=a\\0Ab\\09c"),
        ("", "(no subject)"),
    ],
)
def test_odd_subjects_are_read(machine: Machine, name: str, said: str) -> None:
    """A subject with commas, quotes, control characters or foreign letters, or none, gives a row with its days."""
    machine.plant(_PLACE).write_text(_pem(days_left=5, name=name))

    reading = _read(machine, _PLACE)

    assert _rows(reading) == [(said, pytest.approx(5, abs=0.02))]


def test_trusted_certificate_is_read(machine: Machine) -> None:
    """The form of openssl that carries trust settings is read like others."""
    machine.plant("/srv/plain.pem").write_text(_pem(days_left=5))
    machine.run(
        "openssl", "x509", "-trustout", "-addtrust", "serverAuth", "-in", "/srv/plain.pem", "-out", "/srv/t.pem"
    )
    assert "BEGIN TRUSTED CERTIFICATE" in machine.path("/srv/t.pem").read_text()

    assert _rows(_read(machine, "/srv/t.pem")) == [("CN=web.example.org", pytest.approx(5, abs=0.02))]


def test_broken_certificate_hides_no_other(machine: Machine) -> None:
    """In a bundle with a broken, an empty and a cut certificate these are unknown and the whole one is judged."""
    whole = _pem(days_left=3)
    lines = whole.splitlines()
    broken = "\n".join([lines[0], lines[1][::-1], *lines[2:]]) + "\n"
    empty = f"{lines[0]}\n{lines[-1]}\n"
    cut = "\n".join(lines[:3]) + "\n"
    machine.plant(_PLACE).write_text(broken + empty + whole + cut)

    reading = _read(machine, _PLACE)

    assert {row["subject"]: verdict for row, verdict in zip(reading.rows, _match(reading.rows), strict=True)} == {
        "(certificate 1 cannot be read)": None,
        "(certificate 2 cannot be read)": None,
        "CN=web.example.org": True,
        "(certificate 4 cannot be read)": None,
    }


@pytest.mark.parametrize(
    ("make", "said"),
    [
        ("true", "(there is no such file)"),
        ("mkdir -p /srv/tls/web.pem", "(there is no such file)"),
        ("ln -s /nowhere /srv/tls/web.pem", "(there is no such file)"),
        ("mkfifo /srv/tls/web.pem", "(cannot be read)"),
        (": >/srv/tls/web.pem", "(no certificate in PEM form)"),
        ("head -c 500 /dev/urandom >/srv/tls/web.pem", "(no certificate in PEM form)"),
        ("head -c 1048577 /dev/zero >/srv/tls/web.pem", "(larger than 1048576 bytes)"),
    ],
)
def test_file_that_cannot_be_read_is_unknown(machine: Machine, make: str, said: str) -> None:
    """Missing, a folder, a dead link, a pipe, empty, no PEM or huge: a row without days, beside which others count."""
    machine.plant("/srv/tls/good.pem").write_text(_pem(days_left=3))
    machine.run("sh", "-c", make)

    reading = _read(machine, _PLACE, "/srv/tls/good.pem")

    assert row_of(reading, path=_PLACE)["subject"] == said
    assert sorted(_match(reading.rows), key=str) == [None, True]


def test_private_key_alone_is_unknown_and_never_printed(machine: Machine) -> None:
    """A file with a key and no certificate is unknown; no line of a key is ever printed, with a certificate or not."""
    secret = _secret()
    machine.plant("/srv/key.pem").write_text(secret)
    machine.plant("/srv/both.pem").write_text(secret + _pem(name="both") + secret)

    reading = _read(machine, "/srv/key.pem", "/srv/both.pem")
    said = machine.collector_said("certificate", {"paths": ("/srv/key.pem", "/srv/both.pem")})

    assert [row["subject"] for row in reading.rows] == ["(no certificate in PEM form)", "CN=both"]
    assert not any(line in said.stdout + said.stderr for line in secret.splitlines())


def test_patterns_find_files_and_links(machine: Machine) -> None:
    """A pattern is that of the shell, follows links, and reads a file that two patterns name once."""
    for name in ("a", "b c", "[d]"):
        machine.plant(f"/srv/tls/{name}/cert.pem").write_text(_pem(name=name))
    machine.run("mkdir", "/srv/tls/live")
    machine.run("ln", "-s", "/srv/tls/a/cert.pem", "/srv/tls/live/cert.pem")

    reading = _read(machine, "/srv/tls/*/cert.pem", "/srv/tls/a/*.pem", "/srv/tls/[d]/cert.pem")

    assert sorted(str(row["path"]) for row in reading.rows) == [
        "/srv/tls/[d]/cert.pem",
        "/srv/tls/a/cert.pem",
        "/srv/tls/b c/cert.pem",
        "/srv/tls/live/cert.pem",
    ]


def test_file_whose_name_looks_like_a_pattern_is_read_itself(machine: Machine) -> None:
    """A file that bears exactly the name given is meant, although as a pattern the name would find another."""
    for name in ("d", "[d]"):
        machine.plant(f"/srv/tls/{name}/cert.pem").write_text(_pem(name=name))

    reading = _read(machine, "/srv/tls/[d]/cert.pem")

    assert [row["path"] for row in reading.rows] == ["/srv/tls/[d]/cert.pem"]


def test_pattern_that_matches_nothing_is_unknown(machine: Machine) -> None:
    """A pattern that somebody named and that matches nothing is a row of its own, unknown and never silent."""
    machine.plant(_PLACE).write_text(_pem())

    reading = _read(machine, "/srv/tsl/*.pem", "/srv/tls/*.pem")

    assert row_of(reading, path="/srv/tsl/*.pem")["days_left"] is None
    assert _match(reading.rows) == [None, False]


def test_dead_link_in_a_pattern_is_unknown(machine: Machine) -> None:
    """A link that a pattern finds and that leads nowhere is unknown: its certificate was moved away."""
    machine.run("mkdir", "-p", "/srv/tls")
    machine.run("ln", "-s", "/nowhere", "/srv/tls/a.pem")

    reading = _read(machine, "/srv/tls/*.pem")

    assert [(row["path"], row["days_left"]) for row in reading.rows] == [("/srv/tls/a.pem", None)]


@pytest.mark.parametrize("path", ["web.pem", "-in", "~/web.pem", "*"])
def test_path_that_is_not_absolute_fails_the_reading(machine: Machine, path: str) -> None:
    """A path without a slash at its start would mean nothing on a host: the reading has failed with it."""
    reading = _read(machine, path)

    assert reading.status is ReadingStatus.FAILED
    assert f"'{path}' is no absolute path" in reading.reason


def test_well_known_places_are_read_without_names(machine: Machine) -> None:
    """Without names the places of certbot and kubeadm are read; a host that has none is not applicable."""
    machine.run("rm", "-rf", "/etc/letsencrypt", "/etc/kubernetes", "/etc/cockpit", "/etc/pki", "/var/lib/kubelet")
    none = _read(machine)
    machine.plant("/etc/letsencrypt/live/web/fullchain.pem").write_text(_pem(name="web") + _pem(name="ca", serial=2))
    machine.plant("/etc/kubernetes/pki/apiserver.crt").write_text(_pem(name="kube-apiserver"))

    some = _read(machine)

    assert none.status is ReadingStatus.NOT_APPLICABLE
    assert sorted(str(row["subject"]) for row in some.rows) == ["CN=ca", "CN=kube-apiserver", "CN=web"]


def test_openssl_missing_is_unknown(machine: Machine) -> None:
    """Without openssl the reading has failed: it is never healthy."""
    machine.plant(_PLACE).write_text(_pem())
    machine.without("openssl")

    reading = _read(machine, _PLACE)

    assert reading.status is ReadingStatus.FAILED
    assert "openssl is missing" in reading.reason


@pytest.mark.parametrize(
    "said",
    [
        "",
        "serial=1",
        "serial=1\nnotBefore=Jan  1 00:00:00 2026 CET\nnotAfter=Jan  2 00:00:00 2026 CET\nsubject=a",
        "serial=1\nnotBefore=1. Januar 2026\nnotAfter=31. Dezember 2026\nsubject=a",
    ],
)
def test_answer_of_openssl_that_makes_no_sense_is_unknown(machine: Machine, said: str) -> None:
    """A date or an answer in a form that is not known gives no days, instead of wrong ones."""
    machine.plant(_PLACE).write_text(_pem(days_left=-5))
    machine.program("openssl", f"cat >/dev/null; printf '%s\\n' '{said}'")

    assert _match(_read(machine, _PLACE).rows) == [None]


def test_many_certificates_are_all_read(machine: Machine) -> None:
    """A bundle of 100 certificates is read whole, well within the collector's deadline."""
    machine.plant(_PLACE).write_text("".join(_pem(serial=number) for number in range(1, 101)))

    assert len(_read(machine, _PLACE).rows) == 100
