"""`modiste eval lm-eval` against the real front: what the harness is told, and what is kept of it.

The harness itself runs in `tests/journeys/test_lm_eval.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import modiste as package
from modiste.cli import eval_lm, lm_eval_tool
from modiste.cli.eval_lm import Asked, config_of
from modiste.cli.tokenizers import Installed
from modiste.errors import InvalidInput

RECORDED = Path(__file__).parents[1] / "evaluate" / "recorded" / "lm_eval"
TINY = Path(package.__file__).parent / "bases" / "tiny"
ASKED = Asked(
    include_path=None,
    limit=None,
    num_fewshot=None,
    chat_template=False,
    chat=False,
    tokenizer=None,
    concurrency=8,
    more={},
)


BASES = [Installed("modiste-tiny", (), TINY)]
CARD = {"id": "modiste-tiny", "root": None, "max_context_length": 4096}


def config(card: dict[str, Any] = CARD, **changes: Any) -> dict[str, Any]:
    """What the harness would be told."""
    return config_of("http://here", card, BASES, ["bees"], ASKED._replace(**changes))


def test_results_become_runs_that_are_listed_and_shown(modiste: Any) -> None:
    done = modiste("eval", "lm-eval", "--model", "modiste-tiny", "--results", RECORDED / "plain")
    assert done.code == 0, done.err
    for part in ("lm-eval.my_group", "chat template off", "acc.mean", "40.0 %"):
        assert part in done.out
    assert "my_roll bits_per_byte,none: 3.0364997832465095; no mean" in done.err
    assert "lm-eval itself says 0.4 ± 0.1732" in done.err
    runs = modiste("eval", "list", "--json").json["data"]
    assert [run["suite"] for run in runs] == ["lm-eval.my_write", "lm-eval.my_group"]
    assert runs[0]["group"] == runs[1]["group"] != None  # noqa: E711 - both name one
    shown = modiste("eval", "show", runs[1]["id"])
    assert "lm-eval 0.4.13, chat template off" in shown.out
    assert modiste("eval", "samples", runs[1]["id"]).out.count("\n") == 10
    # The file that brought the samples does not stay.
    assert modiste("files", "list", "--json").json["data"] == []


def test_runs_come_as_json_too(modiste: Any) -> None:
    (run,) = modiste(
        "eval", "lm-eval", "--model", "modiste-tiny", "--results", RECORDED / "chat", "--json"
    ).json
    assert run["record"]["details"]["imported"]["chat_template"] is True
    assert run["record"]["sampling"]["limit"] == 2
    assert [metric["estimate"]["n"] for metric in run["metrics"]] == [2, 2]


def test_one_of_tasks_and_results_is_needed(modiste: Any) -> None:
    for more in ((), ("--tasks", "a", "--results", "b")):
        refused = modiste("eval", "lm-eval", "--model", "modiste-tiny", *more)
        assert refused.code != 0
        assert "either --tasks" in refused.err


def test_results_of_a_model_nobody_knows_are_not_kept(modiste: Any) -> None:
    refused = modiste("eval", "lm-eval", "--model", "nobody", "--results", RECORDED / "plain")
    assert refused.code != 0
    assert "nobody" in refused.err
    assert modiste("eval", "list", "--json").json["data"] == []


def test_results_that_cannot_be_kept_are_named_for_another_try(
    modiste: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: Any) -> None:
        raise InvalidInput("no room")

    monkeypatch.setattr(eval_lm, "sent_part", refuse)
    place = RECORDED / "chat"
    refused = modiste("eval", "lm-eval", "--model", "modiste-tiny", "--results", place)
    assert refused.code != 0
    assert f"--results {place}" in refused.err


def test_the_harness_is_told_the_endpoint_the_tokenizer_and_the_length() -> None:
    told = config()
    assert told["model"] == "local-completions"
    assert told["tasks"] == ["bees"]
    assert told["log_samples"] is True
    arguments = told["model_args"]
    assert arguments["model"] == "modiste-tiny"
    assert arguments["base_url"] == "http://here/v1/completions"
    assert arguments["tokenizer"] == str(TINY)
    assert (arguments["tokenizer_backend"], arguments["num_concurrent"]) == ("huggingface", 8)
    # The harness's own default would cut at 2,048 whatever the model.
    assert arguments["max_length"] == 4096
    assert not {"limit", "num_fewshot", "include_path", "apply_chat_template"} & told.keys()


def test_flags_reach_the_harness(tmp_path: Path) -> None:
    told = config(
        limit=3, num_fewshot=0, include_path=tmp_path, chat_template=True, more={"timeout": 9}
    )
    assert (told["limit"], told["num_fewshot"]) == (3, 0)
    assert told["apply_chat_template"] is True
    assert told["include_path"] == str(tmp_path)
    assert told["model_args"]["timeout"] == 9


def test_the_chat_endpoint_needs_no_tokenizer() -> None:
    told = config(chat=True, chat_template=True)
    assert told["model"] == "local-chat-completions"
    assert told["model_args"]["base_url"] == "http://here/v1/chat/completions"
    assert "tokenizer" not in told["model_args"]


def test_a_tokenizer_that_is_elsewhere_is_asked_for() -> None:
    hosted = {"id": "far-away", "max_context_length": 9}
    with pytest.raises(InvalidInput, match="--tokenizer DIR, or --chat"):
        config(hosted)
    assert config(hosted, tokenizer="org/name")["model_args"]["tokenizer"] == "org/name"


def test_a_base_without_a_tokenizer_for_the_harness_is_told(tmp_path: Path) -> None:
    bases = [Installed("modiste-tiny", (), tmp_path)]
    with pytest.raises(InvalidInput, match="no tokenizer that transformers reads"):
        config_of("http://here", CARD, bases, ["bees"], ASKED)


def test_a_tuned_model_reads_as_its_base() -> None:
    tuned = {"id": "ft:tiny", "root": "modiste-tiny", "max_context_length": 9}
    arguments = config(tuned)["model_args"]
    assert arguments["model"] == "ft:tiny"
    assert arguments["tokenizer"] == str(TINY)


@pytest.mark.parametrize(
    ("pair", "said"),
    [
        ("add_bos_token", "expected NAME=VALUE"),
        ("auth_token=s3cret", "the key itself"),
        ("base_url=http://x", "its address"),
    ],
)
def test_arguments_that_are_wrong_or_secret_are_refused(
    modiste: Any, pair: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lm_eval_tool, "interpreter", lambda *a, **k: pytest.fail("was asked"))
    refused = modiste(
        "eval", "lm-eval", "--model", "modiste-tiny", "--tasks", "a", "--model-arg", pair
    )
    assert refused.code != 0
    assert said in refused.err
    assert "s3cret" not in refused.err


def test_values_of_arguments_keep_their_kind() -> None:
    more = eval_lm._more(["add_bos_token=true", "timeout=9", "eos_string=</s>"])
    assert more == {"add_bos_token": True, "timeout": 9, "eos_string": "</s>"}
