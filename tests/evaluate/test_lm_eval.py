"""Files that lm-eval 0.4.13 wrote about the shipped base (`recorded/lm_eval`), read as runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modiste.errors import InvalidInput, NotFound
from modiste.evaluate import lm_eval
from modiste.evaluate.imported import Imported
from modiste.evaluate.lm_eval import LeftOut, Part
from modiste.prepare.checked import checked

RECORDED = Path(__file__).parent / "recorded" / "lm_eval"
Change = Callable[[Any], None]


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RECORDED / "plain", tmp_path / "plain"))


def parts(place: Path) -> dict[str, Part]:
    found = lm_eval.read(place, model="modiste-tiny").parts
    return {part.imported["suite"]: part for part in found}


def scorers(part: Part) -> dict[str, Any]:
    return {scorer["name"]: scorer for scorer in part.imported["scorers"]}


def change_results(folder: Path, change: Change) -> None:
    (file,) = folder.glob("results_*.json")
    results = json.loads(file.read_text())
    change(results)
    file.write_text(json.dumps(results))


def change_rows(folder: Path, task: str, change: Change) -> None:
    (file,) = folder.glob(f"samples_{task}_*.jsonl")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    for row in rows:
        change(row)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_group_whose_tasks_are_graded_alike_is_one_run_with_a_slice_per_task() -> None:
    part = parts(RECORDED / "plain")["lm-eval.my_group"]
    assert [sample.item.key for sample in part.samples] == [
        f"{task}/{at}" for task in ("my_choose", "my_other") for at in range(5)
    ]
    assert {sample.item.slices["task"] for sample in part.samples} == {"my_choose", "my_other"}
    # The group's own figures: it aggregates acc alone.
    said = scorers(part)
    assert (said["acc"]["value"], round(said["acc"]["stderr"], 4)) == (0.4, 0.1732)
    assert (said["acc_norm"]["value"], said["acc_norm"]["stderr"]) == (None, None)
    right = [sample.scores["acc"].value for sample in part.samples]
    assert sum(value or 0.0 for value in right) / 10 == 0.4


def test_a_group_whose_tasks_are_graded_differently_is_a_run_for_each(copied: Path) -> None:
    def without_norm(row: Any) -> None:
        row["metrics"].remove("acc_norm")
        del row["acc_norm"]

    change_rows(copied, "my_other", without_norm)
    found = parts(copied)
    assert "lm-eval.my_group" not in found
    assert list(scorers(found["lm-eval.my_choose"])) == ["acc", "acc_norm"]
    assert list(scorers(found["lm-eval.my_other"])) == ["acc"]
    assert [sample.item.key for sample in found["lm-eval.my_other"].samples] == list("01234")


def test_each_filter_of_a_metric_is_a_scorer_over_the_same_documents() -> None:
    part = parts(RECORDED / "plain")["lm-eval.my_write"]
    assert list(scorers(part)) == ["exact_match-strict", "exact_match-whole"]
    assert len(part.samples) == 5
    said = part.samples[1].scores
    assert said["exact_match-strict"].label == "Look"
    assert said["exact_match-whole"].label == "(Look, please, please, please, please"


def test_a_metric_that_is_no_mean_is_left_out_with_what_the_harness_says_of_it() -> None:
    found = lm_eval.read(RECORDED / "plain", model="modiste-tiny")
    assert found.left_out == (
        LeftOut("my_roll", "word_perplexity,none", 23294.813934401554, None),
        LeftOut("my_roll", "bits_per_byte,none", 3.0364997832465095, None),
    )
    assert "lm-eval.my_roll" not in parts(RECORDED / "plain")


def test_numbers_whose_mean_is_another_than_the_figure_are_left_out(copied: Path) -> None:
    def other(results: Any) -> None:
        results["results"]["my_write"]["exact_match,strict"] = 0.25

    change_results(copied, other)
    found = lm_eval.read(copied, model="modiste-tiny")
    assert LeftOut("my_write", "exact_match,strict", 0.25, 0.0) in found.left_out
    assert list(scorers(parts(copied)["lm-eval.my_write"])) == ["exact_match-whole"]


def test_what_is_said_of_a_run_is_what_the_server_takes() -> None:
    for part in parts(RECORDED / "plain").values():
        told = checked(Imported, part.imported, file="run")
        assert (told.harness, told.harness_version, told.model) == (
            "lm-eval",
            "0.4.13",
            "modiste-tiny",
        )
        assert told.started_at is not None
        assert told.finished_at is not None
        assert 30 < (told.finished_at - told.started_at).total_seconds() < 40


def test_whether_the_chat_template_wrote_the_prompts_is_always_said() -> None:
    plain = parts(RECORDED / "plain")["lm-eval.my_write"].imported
    chat = parts(RECORDED / "chat")["lm-eval.my_write"].imported
    assert (plain["chat_template"], chat["chat_template"]) == (False, True)
    assert (plain["flags"]["endpoint"], chat["flags"]["endpoint"]) == (
        "local-completions",
        "local-chat-completions",
    )
    assert (plain["flags"]["limit"], chat["flags"]["limit"]) == (None, 2)


def test_no_secret_of_the_models_arguments_is_repeated(copied: Path) -> None:
    def secret(results: Any) -> None:
        arguments = {"auth_token": "s3cret", "header": {"x": "s3cret"}, "add_bos_token": True}
        results["config"]["model_args"] |= arguments
        for config in results["configs"].values():
            config["metadata"] |= arguments

    change_results(copied, secret)
    for part in parts(copied).values():
        assert "s3cret" not in json.dumps(part.imported)
        assert part.imported["flags"]["add_bos_token"] is True


def test_a_model_that_the_harness_knew_by_another_name_is_told(copied: Path) -> None:
    change_results(copied, lambda results: results.update(model_name="me/elsewhere"))
    for part in parts(copied).values():
        assert part.imported["flags"]["model_name"] == "me/elsewhere"


def test_scorers_are_the_same_where_only_prompts_or_addresses_differ(copied: Path) -> None:
    def other_prompt(results: Any) -> None:
        results["n-shot"]["my_choose"] = 3
        results["configs"]["my_choose"]["description"] = "Answer."

    def function_at(address: str) -> Change:
        def change(results: Any) -> None:
            results["configs"]["my_choose"]["process_results"] = f"<function f at 0x{address}>"

        return change

    change_results(copied, function_at("7f00"))
    before = parts(copied)["lm-eval.my_group"].imported
    change_results(copied, function_at("7fee"))
    change_results(copied, other_prompt)
    after = parts(copied)["lm-eval.my_group"].imported
    assert [each["config"] for each in before["scorers"]] == [
        each["config"] for each in after["scorers"]
    ]
    assert before["prompt"] != after["prompt"]
    assert after["flags"]["num_fewshot"] == "0, 3"


def test_a_task_of_another_version_is_another_scorer(copied: Path) -> None:
    before = parts(copied)["lm-eval.my_write"].imported["scorers"]
    change_results(copied, lambda results: results["versions"].update(my_write=2.0))
    assert parts(copied)["lm-eval.my_write"].imported["scorers"] != before


def test_a_document_without_a_number_is_unscored_and_no_zero(copied: Path) -> None:
    (file,) = copied.glob("samples_my_write_*.jsonl")
    lines = file.read_text().splitlines()
    lines[0] = lines[0].replace('"exact_match": 0.0', '"exact_match": NaN')
    file.write_text("\n".join(lines))
    score = parts(copied)["lm-eval.my_write"].samples[0].scores["exact_match-strict"]
    assert (score.status, score.value) == ("error", None)
    assert "nan" in score.reason


def test_a_results_file_is_found_by_its_folder_or_named() -> None:
    (file,) = (RECORDED / "chat").glob("results_*.json")
    assert parts(file).keys() == parts(RECORDED / "chat").keys()
    with pytest.raises(InvalidInput, match="several results"):
        parts(RECORDED)


def test_results_without_samples_say_how_to_get_them(copied: Path, tmp_path: Path) -> None:
    (file,) = copied.glob("samples_my_other_*.jsonl")
    file.unlink()
    with pytest.raises(NotFound, match="--log_samples"):
        parts(copied)
    with pytest.raises(NotFound, match="no results_"):
        parts(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "no JSON object"), ("[]", "no JSON object"), ("{}", "no results and no configs")],
)
def test_other_files_are_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "results_now.json").write_text(text)
    with pytest.raises(InvalidInput, match=said):
        parts(tmp_path)


def test_rows_that_are_not_the_harness_s_are_refused_with_their_line(copied: Path) -> None:
    (file,) = copied.glob("samples_my_other_*.jsonl")
    file.write_text(file.read_text() + '{"doc_id": 5}\n')
    with pytest.raises(InvalidInput, match="line 6 has no doc"):
        parts(copied)
