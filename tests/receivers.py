"""Receivers of notifications on loopback: a mail server (aiosmtpd) and a web server."""

from __future__ import annotations

import asyncio
import datetime
import email
import ssl
import threading
import time
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal, NamedTuple

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

USER, PASSWORD = "modiste", "correct horse"


class Mailbox:
    """A mail server at `port` that keeps what it takes.

    Args:
        tls: what it offers; `starttls` and `tls` with the certificate in `folder`, for localhost.
        signs_in: only USER with PASSWORD may send.
    """

    def __init__(
        self,
        folder: Path,
        *,
        tls: Literal["starttls", "tls", "off"] = "off",
        signs_in: bool = False,
        port: int = 0,
    ) -> None:
        self.letters: list[EmailMessage] = []
        self.to: list[str] = []
        self.heard: list[bytes] = []
        """User names and passwords that were sent."""
        self.refused: set[str] = set()
        self.busy = 0
        """So many letters it takes none of, for the moment."""
        self.certificate = folder / "mail.pem"
        self._tls, self._signs_in = tls, signs_in
        self._context = None if tls == "off" else _certified(self.certificate)
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(self._listening(port))
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)

    async def _listening(self, port: int) -> asyncio.Server:
        context = self._context if self._tls == "tls" else None
        return await self._loop.create_server(self._protocol, "127.0.0.1", port, ssl=context)

    def _protocol(self) -> SMTP:
        return SMTP(
            self,
            hostname="mail.test",
            loop=self._loop,
            tls_context=self._context if self._tls == "starttls" else None,
            authenticator=self._authenticated if self._signs_in else None,
            auth_required=self._signs_in,
            auth_require_tls=self._tls == "starttls",
        )

    def _authenticated(self, *asked: Any) -> AuthResult:
        login: LoginPassword = asked[-1]
        self.heard += [login.login, login.password]
        right = (login.login, login.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=right, handled=False)

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if address in self.refused:
            return "550 no such person"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.busy:
            self.busy -= 1
            return "451 come back later"
        self.to += envelope.rcpt_tos
        self.letters.append(email.message_from_bytes(envelope.content, policy=default))
        return "250 OK"


class Got(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes


class Hook:
    """A web server at `port` that keeps what is posted and says the next of `answers`, then 204."""

    def __init__(self, port: int = 0) -> None:
        self.got: list[Got] = []
        self.answers: list[int] = []
        self.pause_s = 0.0
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                hook.got.append(Got(self.path, headers, body))
                time.sleep(hook.pause_s)
                self.send_response(hook.answers.pop(0) if hook.answers else 204)
                self.send_header("location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook?key=of-the-receiver"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join(timeout=5)
        self._server.server_close()


def _certified(path: Path) -> ssl.SSLContext:
    """A self-signed certificate for localhost, written to `path` with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost")]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context
