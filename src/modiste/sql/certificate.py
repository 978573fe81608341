"""TLS of the SQL door: files of yours, or a certificate that this home makes for itself.

A certificate made here (`<home>/sql.crt`, its key in `<home>/sql.key`, mode 0600) is signed by
itself: it keeps others from reading along, and a client that is given `sql.crt` knows the server.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from modiste.errors import InvalidInput
from modiste.settings import Settings

VALID_DAYS = 3650


def context(settings: Settings) -> ssl.SSLContext:
    """TLS 1.2 or newer.

    Raises:
        InvalidInput: files that were named cannot be used.
    """
    certificate, key = settings.sql_tls_cert, settings.sql_tls_key
    if (certificate is None) != (key is None):
        raise InvalidInput("sql_tls_cert and sql_tls_key belong together; only one is set")
    if certificate is None or key is None:
        certificate, key = settings.home / "sql.crt", settings.home / "sql.key"
        if not (certificate.exists() and key.exists()):
            make(certificate, key, host=settings.host)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        made.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise InvalidInput(
            f"{certificate} and {key} are no certificate with its key: {error}",
            param="sql_tls_cert",
        ) from None
    return made


def make(certificate: Path, key: Path, *, host: str) -> None:
    """A new key (P-256) and its certificate for this machine's names, in two files."""
    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Modiste")])
    since = datetime.now(UTC) - timedelta(hours=1)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(since + timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName(_names(host)), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(secret, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    _write(key, secret.private_bytes(pem, form, plain), mode=0o600)
    _write(certificate, signed.public_bytes(pem), mode=0o644)


def _names(host: str) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = [x509.DNSName("localhost")]
    here = socket.gethostname()
    if here.isascii() and here != "localhost":
        names.append(x509.DNSName(here))
    addresses = {"127.0.0.1", "::1"}
    try:
        asked = ipaddress.ip_address(host)
        addresses |= set() if asked.is_unspecified else {str(asked)}
    except ValueError:
        if host not in ("localhost", here) and host.isascii():
            names.append(x509.DNSName(host))
    return names + [x509.IPAddress(ipaddress.ip_address(each)) for each in sorted(addresses)]


def _write(path: Path, content: bytes, *, mode: int) -> None:
    beside = path.with_name(f".{path.name}-{os.getpid()}")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as out:
        out.write(content)
    os.replace(beside, path)
