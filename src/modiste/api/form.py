"""One multipart form as it arrives: text fields are kept, the file's bytes are handed on.

Refuses a second file, fields it does not know and a form that breaks off. The fields may stand
before or after the file, so what they say is asked for at the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import python_multipart as multipart
from fastapi.exceptions import RequestValidationError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from modiste.types import Purpose

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_FIELD_BYTES = 64 * 1024
SECONDS = {"expiry": 3600, "expires_after[seconds]": 1}
"""Fields that give the file a lifetime, and the seconds in their unit."""
FIELDS = ("purpose", "visibility", "expires_after[anchor]", *SECONDS)

SCHEMA: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "purpose": {
                            "type": "string",
                            "enum": [str(purpose) for purpose in Purpose],
                            "default": str(Purpose.FINE_TUNE),
                        },
                        "expiry": {"type": "integer", "description": "Hours until it is deleted"},
                        "visibility": {"type": "string", "enum": ["workspace", "user"]},
                        "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
                        "expires_after[seconds]": {"type": "integer"},
                    },
                }
            }
        },
    }
}
"""`openapi_extra` of the route that takes the form."""


class About(NamedTuple):
    """What the form says of its file."""

    filename: str
    purpose: str
    expires_in_s: float | None
    visibility: str


class Form:
    """Feed `push` with what arrives, then call `finish`, then `about`.

    Every method raises RequestValidationError for what is wrong with the form.
    """

    def __init__(self, content_type: str) -> None:
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise wrong(("file", "Field required, in a multipart/form-data body", None))
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._begin_part,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._part_data,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }
        self._parser = multipart.MultipartParser(options[b"boundary"], callbacks)
        self._fields: dict[str, str] = {}
        self._filename: str | None = None
        self._chunks: list[bytes] = []
        self._ended = False
        self._begin_part()

    def push(self, data: bytes) -> list[bytes]:
        """Read on; answer with the bytes of the file in this piece."""
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise wrong(("", f"The form cannot be read: {error}", None)) from None
        chunks, self._chunks = self._chunks, []
        return chunks

    def finish(self) -> None:
        if not self._ended:
            raise wrong(("", "The form ends before its closing boundary; send it again", None))
        if self._filename is None:
            raise wrong(("file", "Field required", None))

    def about(self) -> About:
        problems: list[tuple[str, str, Any]] = [
            (name, f"Unknown field; known are file, {', '.join(FIELDS)}", value)
            for name, value in self._fields.items()
            if name not in FIELDS
        ]
        problems += [
            (name, "Expected a whole number above 0", text)
            for name in SECONDS
            if (text := self._fields.get(name)) is not None and not _is_positive(text)
        ]
        anchor = self._fields.get("expires_after[anchor]", "created_at")
        if anchor != "created_at":
            problems.append(("expires_after[anchor]", "Expected created_at", anchor))
        if problems:
            raise wrong(*problems)
        lifetimes = [
            int(self._fields[n]) * unit for n, unit in SECONDS.items() if n in self._fields
        ]
        return About(
            filename=self._filename or "",
            purpose=self._fields.get("purpose", Purpose.FINE_TUNE),
            expires_in_s=min(lifetimes, default=None),
            visibility=self._fields.get("visibility", "workspace"),
        )

    def _begin_part(self) -> None:
        self._name, self._value = "", bytearray()
        self._in_file = False
        self._headers: dict[bytes, bytes] = {}
        self._header, self._content = b"", b""

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._content += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._header.lower()] = self._content
        self._header, self._content = b"", b""

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        if self._name != "file" and b"filename" not in options:
            return
        if self._name != "file" or self._filename is not None:
            raise wrong((self._name, "A form brings one file, in the field `file`", None))
        self._in_file = True
        self._filename = options.get(b"filename", b"").decode("utf-8", "replace")

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._chunks.append(data[start:end])
        elif len(self._value) + end - start > MAX_FIELD_BYTES:
            raise wrong((self._name, f"A text field has at most {MAX_FIELD_BYTES} bytes", None))
        else:
            self._value += data[start:end]

    def _end_part(self) -> None:
        if not self._in_file:
            self._fields[self._name] = self._value.decode("utf-8", "replace")

    def _end(self) -> None:
        self._ended = True


def wrong(*problems: tuple[str, str, Any]) -> RequestValidationError:
    """Problems of fields (name, message, value) as the error that the app's edge translates."""
    return RequestValidationError(
        [
            {
                "type": "missing" if message.startswith("Field required") else "value_error",
                "loc": ("body", name) if name else ("body",),
                "msg": message,
                "input": value,
            }
            for name, message, value in problems
        ]
    )


def _is_positive(text: str) -> bool:
    return text.isascii() and text.isdecimal() and int(text) > 0
