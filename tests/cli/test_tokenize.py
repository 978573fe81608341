"""The tokens of texts and chats at the command line, through the real app."""

import io
import json

import pytest

CHAT = [{"role": "user", "content": "hi there"}]


def test_a_text_is_shown_token_by_token(modiste) -> None:
    shown = modiste("tokenize", "Once upon é", "--model", "modiste-tiny")
    assert shown.code == 0, shown.err
    told = modiste("tokenize", "Once upon é", "--model", "modiste-tiny", "--json").json
    lines = shown.out.splitlines()
    assert lines[-1] == f"{told['count']} tokens; the context holds 2,048"
    assert told["count"] == len(told["tokens"]) == len(told["token_strs"]) > 3
    for token, piece in zip(told["tokens"], told["token_strs"], strict=True):
        assert any(f" {token} " in line and json.dumps(piece) in line for line in lines)
    bare = modiste("tokenize", "Once upon é", "--model", "modiste-tiny", "--bare", "--json").json
    assert bare["tokens"] == told["tokens"][1:]


def test_a_chat_is_shown_as_it_is_answered(modiste, tmp_path) -> None:
    file = tmp_path / "chat.json"
    file.write_text(json.dumps(CHAT))
    told = modiste("tokenize", "--chat", file, "--model", "modiste-tiny", "--json").json
    assert "[INST]" in told["token_strs"]
    file.write_text(json.dumps({"messages": CHAT}))
    again = modiste("tokenize", "--chat", file, "--model", "modiste-tiny", "--json").json
    assert again == told


def test_standard_input_is_read_as_it_is(modiste, monkeypatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("Once upon\n"))
    piped = modiste("tokenize", "--model", "modiste-tiny", "--json").json
    given = modiste("tokenize", "Once upon\n", "--model", "modiste-tiny", "--json").json
    assert piped == given


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "cannot be read as JSON"),
        ('"hi"', "expected a list of messages"),
        ('{"messages": [], "temperature": 1}', "temperature is no part of a prompt"),
        (json.dumps([{"role": "assistant", "content": "x"}]), "must start with"),
    ],
)
def test_files_that_hold_no_chat_are_refused(modiste, tmp_path, content, said) -> None:
    file = tmp_path / "chat.json"
    file.write_text(content)
    refused = modiste("tokenize", "--chat", file, "--model", "modiste-tiny")
    assert refused.code != 0
    assert said in refused.err


def test_a_text_and_a_chat_are_too_much(modiste, tmp_path) -> None:
    refused = modiste("tokenize", "hi", "--chat", tmp_path / "a", "--model", "modiste-tiny")
    assert (refused.code, "do not go with --chat" in refused.err) == (2, True)
