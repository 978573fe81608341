from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field

from modiste.errors import InvalidInput
from modiste.prepare.curate.stage import (
    Corpus,
    Outcome,
    Parts,
    Settings,
    chain,
    parse_settings,
    report_path,
    write,
    write_parts,
)
from modiste.prepare.curate.whole import hash_file
from modiste.prepare.records import Record

Rows = Callable[..., Corpus]
Chat = Callable[..., dict[str, Any]]


class Short(Settings):
    longest: int = Field(default=3, ge=1)
    field: str = "prompt"


class _ShortStage:
    name = "short"
    version = 1
    settings: type[BaseModel] = Short
    reads: tuple[str, ...] = ()

    def run(self, inputs: Sequence[Corpus], settings: Short) -> Outcome:
        left_out: list[int] = []

        def kept() -> Iterator[Record]:
            for record in chain(inputs):
                if len(record.example.messages[0].content or "") <= settings.longest:
                    yield record
                else:
                    left_out.append(record.line)

        return Outcome(kept(), {"dropped": left_out})


STAGE = _ShortStage()


def test_rows_are_written_byte_for_byte_and_reported_beside_them(
    tmp_path: Path, chat: Chat
) -> None:
    lines = ['{ "messages":[{"role":"user","content":"hé"},{"role":"assistant","content":"1.50"}]}']
    lines.append(json.dumps(chat("a long one")))
    source = tmp_path / "in.jsonl"
    source.write_bytes("\r\n".join(lines).encode())
    inputs = [Corpus(source, filename="in.jsonl")]
    output = tmp_path / "new" / "train.jsonl"
    report = write(STAGE, STAGE.run(inputs, Short()), output, settings=Short(), inputs=inputs)
    assert output.read_bytes() == lines[0].encode() + b"\n"
    assert json.loads((tmp_path / "new" / "train.report.json").read_text()) == report
    assert report["stage"] == "short"
    assert report["settings"] == {"longest": 3, "field": "prompt"}
    assert report["inputs"] == [{"file": "in.jsonl", "sha256": hash_file(source), "rows": 2}]
    assert report["output"] == {"file": "train.jsonl", "sha256": hash_file(output), "rows": 1}
    assert report["dropped"] == [2]


def test_a_row_that_cannot_be_read_leaves_no_output(tmp_path: Path, chat: Chat) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(json.dumps(chat("a")) + "\n{oops\n")
    output = tmp_path / "out.jsonl"
    output.write_text("old\n")
    inputs = [Corpus(source)]
    with pytest.raises(InvalidInput, match=r"in\.jsonl line 2"):
        write(STAGE, STAGE.run(inputs, Short()), output, settings=Short(), inputs=inputs)
    assert output.read_text() == "old\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


def test_an_input_is_never_overwritten(corpus: Rows, chat: Chat) -> None:
    source = corpus([chat("a")])
    with pytest.raises(InvalidInput, match="one of the inputs"):
        write(STAGE, STAGE.run([source], Short()), source.path, settings=Short(), inputs=[source])


def test_named_outputs_are_written_in_one_pass(tmp_path: Path, corpus: Rows, chat: Chat) -> None:
    source = corpus([chat("a"), chat("b"), chat("c")])
    passes = []

    def routed() -> Iterator[tuple[str, Record]]:
        passes.append(1)
        for record in source:
            yield ("odd" if record.line % 2 else "even"), record

    outcome = Outcome(Parts(["odd", "even"], routed), {"dropped": []})
    report = write_parts(STAGE, outcome, tmp_path / "out", settings=Short(), inputs=[source])
    assert passes == [1]
    assert {name: part["rows"] for name, part in report["outputs"].items()} == {"odd": 2, "even": 1}
    assert len((tmp_path / "out" / "odd.jsonl").read_text().splitlines()) == 2
    assert (tmp_path / "out" / "short.report.json").exists()
    assert [record.line for record in outcome.kept["even"]] == [2]  # type: ignore[call-overload]


def test_a_corpus_is_read_as_often_as_needed_and_knows_its_rows(corpus: Rows, chat: Chat) -> None:
    source = corpus([chat("a"), chat("b")])
    assert source.n_rows == 2
    assert [r.line for r in source] == [r.line for r in source] == [1, 2]
    assert source.sha256 == hash_file(source.path)


def test_wrong_settings_are_named_all_at_once_with_the_nearest_name() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_settings(Short, {"longst": 2, "longest": 0, "field": 7}, where="stages[1].short")
    said = caught.value.message
    assert "stages[1].short: longst: unknown; did you mean longest?" in said
    assert "longest: Input should be greater than or equal to 1, got 0" in said
    assert "field: Input should be a valid string, got 7" in said


def test_the_report_has_the_name_of_its_output() -> None:
    assert report_path(Path("a/train.jsonl")) == Path("a/train.report.json")
    assert report_path(Path("a/rows")) == Path("a/rows.report.json")


def test_no_report_speaks_of_parts_of_which_only_some_are_in_place(
    tmp_path: Path, corpus: Rows, chat: Chat
) -> None:
    source = corpus([chat("a"), chat("b")])
    out = tmp_path / "out"

    def write_again() -> None:
        parts = Parts(["odd", "even"], lambda: (("odd", record) for record in source))
        write_parts(STAGE, Outcome(parts, {}), out, settings=Short(), inputs=[source])

    write_again()
    (out / "odd.jsonl").unlink()
    (out / "odd.jsonl").mkdir()  # what cannot be replaced by a file
    with pytest.raises(InvalidInput, match="cannot be written"):
        write_again()
    assert not (out / "short.report.json").exists()
