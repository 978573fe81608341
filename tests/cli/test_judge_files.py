"""Files of pairs and of verdicts."""

from __future__ import annotations

import pytest

from modiste.cli.judge_files import Layout, read_pairs, read_verdicts, with_lengths
from modiste.errors import InvalidInput
from modiste.evaluate.items import Item, Status
from modiste.evaluate.judges.pairs import VERDICTS, Look, Outcome, Pair, Side, verdict_of

ROW = {"id": "1", "question": "?", "a": "x", "b": "yy", "votes": {"ann": "a", "ben": "tie"}}


def test_votes_by_name_and_gaps(write):
    rows = [ROW, ROW | {"id": "2", "votes": {"ben": "b"}}]
    found = read_pairs(write("p.jsonl", rows), Layout())
    assert found.experts == ("ann", "ben")
    assert found.pairs[0].votes == (Outcome.A, Outcome.TIE)
    assert found.pairs[1].votes == (None, Outcome.B)
    assert found.pairs[0].preference == -0.5
    assert found.clusters is None


def test_votes_in_a_list(write):
    found = read_pairs(write("p.jsonl", [ROW | {"votes": [1, 2, 0]}]), Layout())
    assert found.experts == ("expert 1", "expert 2", "expert 3")
    assert found.pairs[0].votes == (Outcome.A, Outcome.B, Outcome.TIE)


def test_answers_and_votes_under_other_names(write):
    row = {"id": "1", "left": "x", "right": "y", "ann": "B", "model_a": "m", "model_b": "n"}
    found = read_pairs(write("p.jsonl", [row]), Layout("left", "right", ("ann",)))
    assert found.pairs[0].votes == (Outcome.B,)
    assert found.pairs[0].models == ("m", "n")


def test_the_layout_of_pandalm_is_known(write):
    row = {"idx": 7, "instruction": "Do", "input": "it", "response1": "x", "response2": "y"}
    votes = {"annotator1": 1, "annotator2": 2, "annotator3": 0}
    rows = [row | votes, row | votes | {"idx": 8}, row | votes | {"idx": 9, "input": "that"}]
    found = read_pairs(write("p.jsonl", rows), Layout())
    assert [pair.pair.item.key for pair in found.pairs] == ["7", "8", "9"]
    assert found.pairs[0].votes == (Outcome.A, Outcome.B, Outcome.TIE)
    assert found.clusters["7"] == found.clusters["8"] != found.clusters["9"]


def test_every_bad_pair_is_named(write):
    rows = [
        ROW,
        ROW | {"id": "2", "votes": {"ann": -1}},
        ROW | {"id": "3", "votes": {}},
        {"id": "4", "a": "x", "votes": ["a"]},
    ]
    with pytest.raises(InvalidInput) as caught:
        read_pairs(write("p.jsonl", rows), Layout())
    for part in ("pair 2: a vote is -1, expected a, b or tie", "pair 3: has no vote", "has no b"):
        assert part in caught.value.message


def test_an_id_that_comes_twice_is_refused(write):
    with pytest.raises(InvalidInput, match="two pairs have the id '1'"):
        read_pairs(write("p.jsonl", [ROW, ROW | {"a": "other"}]), Layout())


def test_some_pairs_are_drawn_by_the_seed(write):
    path = write("p.jsonl", [ROW | {"id": str(n)} for n in range(20)])
    one, other = (read_pairs(path, Layout(), limit=5, seed=seed) for seed in (1, 1))
    assert one == other
    assert len(one.pairs) == 5


def test_verdicts_in_one_word(write):
    rows = [
        {"id": "1", "verdict": "a", "latency_s": 0.5, "cost_micro": 20},
        {"idx": 2, "gpt_result": "Tie"},
        {"idx": 3, "gpt_result": "garbage"},
    ]
    one, two, three = read_verdicts(write("v.jsonl", rows))
    assert (one.key, one.outcome, one.difference) == ("1", Outcome.A, -1.0)
    assert (one.usage.latency_s, one.usage.cost_micro) == (0.5, 20)
    assert (two.key, two.outcome) == ("2", Outcome.TIE)
    assert (three.status, three.outcome) == (Status.PARSE_FAILED, None)
    assert "'garbage'" in three.reason


def test_verdicts_as_we_write_them(tmp_path):
    looks = [Look(Side.A, Status.SCORED, 0, 2), Look(Side.B, Status.SCORED, 1, 3)]
    verdict = verdict_of(Pair(Item("1", {}), "x", "yy"), looks)
    path = tmp_path / "v.jsonl"
    path.write_bytes(VERDICTS.dump_json(verdict) + b"\n")
    assert read_verdicts(path) == [verdict]


def test_a_line_that_is_no_verdict_is_refused(write):
    with pytest.raises(InvalidInput, match="has score; expected id and verdict"):
        read_verdicts(write("v.jsonl", [{"score": 1}]))


def test_lengths_come_from_the_pairs(write):
    pairs = read_pairs(write("p.jsonl", [ROW]), Layout()).pairs
    (verdict,) = with_lengths(read_verdicts(write("v.jsonl", [{"id": "1", "verdict": "b"}])), pairs)
    assert (verdict.length_a, verdict.length_b) == (1, 2)
