"""`modiste tune`: one configuration is one job, however often it is run."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modiste import settings
from modiste.api import mistral
from modiste.api.door import checked
from modiste.api.mistral import JobIn
from modiste.cli import tune
from modiste.client import connect
from modiste.settings import Settings
from modiste.tune import config as tuning
from modiste.tune import spec as specs
from modiste.tune.asked import from_hyperparameters
from tests.tune.test_asked import UNUSUAL

CONFIG = """
model: modiste-tiny
data:
  train: [train.jsonl]
max_steps: {steps}
batch_size: 1
max_length: 128
suffix: tune
"""


@pytest.fixture
def config(tmp_path: Path, training_file: Path) -> Path:
    path = tmp_path / "tune.yaml"
    path.write_text(CONFIG.format(steps=2))
    return path


def job_of(home: Path, config: Path, *, again: bool = False) -> str:
    wanted = Settings(home=home)
    spec = tuning.read_yaml(config).spec
    with connect(wanted) as client:
        return tune.job_of(client, wanted, spec, again=again, quiet=True)


def test_the_same_configuration_is_the_same_job(modiste, home: Path, config: Path) -> None:
    first = job_of(home, config)
    config.write_text(config.read_text() + "\n# a comment changes nothing\n")
    assert job_of(home, config) == first
    assert job_of(home, config, again=True) == first, "an unfinished job is never doubled"


def test_other_fields_or_other_data_are_another_job(
    modiste, home: Path, config: Path, training_file: Path
) -> None:
    first = job_of(home, config)
    config.write_text(CONFIG.format(steps=3))
    second = job_of(home, config)
    training_file.write_text(training_file.read_text() * 2)
    third = job_of(home, config)
    assert len({first, second, third}) == 3


def test_a_job_that_was_cancelled_is_made_anew(modiste, home: Path, config: Path) -> None:
    first = job_of(home, config)
    assert modiste("jobs", "cancel", first).code == 0
    assert job_of(home, config) != first


def test_a_file_that_is_not_there_is_named(modiste, config: Path, training_file: Path) -> None:
    training_file.unlink()
    result = modiste("tune", config)
    assert result.code == 2
    assert "train.jsonl: cannot be read" in result.err


def test_every_field_of_a_configuration_reaches_the_job(modiste, training_file: Path) -> None:
    """Written as a YAML, sent through the API, read back as the worker will read it."""
    asked = {
        **UNUSUAL,
        "continue_from": None,
        "trackers": ({"type": "tensorboard"}, {"type": "wandb", "project": "p", "offline": True}),
        "suffix": "all",
        "invalid_sample_skip_fraction": 0.25,
        "auto_start": False,
    }
    held_out = training_file.with_name("held-out.jsonl")
    held_out.write_text(training_file.read_text())
    files = {
        "train": [{"path": str(training_file), "weight": 2.0}],
        "validation": [{"path": str(held_out)}],  # keep: best asks for it
    }
    spec = specs.parse({"model": "modiste-tiny", "data": files, **asked}).spec
    with_the_caller = {"data", "model", "output_dir", "export", "lora", "dpo", "classifier"}
    with_the_caller.add("classifier_targets")
    left_out = {name for name in type(spec).model_fields if name not in asked}
    assert left_out == with_the_caller, "a new field has to be sent too"

    with connect(settings.load()) as client:
        body = tune.request_body(client, spec, quiet=True)
        job = client.post("/v1/fine_tuning/jobs", body)
    sent = checked(JobIn, body)
    request = mistral.wanted(sent, mistral_0=False)
    read = from_hyperparameters(
        request["hyperparameters"],
        model=request["model"],
        training_files=request["training_files"],
        validation_files=request["validation_files"],
        suffix=request["suffix"],
        invalid_sample_skip_fraction=request["invalid_sample_skip_fraction"],
        auto_start=request["auto_start"],
        integrations=request["integrations"],
    )
    assert read.model_dump(exclude={"data"}) == spec.model_dump(exclude={"data"})
    assert read.data.train[0].weight == 2.0
    assert job["hyperparameters"]["lora_targets"] == ["q_proj", "v_proj"]
    assert "lora_targets q_proj v_proj" in modiste("jobs", "show", job["id"]).out


def test_every_problem_of_a_configuration_is_said(modiste, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("model: m\nlearing_rate: 1\nepochs: -1\n")
    result = modiste("tune", path)
    assert result.code == 2
    assert all(word in result.err for word in ("learning_rate", "epochs", "data"))


def test_plain_translations_are_one_line_and_reasons_keep_theirs() -> None:
    notes = ["a.yaml: seq_len read as max_length", "a.yaml: optim.lr read as learning_rate",
             "a.yaml: log_freq is not used: every step is recorded"]  # fmt: skip
    assert tune._in_short(notes) == [
        "a.yaml: read seq_len as max_length, optim.lr as learning_rate",
        notes[2],
    ]


@pytest.mark.parametrize(
    ("model_chats", "base_chats", "said"),
    [
        (True, True, "Try it: modiste chat ft:m"),
        (False, False, "Its base has no chat template: ask ft:m at /v1/completions"),
        (False, True, "modiste models export ft:m --form merged"),
    ],
)
def test_what_is_said_at_the_end_can_be_done(
    model_chats: bool, base_chats: bool, said: str
) -> None:
    class Cards:
        def get(self, path: str) -> dict[str, object]:
            chats = model_chats if path.endswith("/ft:m") else base_chats
            return {"parent": "m", "capabilities": {"completion_chat": chats}}

    job = {"status": "SUCCESS", "fine_tuned_model": "ft:m"}
    assert said in tune._what_next(Cards(), job)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_file_becomes_a_model_and_a_second_run_finds_it(modiste, config: Path) -> None:
    """The whole walk on a real server of two steps; about ten seconds on one core."""
    made = modiste("tune", config)
    assert made.code == 0, made.err
    model = made.out.strip()
    assert model.startswith("ft:modiste-tiny:")
    assert ":tune:" in model
    assert "step 2/2" in made.err
    assert f"Try it: modiste chat {model}" in made.err

    again = modiste("tune", config, "--json")
    assert again.code == 0, again.err
    assert "attaching to it" in again.err
    assert again.json["fine_tuned_model"] == model


@pytest.mark.slow
def test_a_model_that_is_not_served_here_is_to_be_exported(modiste, config: Path) -> None:
    """The walk with DoRA, which the built-in engine does not compute."""
    made = modiste("tune", config, "--set", "lora.dora=true")
    assert made.code == 0, made.err
    model = made.out.strip()
    assert "modiste chat" not in made.err
    assert f"modiste models export {model} --form merged -o DIR" in made.err


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on_and_the_next_run_continues(
    home: Path, config: Path, modiste
) -> None:
    # Long enough that training goes on when its first checkpoint is told, however fast the machine.
    config.write_text(CONFIG.format(steps=120))
    command = [sys.executable, "-m", "modiste", "tune", str(config)]
    first = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
        start_new_session=True,
        # What a shell starts in the background ignores Ctrl-C, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    said = ""
    assert first.stderr is not None
    for line in first.stderr:
        said += line
        if line.startswith("checkpoint"):
            break
    os.killpg(first.pid, signal.SIGINT)
    rest = first.stderr.read()
    assert first.wait(timeout=120) == 1
    assert f"modiste tune {config}" in rest
    assert "Traceback" not in rest

    began = time.monotonic()
    second = subprocess.run(command, capture_output=True, text=True, timeout=250)
    assert second.returncode == 0, second.stderr
    assert "attaching to it" in second.stderr
    assert "step 120/120" in second.stderr
    assert time.monotonic() - began < 250
