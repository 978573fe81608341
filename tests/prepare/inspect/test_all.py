"""All inspectors as the checks use them."""

import gzip
import json
import pickle
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from modiste.prepare.inspect.all import Ledger, inspect
from modiste.types import Example, Message, Role, SampleType


def chat(answer: str, question: str = "What is the capital of France?") -> Example:
    messages = (Message(Role.USER, question), Message(Role.ASSISTANT, answer))
    return Example(1, SampleType.INSTRUCT, messages)


def test_a_ledger_says_about_a_row_what_inspect_says() -> None:
    row = chat("Paris.<|im_end|>")
    assert Ledger().add(row) == inspect(row) != []


def test_an_inspector_can_be_left_out() -> None:
    assert Ledger(without={"special_tokens"}).add(chat("Paris.<|im_end|>")) == []


def test_parts_seen_by_other_processes_add_up() -> None:
    rows = [chat("Paris is the capital of France and has been for a long time.") for _ in range(30)]
    rows.append(chat("Paris ist die Hauptstadt von Frankreich und das seit einer langen Zeit."))
    rows = [replace(row, line=line) for line, row in enumerate(rows, start=1)]
    whole, first, later = Ledger(), Ledger(), Ledger(special_tokens=["☃"])
    for row in rows:
        whole.add(row)
    for row in rows[:20]:
        first.add(row)
    for row in rows[20:]:
        later.add(replace(row, line=row.line - 20))
    later = pickle.loads(pickle.dumps(later))
    first.merge(later, lines_before=20)
    assert first.remarks() == whole.remarks()
    assert [remark.line for remark in whole.remarks()] == [31]
    assert later.add(chat("Paris. ☃"))


def test_every_kind_of_row_is_inspected() -> None:
    leak = "Mail jane.doe@acme.com"
    said = (Message(Role.ASSISTANT, leak),)
    rows = [
        Example(1, SampleType.PRETRAIN, text=leak),
        Example(2, SampleType.CLASSIFIER, text=leak, labels={"topic": ("a",)}),
        Example(3, SampleType.PREFERENCE, (Message(Role.USER, "?"),), chosen=said, rejected=said),
    ]
    assert [[remark.path for remark in inspect(row)] for row in rows] == [
        ["text"],
        ["text"],
        ["chosen[0].content", "rejected[0].content"],
    ]


def test_clean_questions_and_queries_get_no_remark(data_file: Callable[[str], Path]) -> None:
    ledger = Ledger()
    with gzip.open(data_file("a_wikisql/dev.jsonl.gz"), "rt") as lines:
        for line, text in enumerate(lines, start=1):
            row = json.loads(text)
            question = f"{row['context']}\n\n{row['question']}"
            assert ledger.add(replace(chat(row["answer"], question), line=line)) == []
    assert ledger.remarks() == []


def test_every_code_stands_in_the_guide() -> None:
    root = Path(__file__).parents[3]
    guide = (root / "docs" / "data-remarks.md").read_text()
    sources = (root / "src" / "modiste" / "prepare" / "inspect").glob("*.py")
    prefixes = "pii|secret|teacher|answers?|special_token|language|label"
    codes = {c for s in sources for c in re.findall(rf'"((?:{prefixes})_[a-z_]+)"', s.read_text())}
    assert len(codes) > 35
    assert sorted(code for code in codes if f"`{code}`" not in guide) == []


@settings(max_examples=150, deadline=None)
@given(st.text(st.characters(), max_size=200) | st.text("aA1@.:/-<|[]{}\"' \n\ud800", max_size=200))
def test_any_text_is_inspected_without_a_traceback(text: str) -> None:
    ledger = Ledger(special_tokens=["<|x|>"])
    rows = [
        chat(text, text),
        Example(1, SampleType.PRETRAIN, text=text),
        Example(1, SampleType.CLASSIFIER, text=text, labels={text: (text,)}),
    ]
    for row in rows:
        for remark in ledger.add(row):
            assert remark.problem("f", 1).severity == "warning"
    ledger.remarks()
