"""Rows that give eval items away are dropped, others are left alone, and the report shows why."""

import gzip
import json
import os
import random
import re
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from modiste.errors import InvalidInput
from modiste.prepare.curate.contamination import STAGE, Decontaminate, decontaminate
from modiste.prepare.curate.stage import Corpus, Outcome, write

Rows = Callable[..., Corpus]
Chat = Callable[..., dict[str, Any]]
WORDS = ["".join(letters) for letters in product("bdgklmnprst", "aeiou", "bdgklmnprst", "aeiou")]


def text(seed: int, n: int = 30) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=n))


def run(train: Corpus, evals: Corpus, **options: Any) -> Outcome:
    return decontaminate([train], [evals], Decontaminate(against=("eval.jsonl",), **options))


def lines(outcome: Outcome) -> list[int]:
    return [record.line for record in outcome.kept]  # type: ignore[union-attr]


def test_copies_and_paraphrases_go_and_clean_rows_stay(corpus: Rows, chat: Chat) -> None:
    evals = [chat(text(i), text(i + 500, 20)) for i in range(20)]
    rows = [chat(text(i + 1000), text(i + 2000)) for i in range(100)]
    rows += [chat("Please: " + text(i).upper() + "!", "?") for i in range(5)]
    for i in range(5, 10):
        words = text(i).split()
        words[i], words[i + 7], words[i + 14] = "other", "words", "here"
        rows.append(chat(" ".join(words), "?"))
    rows += [chat(text(3000 + i), f"Well: {text(i + 500, 20)}") for i in range(10, 15)]
    outcome = run(corpus(rows), corpus(evals, "eval.jsonl"))
    assert lines(outcome) == list(range(1, 101))
    dropped = {d["line"]: d for d in outcome.report["dropped"]}
    assert [dropped[line]["item"]["line"] for line in range(101, 116)] == list(range(1, 16))
    assert {dropped[line]["reason"] for line in range(101, 106)} == {"copy"}
    assert {dropped[line]["reason"] for line in range(106, 111)} <= {"paraphrase", "overlap"}
    assert {dropped[line]["side"] for line in range(111, 116)} == {"answer"}


def test_the_report_counts_items_and_shows_matched_text(corpus: Rows, chat: Chat) -> None:
    evals = corpus([chat(text(i)) for i in range(50)], "eval.jsonl")
    rows = corpus([chat(f"Intro here. {text(7)} End."), chat(text(7)), chat(text(99))])
    report = run(rows, evals).report
    [eval_set] = report["against"]
    assert (eval_set["items"], eval_set["hit"], eval_set["share"]) == (50, 1, 0.02)
    assert eval_set["alert"] is False
    [item] = report["items"]
    assert item["items"][0]["line"] == 8
    assert item["n_rows"] == 2
    assert item["rows"][0]["matched"].startswith(text(7)[:20])
    assert report["rows_with_13_words_in_common"] == 2
    assert (report["rows"], report["kept"]) == (3, 1)


def test_a_set_with_more_than_two_of_hundred_items_hit_is_an_alert(
    corpus: Rows, chat: Chat
) -> None:
    evals = corpus([chat(text(i)) for i in range(10)], "eval.jsonl")
    assert run(corpus([chat(text(3))]), evals).report["against"][0]["alert"] is True


def test_system_prompts_and_few_shot_examples_are_looked_through(corpus: Rows, chat: Chat) -> None:
    evals = corpus([chat(text(1))], "eval.jsonl")
    told = chat("hi")
    told["messages"].insert(0, {"role": "system", "content": f"Example: {text(1)}"})
    assert lines(run(corpus([told, chat("hi")]), evals)) == [2]


def test_a_shared_passage_with_another_question_stays_and_is_listed(
    corpus: Rows, chat: Chat
) -> None:
    passage = text(1, 40)
    evals = corpus([chat(f"{passage}\n\n{text(2, 12)}")], "eval.jsonl")
    outcome = run(corpus([chat(f"{passage}\n\n{text(3, 12)}")]), evals)
    assert lines(outcome) == [1]
    assert outcome.report["review"]["shared_context"]["n"] == 1


def test_what_all_items_say_gives_none_of_them_away(corpus: Rows, chat: Chat) -> None:
    frame = text(1, 40)
    evals = corpus([chat(f"{frame}\n{text(i, 10)}") for i in range(10, 20)], "eval.jsonl")
    rows = [chat(f"{frame}\n{text(i, 10)}") for i in range(30, 40)] + [chat(text(15, 10))]
    outcome = run(corpus(rows), evals)
    assert lines(outcome) == list(range(1, 11))
    assert outcome.report["template_runs"] > 0


def test_runs_that_many_rows_have_count_only_in_copies(corpus: Rows, chat: Chat) -> None:
    item = text(1, 100)
    evals = corpus([chat(item)], "eval.jsonl")
    most = " ".join(item.split()[:70])
    rows = [chat(f"{most} {text(i, 30)}") for i in range(100, 112)] + [chat(item)] * 12
    assert lines(run(corpus(rows), evals, paraphrases=False)) == list(range(1, 13))


def test_short_items_are_found_where_they_are_asked_not_where_they_are_answered(
    corpus: Rows, chat: Chat
) -> None:
    evals = corpus([chat("Yes!")], "eval.jsonl")
    assert lines(run(corpus([chat("Is it?", "yes"), chat("yes", "What?")]), evals)) == [1]


def test_short_answers_are_not_looked_for(corpus: Rows, chat: Chat) -> None:
    evals = corpus([chat(text(1), "The answer to that is Paris.")], "eval.jsonl")
    assert lines(run(corpus([chat(text(2), "The answer to that is Paris.")]), evals)) == [1]


def test_an_answer_with_another_number_is_another_answer(corpus: Rows, chat: Chat) -> None:
    answer = f"{text(1, 20)} and {{}} {text(2, 20)}"
    evals = corpus([chat(text(3), answer.format(7))], "eval.jsonl")
    rows = [chat(text(4), answer.format(8)), chat(text(5), answer.format(7))]
    assert lines(run(corpus(rows), evals)) == [1]


def test_no_item_in_words_and_one_file_for_both_are_refused(corpus: Rows, chat: Chat) -> None:
    rows = corpus([chat("a")])
    with pytest.raises(InvalidInput, match=r"eval.jsonl: no eval item asks or answers"):
        run(rows, corpus([chat("?", "!")], "eval.jsonl"))
    with pytest.raises(InvalidInput, match="training rows and eval items in one file"):
        run(rows, rows)


def test_the_stage_reads_its_eval_files_and_keeps_rows_byte_for_byte(
    corpus: Rows, chat: Chat, tmp_path: Path
) -> None:
    evals = corpus([chat(text(1))], "eval.jsonl")
    rows = corpus([chat(text(2)), chat(text(1)), chat("ü")])
    settings = Decontaminate(against=(str(evals.path),))
    report = write(
        STAGE, STAGE.run([rows], settings), tmp_path / "out.jsonl", settings=settings, inputs=[rows]
    )
    before = rows.path.read_bytes().splitlines()
    assert (tmp_path / "out.jsonl").read_bytes().splitlines() == [before[0], before[2]]
    assert report["dropped_by_reason"] == {"copy": 1, "overlap": 0, "paraphrase": 0}


def test_nothing_to_clean_is_fine(corpus: Rows, chat: Chat) -> None:
    outcome = run(corpus([]), corpus([chat("a b c")], "eval.jsonl"))
    assert lines(outcome) == []


def lightly_paraphrased(text: str, chance: random.Random) -> str:
    """Words dropped, put in and exchanged, lower case, another frame; numbers and names stay."""
    others = {"how": "just how", "many": "numerous", "each": "every", "then": "afterwards"}
    others |= {
        "does": "did",
        "have": "possess",
        "the": "a",
        "needs": "requires",
        "total": "overall",
    }
    said = []
    for word in text.split():
        if word in others and chance.random() < 0.5:
            said.append(others[word])
        elif chance.random() < 0.03 and word.isalpha() and word.islower():
            continue
        else:
            said.append(word)
    frame = chance.choice(["", "Please tell me: ", "Question: "])
    return frame + re.sub(r"\.$", "?", " ".join(said).lower())


def test_known_leaks_are_found_in_real_questions_and_clean_rows_left_alone(
    corpus: Rows, chat: Chat
) -> None:
    """Questions of one source: 60 of 500 eval items leak into 3,500 clean rows, half reworded."""
    given = os.environ.get("MODISTE_DATA")
    data = Path(given) if given else Path(__file__).parents[4] / "shared" / "data"
    file = data / "g_gsm8k" / "train.jsonl.gz"
    if not file.exists():
        pytest.skip("g_gsm8k is not at ../shared/data nor at MODISTE_DATA")
    with gzip.open(file, "rt", encoding="utf-8") as stream:
        every = [json.loads(line) for line in stream]
    clean, evals = every[:3500], every[3500:]
    chance = random.Random(0)
    leaks = chance.sample(evals, 60)
    rows = [chat(row["question"], row["answer"]) for row in clean]
    rows += [chat(row["question"], "?") for row in leaks[:30]]
    rows += [chat(lightly_paraphrased(row["question"], chance), "?") for row in leaks[30:]]
    outcome = run(
        corpus(rows), corpus([chat(row["question"], row["answer"]) for row in evals], "eval.jsonl")
    )
    dropped = {row["line"] for row in outcome.report["dropped"]}
    assert len(dropped & set(range(3501, 3531))) == 30
    assert len(dropped & set(range(3531, 3561))) >= 28
    assert len(dropped & set(range(1, 3501))) <= 3
