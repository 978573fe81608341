"""Forms in pieces of every size; wrong ones are refused with the field's name."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError

from modiste.api.form import MAX_FIELD_BYTES, About, Form

TYPE = "multipart/form-data; boundary=b"


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    file = "" if filename is None else f'; filename="{filename}"'
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
    return head.encode() + content + b"\r\n"


END = b"--b--\r\n"
FILE = part("file", b"one\r\ntwo\n", "t.jsonl")


def read(body: bytes, *, piece: int = 10_000) -> tuple[bytes, About]:
    form = Form(TYPE)
    content = b"".join(
        chunk for at in range(0, len(body), piece) for chunk in form.push(body[at : at + piece])
    )
    form.finish()
    return content, form.about()


def problems(body: bytes) -> dict[str, str]:
    with pytest.raises(RequestValidationError) as caught:
        read(body)
    return {".".join(map(str, each["loc"])): each["msg"] for each in caught.value.errors()}


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 64, 10_000])
def test_a_form_is_the_same_in_pieces_of_every_size(piece: int) -> None:
    body = part("purpose", b"batch") + FILE + part("visibility", b"user") + END
    content, about = read(body, piece=piece)
    assert content == b"one\r\ntwo\n"
    assert about == About("t.jsonl", "batch", None, "user")


def test_a_file_alone_is_for_tuning_and_for_everybody() -> None:
    assert read(FILE + END)[1] == About("t.jsonl", "fine-tune", None, "workspace")


def test_an_empty_file_is_a_file() -> None:
    assert read(part("file", b"", "e.jsonl") + END)[0] == b""


def test_the_shorter_of_two_lifetimes_holds() -> None:
    body = part("expiry", b"2") + part("expires_after[seconds]", b"60") + FILE + END
    assert read(body)[1].expires_in_s == 60


@pytest.mark.parametrize("kind", ["", "application/json", "multipart/form-data", "text/plain; b=1"])
def test_what_is_no_form_lacks_its_file(kind: str) -> None:
    with pytest.raises(RequestValidationError) as caught:
        Form(kind)
    assert caught.value.errors()[0]["loc"] == ("body", "file")
    assert caught.value.errors()[0]["type"] == "missing"


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (part("purpose", b"x") + END, "body.file"),
        (FILE + part("file", b"x", "u.jsonl") + END, "body.file"),
        (FILE + part("other", b"x", "u.jsonl") + END, "body.other"),
        (FILE + part("color", b"red") + END, "body.color"),
        (FILE + part("expiry", b"-1") + END, "body.expiry"),
        (FILE + part("expiry", b"0") + END, "body.expiry"),
        (FILE + part("expires_after[anchor]", b"now") + END, "body.expires_after[anchor]"),
        (FILE + part("purpose", b"x" * (MAX_FIELD_BYTES + 1)) + END, "body.purpose"),
        (FILE, "body"),
        (FILE[:-5], "body"),
        (b"no form at all", "body"),
    ],
)
def test_wrong_forms_are_refused_with_the_fields_name(body: bytes, named: str) -> None:
    assert named in problems(body)


def test_all_wrong_fields_are_told_at_once() -> None:
    wrong: Any = problems(FILE + part("expiry", b"x") + part("hue", b"y") + END)
    assert set(wrong) == {"body.expiry", "body.hue"}
