"""Files to samples, and the rows that prove parity."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from modiste.errors import TuningFailed
from modiste.nn.greedy import Likeliest
from modiste.prepare import render
from modiste.prepare.checks.file import check_file
from modiste.prepare.fim import Fim
from modiste.prepare.formats.chat import parse_row
from modiste.prepare.render import Rendered, Renderer
from modiste.prepare.render_mistral import MistralRenderer
from modiste.types import Example, OverLength, SampleType
from modiste.work.training_rows import (
    PARITY_ROWS,
    PARITY_TOKENS,
    Sample,
    chat_row,
    data_file,
    parity_rows,
    read_samples,
    tokenised,
)

TINY = Path(__file__).parents[2] / "src/modiste/bases/tiny"
TURN = [{"role": "user", "content": "where is it"}, {"role": "assistant", "content": "late"}]
ROWS = [
    {"messages": TURN},
    {"messages": [{"role": "system", "content": "be brief"}, *TURN, *TURN]},
    {"messages": [TURN[0], {"role": "assistant", "content": "no", "weight": 0}, *TURN]},
    {"text": "plain text"},
    {
        "messages": [
            TURN[0],
            {
                "role": "assistant",
                "tool_calls": [
                    {
                        "id": "abcdefghi",
                        "type": "function",
                        "function": {"name": "find", "arguments": '{"x": 1}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "abcdefghi", "content": "there"},
            TURN[1],
        ],
        "tools": [
            {
                "type": "function",
                "function": {"name": "find", "description": "d", "parameters": {"type": "object"}},
            }
        ],
    },
]


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return render.load(TINY)


def written(tmp_path: Path, *lines: object) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(x if isinstance(x, str) else json.dumps(x) for x in lines) + "\n")
    return path


@pytest.mark.parametrize("row", ROWS)
def test_an_example_is_written_as_the_row_it_came_from(row: dict) -> None:
    example = parse_row(row, file="f", line=1).example
    assert example is not None
    again = parse_row(json.loads(json.dumps(chat_row(example))), file="f", line=1)
    assert again.example == example
    assert not again.problems


def test_good_rows_become_samples_in_order(tmp_path: Path, renderer: Renderer) -> None:
    file = data_file({"path": str(written(tmp_path, ROWS[0], "", ROWS[1]))}, {})
    samples = list(read_samples(file, renderer, max_length=200))
    assert [sample.example.line for sample in samples] == [1, 3], "blank lines are no rows"
    assert all(any(sample.rendered.mask) for sample in samples)
    assert file.filename == "rows.jsonl"


def test_lines_that_validation_skipped_are_skipped(tmp_path: Path, renderer: Renderer) -> None:
    path = str(written(tmp_path, ROWS[0], "{broken", ROWS[0]))
    file = data_file({"path": path, "filename": "mine.jsonl"}, {path: [2]})
    assert len(list(read_samples(file, renderer, max_length=200))) == 2


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("{broken", "invalid_data", "mine.jsonl line 2"),
        ({"messages": [{"role": "bot", "content": "x"}]}, "invalid_data", "line 2"),
        ({"messages": TURN[:1]}, "invalid_data", "mine.jsonl line 2"),
        (
            {"messages": [TURN[0], {"role": "assistant", "content": "long " * 300}]},
            "sample_too_long",
            "mine.jsonl line 2: the row takes",
        ),
    ],
)
def test_a_bad_line_ends_the_run_and_is_named(
    tmp_path: Path, renderer: Renderer, line: object, code: str, says: str
) -> None:
    path = str(written(tmp_path, ROWS[0], line))
    with pytest.raises(TuningFailed) as raised:
        list(read_samples(data_file({"path": path, "filename": "mine.jsonl"}, {}), renderer,
                          max_length=200))  # fmt: skip
    assert raised.value.error_code == code
    assert says in raised.value.message


def test_a_file_that_is_gone_is_named(tmp_path: Path, renderer: Renderer) -> None:
    file = data_file({"path": str(tmp_path / "gone"), "filename": "mine.jsonl"}, {})
    with pytest.raises(TuningFailed, match=r"mine\.jsonl: .* cannot be read") as raised:
        list(read_samples(file, renderer, max_length=200))
    assert raised.value.error_code == "file_unreadable"


class Trained:
    """Finds the next number most likely everywhere, and remembers what it was asked."""

    def __init__(self) -> None:
        self.looked: list[list[int]] = []

    def logprobs(self, ids: Sequence[int], *, adapted: bool) -> list[float]:
        return [-1.0 if adapted else -2.0] * (len(ids) - 1)

    def likeliest(self, ids: Sequence[int]) -> Likeliest:
        self.looked.append([*ids])
        return Likeliest([token + 1 for token in ids], [0.5] * len(ids))


def sample(length: int, first_target: int) -> Sample:
    mask = [i >= first_target for i in range(length)]
    example = Example(line=length, sample_type=SampleType.PRETRAIN, text=f"{length} tokens")
    return Sample(example, Rendered(list(range(length)), mask))


def test_parity_rows_are_few_short_and_come_with_both_logprobs() -> None:
    asked = 0

    def endless() -> Iterator[Sample]:
        nonlocal asked
        while True:
            asked += 1
            yield sample(300, first_target=5)

    found = parity_rows(endless(), Trained(), longest=1000)
    assert len(found) == asked == PARITY_ROWS, "a large file is not read to its end"
    for row in found:
        assert len(row["ids"]) == len(row["mask"]) == PARITY_TOKENS
        assert row["logprobs"] == [-1.0] * (PARITY_TOKENS - 1)
        assert row["base_logprobs"] == [-2.0] * (PARITY_TOKENS - 1)
        assert row["text"] == "300 tokens"


def test_rows_whose_answer_comes_late_are_taken_last() -> None:
    late = [sample(400, first_target=390)] * 20
    found = parity_rows(iter([*late, sample(50, first_target=40)]), Trained(), longest=1000)
    assert [row["text"] for row in found[:2]] == ["50 tokens", "400 tokens"]
    assert len(found) == PARITY_ROWS


def test_the_first_rows_have_the_answer_that_training_finds_most_likely() -> None:
    trained = Trained()
    rows = parity_rows(iter([sample(30, first_target=10)] * 6), trained, longest=1000)
    assert [row.get("greedy", {}).get("n_prompt") for row in rows] == [*[10] * 4, None, None]
    assert rows[0]["greedy"]["ids"] == list(range(10, 26))
    assert rows[0]["greedy"]["margins"] == [0.5] * 16
    assert len(trained.looked) == 4, "the row's own answer is guessed first"


def test_a_greedy_answer_ends_with_the_context() -> None:
    def greedy(longest: int) -> dict[str, Any] | None:
        (row,) = parity_rows(iter([sample(30, first_target=10)]), Trained(), longest=longest)
        found: dict[str, Any] | None = row["greedy"]
        return found

    short = greedy(13)
    assert short is not None
    assert short["ids"] == [10, 11, 12]
    assert greedy(10) is None


def test_a_text_without_a_prompt_is_continued_from_its_middle() -> None:
    (row,) = parity_rows(iter([sample(30, first_target=1)]), Trained(), longest=1000)
    assert row["greedy"]["n_prompt"] == 15


def test_a_long_conversation_is_cut_between_turns_when_that_is_asked_for(tmp_path: Path) -> None:
    turns = [("user", "assistant")[at % 2] for at in range(8)]
    row = {"messages": [{"role": role, "content": "word " * 20} for role in turns]}
    path = tmp_path / "long.jsonl"
    path.write_text(json.dumps(row) + "\n")
    file, tiny = data_file({"path": str(path)}, {}), render.load(TINY)

    with pytest.raises(TuningFailed, match="a sequence has room for 128"):
        list(read_samples(file, tiny, max_length=128))
    cut = list(read_samples(file, tiny, max_length=128, over_length=OverLength.SPLIT))
    counted = check_file(path, filename="f", renderer=tiny, seq_len=128, over_length="split")

    assert len(cut) == counted.n_samples > 1
    assert sum(len(s.rendered.ids) for s in cut) == counted.n_tokens


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl.gz", gzip.compress(json.dumps({"question": "q?", "answer": "a."}).encode())),
        ("a.json", json.dumps([{"instruction": "q?", "output": "a."}]).encode()),
        ("a.csv", b"prompt,completion\nq?,a.\n"),
    ],
)
def test_rows_of_any_format_and_container_are_trained_as_chats(
    tmp_path: Path, renderer: Renderer, name: str, content: bytes
) -> None:
    path = tmp_path / "blob"
    path.write_bytes(content)
    file = data_file({"path": str(path), "filename": name}, {})
    (sample,) = read_samples(file, renderer, max_length=200)
    assert [message.content for message in sample.example.messages] == ["q?", "a."]
    assert True in sample.rendered.mask
    assert [m["content"] for m in chat_row(sample.example)["messages"]] == ["q?", "a."]


def test_rows_that_are_neither_chats_nor_pairs_are_refused_by_what_they_are(
    tmp_path: Path, renderer: Renderer
) -> None:
    path = str(written(tmp_path, {"text": "great", "labels": {"mood": "good"}}))
    with pytest.raises(TuningFailed, match="the row is a classifier row") as raised:
        list(read_samples(data_file({"path": path}, {}), renderer, max_length=200))
    assert raised.value.error_code == "kind_not_trained"


PAIR = {"prompt": "where is it", "chosen": "late, sorry", "rejected": "no"}


def test_a_pair_is_two_samples_and_one_for_the_recipe(tmp_path: Path, renderer: Renderer) -> None:
    path = written(tmp_path, PAIR, PAIR | {"chosen": "soon"})
    found = list(read_samples(data_file({"path": str(path)}, {}), renderer, max_length=200))
    assert [sample.answer for sample in found] == ["chosen", "rejected"] * 2
    assert [sample.example.messages[-1].content for sample in found[:2]] == ["late, sorry", "no"]

    samples = tokenised(found)
    assert len(samples) == 2
    assert samples.has_pairs
    first = samples[0]
    assert first.ids[: first.split].tolist() == found[0].rendered.ids
    assert first.ids[first.split :].tolist() == found[1].rendered.ids
    assert first.mask.tolist() == found[0].rendered.mask + found[1].rendered.mask
    counted = check_file(path, filename="f", renderer=renderer, seq_len=200)
    assert counted.n_tokens == int(samples.lengths.sum())
    assert counted.n_trained_tokens == int(samples.n_targets().sum())


def test_what_the_assistant_said_before_is_context_of_both_answers(
    tmp_path: Path, renderer: Renderer
) -> None:
    said = [*TURN, {"role": "user", "content": "why"}]
    path = written(tmp_path, {"prompt": said, "chosen": "rain", "rejected": "snow"})
    for sample in read_samples(data_file({"path": str(path)}, {}), renderer, max_length=200):
        trained = [t for t, on in zip(*sample.rendered, strict=True) if on]
        assert renderer.decode(trained).strip() in ("rain", "snow")
        assert "late" in renderer.decode(sample.rendered.ids)


def test_the_conversations_of_a_pair_prove_parity_as_chats(
    tmp_path: Path, renderer: Renderer
) -> None:
    path = written(tmp_path, PAIR)
    found = read_samples(data_file({"path": str(path)}, {}), renderer, max_length=200)
    rows = parity_rows(found, Trained(), longest=1000)
    assert [row["messages"][-1]["content"] for row in rows] == ["late, sorry", "no"]


def test_a_pair_with_an_untrained_answer_is_kept_and_has_no_use(
    tmp_path: Path, renderer: Renderer
) -> None:
    quiet = [{"role": "assistant", "content": "no", "weight": 0}]
    path = written(tmp_path, PAIR | {"rejected": quiet})
    found = read_samples(data_file({"path": str(path)}, {}), renderer, max_length=200)
    samples = tokenised(found)
    assert samples.n_targets_of_parts()[0].tolist()[1] == 0


def test_texts_are_filled_in_the_middle_and_chats_are_not(tmp_path: Path) -> None:
    import mistral_common

    data = Path(mistral_common.__file__).parent / "data"
    mistral = MistralRenderer(data / "tekken_240911.json")
    path = written(tmp_path, {"text": "a text that is long enough"}, {"text": "and another one"})
    file = data_file({"path": str(path)}, {})
    plain = list(read_samples(file, mistral, max_length=200))
    turned = list(read_samples(file, mistral, max_length=200, fim=Fim(1.0, 0)))
    assert mistral.fim is not None
    assert not any(mistral.fim.marks & set(sample.rendered.ids) for sample in plain)
    assert all(mistral.fim.marks <= set(sample.rendered.ids) for sample in turned)
    assert list(read_samples(file, mistral, max_length=200, fim=Fim(0.0, 0))) == plain

    chats = written(tmp_path, ROWS[0])
    file = data_file({"path": str(chats)}, {})
    assert list(read_samples(file, mistral, max_length=200, fim=Fim(1.0, 0))) == list(
        read_samples(file, mistral, max_length=200)
    )


def test_fim_on_a_base_without_it_ends_the_run_and_names_the_row(
    tmp_path: Path, renderer: Renderer
) -> None:
    file = data_file({"path": str(written(tmp_path, {"text": "some text"}))}, {})
    with pytest.raises(TuningFailed, match=r"line 1: fim_ratio is 0\.5, but"):
        list(read_samples(file, renderer, max_length=200, fim=Fim(0.5, 0)))


def test_a_text_longer_than_a_sequence_is_trained_whole_in_pieces(
    tmp_path: Path, renderer: Renderer
) -> None:
    text = " ".join(f"word{number}" for number in range(300))
    path = written(tmp_path, {"text": text})
    found = list(read_samples(data_file({"path": str(path)}, {}), renderer, max_length=64))
    assert len(found) > 4
    assert all(sample.rendered.n_tokens <= 64 for sample in found)
    ids = [token for sample in found for token in sample.rendered.ids]
    assert renderer.decode(ids).replace(" ", "") == text.replace(" ", "")
