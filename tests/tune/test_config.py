"""A file, settings and flags become one spec, and every value knows where it is from."""

from __future__ import annotations

from pathlib import Path

import pytest

from modiste.errors import InvalidInput
from modiste.tune.config import load, read_yaml

LEAST = "model: modiste-tiny\ndata:\n  train: a.jsonl\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "t.yaml"
    path.write_text(LEAST + "lora:\n  rank: 4\noptim: {lr: 2.e-4}\n")
    return path


def test_every_value_knows_where_it_is_from(file: Path) -> None:
    origins = load(file, ["lora.alpha=8"], suffix="mine").origins
    assert str(origins["lora.rank"]) == f"{file} line 5"
    assert str(origins["learning_rate"]) == f"{file} line 6 (optim.lr)"
    assert str(origins["lora.alpha"]) == "--set"
    assert str(origins["suffix"]) == "--suffix"
    assert str(origins["seed"]) == "default"


def test_settings_win_over_the_file_under_any_name(file: Path) -> None:
    spec = load(file, ["lora_r=2", "learning_rate=1e-3", "data.train=b.jsonl:2"]).spec
    assert (spec.lora.rank, spec.learning_rate, spec.data.train[0].weight) == (2, 1e-3, 2.0)


def test_flags_alone_are_enough(tmp_path: Path) -> None:
    config = load(None, ["data.train=a.jsonl"], model="modiste-tiny")
    assert config.spec.model == "modiste-tiny"
    assert str(config.origins["model"]) == "--model"


def test_an_effort_fills_in_what_is_left_open_and_says_why(file: Path) -> None:
    config = load(file, effort="thorough")
    assert (config.spec.epochs, config.spec.lora.rank) == (6.0, 4)
    assert config.origins["epochs"].source == "effort: thorough"
    assert "learned by heart" in config.origins["epochs"].why


def test_null_leaves_a_field_open_even_beside_an_effort(file: Path) -> None:
    assert load(file, ["epochs=null"], effort="quick").spec.epochs is None


def test_every_problem_is_said_with_its_line(file: Path) -> None:
    file.write_text(LEAST + "lora:\n  rnk: 4\nlearning_rate: 7\n")
    with pytest.raises(InvalidInput) as refused:
        load(file, ["epochs=-1", "seed=x"])
    message = refused.value.message
    assert f"{file} line 5: lora.rnk: unknown; did you mean lora.rank?" in message
    assert (
        f"{file} line 6: learning_rate: Input should be less than or equal to 1, got 7" in message
    )
    assert "--set: epochs: Input should be greater than 0, got -1" in message
    assert "--set: seed: Input should be a valid integer" in message


def test_a_setting_without_a_value_is_refused(file: Path) -> None:
    with pytest.raises(InvalidInput, match="--set seed: expected name=value"):
        load(file, ["seed"])


@pytest.mark.parametrize(
    ("content", "says"),
    [("- a\n- b\n", "got list"), ("a: [", "not readable as YAML"), ("", "got NoneType")],
)
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "t.yaml").write_text(content)
    with pytest.raises(InvalidInput) as raised:
        read_yaml(tmp_path / "t.yaml")
    assert says in raised.value.message
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_yaml(tmp_path / "absent.yaml")


def test_data_lies_beside_the_file_or_where_the_command_runs(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.jsonl").write_text("{}\n")
    monkeypatch.chdir(elsewhere)
    assert read_yaml(file).spec.data.train[0].path == str(elsewhere / "a.jsonl")
    (tmp_path / "a.jsonl").write_text("{}\n")
    assert read_yaml(file).spec.data.train[0].path == str(tmp_path / "a.jsonl")


def test_a_folder_or_a_pattern_stands_for_its_files_which_share_its_weight(
    file: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    (folder / "small.jsonl").write_text("x" * 100)
    (folder / "large.jsonl").write_text("x" * 300)
    for named in ("rows:2", "rows/*.jsonl:2"):
        train = load(file, [f"data.train={named}"]).spec.data.train
        assert [(Path(f.path or "").name, f.weight) for f in train] == [
            ("large.jsonl", 1.5),
            ("small.jsonl", 0.5),
        ]


def test_a_models_folder_is_read_as_a_path(file: Path, tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    assert load(file, ["model=base"]).spec.model == str(tmp_path / "base")


def test_names_of_llama_factorys_listing_lead_to_their_files(file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sets"
    folder.mkdir()
    (folder / "dataset_info.json").write_text('{"mine": {"file_name": "rows.json"}}')
    (folder / "rows.json").write_text("[]")
    file.write_text("model: m\ndataset: mine\ndataset_dir: sets\n")
    assert load(file).spec.data.train[0].path == str(folder / "rows.json")
    folder.rename(tmp_path / "data")
    file.write_text("model: m\ndataset: mine\n")
    assert load(file).spec.data.train[0].path == str(tmp_path / "data" / "rows.json")


def test_a_name_of_the_hub_is_refused_with_how_it_is_written(file: Path) -> None:
    with pytest.raises(InvalidInput, match=r"hf://datasets/tatsu-lab/alpaca means"):
        load(file, ["data.train=tatsu-lab/alpaca"])
