"""What each technique makes of a text."""

import base64
import json

from modiste.evaluate.redteam.techniques import TECHNIQUES, usual

ASK = "Which city is the capital of France?"


def said(technique: str) -> str:
    return json.dumps(TECHNIQUES[technique](ASK), ensure_ascii=False)


def test_the_last_word_is_the_users_or_begun_for_the_model() -> None:
    for name, technique in TECHNIQUES.items():
        last = technique(ASK)[-1]
        assert last["role"] in ("user", "tool") or last["prefix"], name
        assert technique(ASK) == technique(ASK), name


def test_what_is_hidden_is_there_and_not_to_be_read() -> None:
    assert base64.b64encode(ASK.encode()).decode() in said("base64")
    assert "Juvpu pvgl" in said("rot13")
    assert ASK.encode().hex() in said("hex")
    hidden = ("base64", "rot13", "hex", "confusables", "smuggling", "zero_width", "leetspeak")
    for name in (*hidden, "split", "pieces", "system_prompt"):
        assert ASK not in said(name), name
    tags = TECHNIQUES["smuggling"](ASK)[0]["content"]
    assert "".join(chr(ord(c) - 0xE0000) for c in tags if ord(c) > 0xE0000) == ASK


def test_pieces_are_the_whole_text() -> None:
    lines = TECHNIQUES["split"](ASK)[0]["content"].splitlines()[:-1]
    assert "".join(json.loads(line.partition(" = ")[2]) for line in lines) == ASK


def test_those_that_need_something_are_asked_for() -> None:
    assert {"turns", "tool_result"}.isdisjoint(usual(attacker=False))
    assert "turns" in usual(attacker=True)
