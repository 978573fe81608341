"""Chat: one question through the real server, and what a conversation remembers."""

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from modiste.cli import chat
from modiste.cli.chat import Conversation
from modiste.errors import Unavailable


class Speaker:
    """A client that answers with fixed pieces, or fails on the way."""

    def __init__(self, *pieces: str | Exception) -> None:
        self.pieces = pieces
        self.bodies: list[dict[str, Any]] = []
        self.closed = False

    def chat_stream(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        self.bodies.append(body)
        try:
            for piece in self.pieces:
                if isinstance(piece, Exception):
                    raise piece
                yield {"choices": [{"delta": {"content": piece}, "finish_reason": None}]}
            yield {"choices": [{"delta": {}, "finish_reason": "stop"}]}
        finally:
            self.closed = True


def test_a_conversation_remembers_both_sides_and_starts_with_the_system_prompt() -> None:
    speaker, heard = Speaker("Hel", "lo"), []
    talk = Conversation(speaker, {"model": "m"}, system="Be kind.")  # type: ignore[arg-type]
    talk.ask("Hi", heard.append)
    talk.ask("Again", heard.append)
    assert "".join(heard) == "HelloHello"
    assert [m["role"] for m in speaker.bodies[1]["messages"]] == [
        "system", "user", "assistant", "user",
    ]  # fmt: skip
    assert speaker.bodies[1]["messages"][2]["content"] == "Hello"


def test_an_answer_that_fails_leaves_no_half_turn() -> None:
    speaker = Speaker("Hel", Unavailable("gone"))
    talk = Conversation(speaker, {"model": "m"})  # type: ignore[arg-type]
    with pytest.raises(Unavailable):
        talk.ask("Hi", lambda text: None)
    assert talk.turns == []


def test_ctrl_c_stops_the_answer_and_keeps_the_conversation(capsys) -> None:
    def interrupt(text: str) -> None:
        raise KeyboardInterrupt

    speaker = Speaker("Hel", "lo")
    talk = Conversation(speaker, {"model": "m"})  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        talk.ask("Hi", interrupt)
    assert speaker.closed, "closing the stream is what stops the generation"
    assert talk.turns == []


def converse(monkeypatch, speaker: Speaker, *lines: str | type[BaseException]) -> None:
    """A conversation in which these lines are typed, and these keys pressed."""
    typed = iter(lines)

    def read(prompt: str) -> str:
        line = next(typed)
        if isinstance(line, str):
            return line
        raise line

    monkeypatch.setattr("builtins.input", read)
    chat._converse(Conversation(speaker, {"model": "m"}))  # type: ignore[arg-type]


def test_the_commands_of_a_conversation(monkeypatch, capsys) -> None:
    speaker = Speaker("yo")
    lines = ["/help", "", "Hi", "/history", "/system Short.", "/reset", "Hi", "/what", "/exit"]
    converse(monkeypatch, speaker, *lines)
    assert [len(body["messages"]) for body in speaker.bodies] == [1, 2]
    said = capsys.readouterr().err
    for word in ("/reset ", "user: Hi\nassistant: yo", "is forgotten", "/what is no command"):
        assert word in said


def test_a_question_can_be_asked_again(monkeypatch, capsys) -> None:
    speaker = Speaker("yo")
    converse(monkeypatch, speaker, "/retry", "Hi", "/retry", "/exit")
    assert [body["messages"] for body in speaker.bodies] == [
        [{"role": "user", "content": "Hi"}]
    ] * 2
    assert "Nothing was asked yet" in capsys.readouterr().err


def test_ctrl_c_at_the_prompt_does_not_end_the_conversation_and_ctrl_d_does(
    monkeypatch, capsys
) -> None:
    speaker = Speaker("yo")
    converse(monkeypatch, speaker, KeyboardInterrupt, "Hi", EOFError)
    assert len(speaker.bodies) == 1
    assert "Ctrl-D ends" in capsys.readouterr().err


def test_json_without_a_question_is_wrong_usage(modiste, monkeypatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert modiste("chat", "modiste-tiny", "--json").code == 2


def test_a_question_is_answered_by_a_server_started_for_it(modiste) -> None:
    arguments = ("chat", "modiste-tiny", "-m", "Hello", "--seed", "3", "--max-tokens", "5")
    first = modiste(*arguments, "--json")
    assert first.code == 0, first.err
    assert "starting one for this command" in first.err
    answer = json.loads(first.out)
    assert answer["usage"]["completion_tokens"] <= 5


def test_a_model_that_is_not_installed_is_refused_with_what_to_type(modiste) -> None:
    result = modiste("chat", "nope", "-m", "Hello")
    assert result.code != 0
    assert "modiste models add" in result.err
