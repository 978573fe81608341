"""Token ids at the command line become text again."""

import io

import pytest

from modiste.cli.detokenize import read_ids
from modiste.errors import InvalidInput


def test_what_was_tokenized_comes_back_through_a_pipe(modiste, monkeypatch) -> None:
    told = modiste("tokenize", "Once upon é", "--model", "modiste-tiny", "--json")
    monkeypatch.setattr("sys.stdin", io.StringIO(told.out))
    assert modiste("detokenize", "--model", "modiste-tiny").out == "Once upon é\n"
    back = modiste("detokenize", "--model", "modiste-tiny", "--json", *told.json["tokens"])
    assert back.json == {"prompt": "Once upon é"}


def test_an_id_the_model_does_not_know_is_named(modiste) -> None:
    refused = modiste("detokenize", "--model", "modiste-tiny", 5, 4096)
    assert refused.code != 0
    assert "tokens holds 4096" in refused.err


@pytest.mark.parametrize(
    "text", ["1 312 7", "1, 312,\n7\n", "[1, 312, 7]", '{"tokens": [1, 312, 7]}']
)
def test_ids_are_read_however_they_are_separated(text) -> None:
    assert read_ids(text) == [1, 312, 7]


@pytest.mark.parametrize(
    ("text", "said"),
    [("1 x", "'x'"), ("", "nothing"), ('{"ids": [1]}', "None"), ("[true]", "True")],
)
def test_what_is_no_id_is_named(text, said) -> None:
    with pytest.raises(InvalidInput, match=f"standard input holds {said}, expected token ids"):
        read_ids(text)
