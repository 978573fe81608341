"""Bases and models elsewhere through `modiste models add`."""

import json
import shutil
from pathlib import Path

import modiste as package

TINY = Path(package.__file__).parent / "bases" / "tiny"


def test_a_hosted_model_is_added_shown_and_listed(modiste) -> None:
    told = modiste(
        *("models", "add", "big", "--upstream", "https://api.openai.com/v1"),
        *("--key-env", "OPENAI_KEY", "--upstream-model", "gpt-9", "--daily-cost", "2.5"),
        *("--price-in", "0.15", "--price-out", "0.6", "--daily-tokens", "1000"),
    )
    assert told.code == 0, told.err
    assert "answered by api.openai.com" in told.out + told.err
    shown = modiste("models", "show", "big").out
    assert "as gpt-9" in shown
    assert "not asked yet" in shown
    assert "1000 tokens, 2.50 money" in " ".join(shown.split())
    assert "at api.openai.com" in " ".join(modiste("models", "list").out.split())
    card = modiste("models", "show", "big", "--json").json
    assert card["upstream"]["daily_cost_micro"] == 2_500_000


def test_a_folder_or_a_url_but_not_both(modiste) -> None:
    assert modiste("models", "add", "x").code == 2
    both = ("--path", "y", "--upstream", "https://x.test")
    assert modiste("models", "add", "x", *both).code == 2


def test_an_address_on_this_machine_says_what_permits_it(modiste) -> None:
    told = modiste("models", "add", "x", "--upstream", "http://127.0.0.1:8000/v1")
    assert told.code == 1
    assert "MODISTE_UPSTREAM_HOSTS=public,127.0.0.1:8000" in " ".join(told.err.split())


def test_a_server_for_a_base_goes_with_the_bases_folder(modiste) -> None:
    there = ("--served-by", "vllm:http://127.0.0.1:8000")
    alone = modiste("models", "add", "x", "--upstream", "https://x.test", *there)
    assert (alone.code, "--path" in alone.err) == (2, True)
    told = modiste("models", "add", "x", "--path", "y", *there)
    assert told.code == 1
    assert "MODISTE_UPSTREAM_HOSTS" in told.err


def test_a_base_without_a_chat_template_says_where_to_ask_it(modiste, tmp_path) -> None:
    base = tmp_path / "plain"
    shutil.copytree(TINY, base, ignore=shutil.ignore_patterns("chat_template.jinja", "*.py"))
    config = json.loads((base / "tokenizer_config.json").read_text())
    config.pop("chat_template", None)
    (base / "tokenizer_config.json").write_text(json.dumps(config))
    told = modiste("models", "add", "plain", "--path", base)
    assert told.code == 0, told.err
    assert "no chat template: it continues texts at /v1/completions" in told.err
    able = modiste("models", "show", "plain", "--json").json["capabilities"]
    assert [name for name, yes in able.items() if yes] == ["fine_tuning"]
