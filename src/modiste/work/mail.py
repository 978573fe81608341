"""A letter on its way: one SMTP conversation, and in words what it failed by.

Blocking; call it in a thread. Certificates are checked against what this machine trusts
(`SSL_CERT_FILE` names others). A server that does not offer the encryption that is set gets
nothing, neither letter nor password.
"""

from __future__ import annotations

import smtplib
import ssl
from contextlib import suppress
from email.message import EmailMessage

from modiste.errors import UpstreamFailed, UpstreamTimeout
from modiste.settings import SMTP_PORTS, Settings, SmtpTls

TIMEOUT_S = 15.0
"""Of each step of the conversation."""


def send(settings: Settings, letter: EmailMessage, *, to: str) -> None:
    """Return when the server has taken the letter over.

    Raises:
        UpstreamFailed: it could not be reached, or refuses us, the sender, `to` or the letter.
        UpstreamTimeout: it said nothing for TIMEOUT_S.
    """
    host = settings.smtp_host or ""
    port = settings.smtp_port or SMTP_PORTS[settings.smtp_tls]
    who = f"The mail server {host}:{port}"
    try:
        _send(settings, host, port, letter, to)
    except ssl.SSLCertVerificationError as error:
        raise UpstreamFailed(
            f"{who} has a certificate that is not trusted here ({error.verify_message}). Set "
            "MODISTE_SMTP_HOST to the name it is made for, or SSL_CERT_FILE to who signed it."
        ) from None
    except ssl.SSLError as error:
        raise UpstreamFailed(
            f"{who} does not speak TLS as expected ({error.reason or error}). MODISTE_SMTP_TLS is "
            f"{settings.smtp_tls}: tls is usual at port 465, starttls at 587 and 25."
        ) from None
    except (smtplib.SMTPException, OSError) as error:
        if isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):
            raise UpstreamTimeout(
                f"{who} said nothing for {TIMEOUT_S:g} s. Check MODISTE_SMTP_HOST, "
                f"MODISTE_SMTP_PORT and MODISTE_SMTP_TLS ({settings.smtp_tls}), and that no "
                "firewall is in between."
            ) from None
        raise UpstreamFailed(f"{who} {_what(error, settings, to)}") from None


def _send(settings: Settings, host: str, port: int, letter: EmailMessage, to: str) -> None:
    trust = ssl.create_default_context()
    server: smtplib.SMTP
    if settings.smtp_tls is SmtpTls.TLS:
        server = smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_S, context=trust)
    else:
        server = smtplib.SMTP(host, port, timeout=TIMEOUT_S)
    try:
        server.ehlo()
        if settings.smtp_tls is SmtpTls.STARTTLS:
            server.starttls(context=trust)
            server.ehlo()
        if settings.smtp_user is not None and settings.smtp_password is not None:
            server.login(settings.smtp_user, settings.smtp_password.get_secret_value())
        server.send_message(letter, from_addr=settings.mail_from, to_addrs=[to])
        with suppress(smtplib.SMTPException, OSError):
            server.quit()  # It has the letter; how it says goodbye changes nothing.
    finally:
        server.close()


def _what(error: Exception, settings: Settings, to: str) -> str:
    match error:
        case smtplib.SMTPAuthenticationError():
            return (
                f"refuses the user {settings.smtp_user!r} ({_reply(error)}). Check "
                "MODISTE_SMTP_USER and MODISTE_SMTP_PASSWORD."
            )
        case smtplib.SMTPRecipientsRefused(recipients=refused):
            code, text = refused.get(to, (0, b""))
            return f"refuses the receiver {to} ({code} {_text(text)}). Check MODISTE_MAIL_TO."
        case smtplib.SMTPSenderRefused(sender=sender):
            return f"refuses the sender {sender} ({_reply(error)}). Check MODISTE_MAIL_FROM."
        case smtplib.SMTPDataError():
            return f"refuses the letter ({_reply(error)})."
        case smtplib.SMTPNotSupportedError():
            return (
                f"does not offer what is set: {error} MODISTE_SMTP_TLS is {settings.smtp_tls}: tls "
                "is usual at port 465, starttls at 587; without a user leave MODISTE_SMTP_USER out."
            )
        case smtplib.SMTPServerDisconnected():
            return (
                f"ended the conversation ({error}). Check MODISTE_SMTP_PORT and MODISTE_SMTP_TLS "
                f"({settings.smtp_tls})."
            )
        case smtplib.SMTPResponseException():
            return f"does not want to talk to us ({_reply(error)})."
        case _:
            reason = getattr(error, "strerror", None) or str(error)
            return (
                f"cannot be reached ({reason}). Check MODISTE_SMTP_HOST and MODISTE_SMTP_PORT, and "
                "that it is up."
            )


def _reply(error: smtplib.SMTPResponseException) -> str:
    return f"{error.smtp_code} {_text(error.smtp_error)}"


def _text(said: bytes | str) -> str:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return " ".join(text.split())[:300]
