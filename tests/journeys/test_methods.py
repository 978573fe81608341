"""What is not plain LoRA on chats, from a YAML file to an answer: pairs, texts, all weights."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
TINY = Path(__file__).parents[2] / "src/modiste/bases/tiny"
MARKS = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")


class Home:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = os.environ | {"MODISTE_HOME": str(folder / "home")}
        self.environment.pop("MODISTE_URL", None)

    def modiste(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "modiste", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def write(self, name: str, rows: list[dict[str, Any]]) -> None:
        (self.folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))

    def tune(self, text: str) -> tuple[str, str]:
        """What was said, and the name of the model."""
        (self.folder / "tune.yaml").write_text(text)
        said = self.modiste("tune", "tune.yaml")
        (name,) = set(re.findall(r"The model (ft:\S+) is ready", said))
        return said, name

    def run_dir(self, name: str) -> Path:
        (folder,) = (self.folder / "home" / "runs").glob(f"{name.rpartition(':')[2]}*")
        return folder

    def events(self, name: str, kind: str) -> list[dict[str, Any]]:
        lines = (self.run_dir(name) / "events.jsonl").read_text().splitlines()
        return [event for event in map(json.loads, lines) if event["event"] == kind]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_pairs_become_a_model_that_prefers_and_answers(home: Home) -> None:
    animals = ["cat", "dog", "owl", "bee"]
    home.write(
        "pairs.jsonl",
        [
            {"prompt": f"Name a {animal}, number {n}.", "chosen": f"Here: {animal}.",
             "rejected": "I would rather not say anything about that."}
            for n in range(6) for animal in animals
        ],
    )  # fmt: skip
    said, name = home.tune(
        "model: modiste-tiny\ndata:\n  train: pairs.jsonl\nmax_steps: 8\nbatch_size: 2\n"
        "learning_rate: 1.0e-3\n"
    )
    assert "compared by dpo" in said
    assert "Served as trained" in said
    steps = home.events(name, "step")
    # No margin yet, but for rounding: ln 2.
    assert steps[0]["loss"] == pytest.approx(0.6931, abs=1e-3)
    assert steps[-1]["loss"] < 0.5
    assert steps[-1]["measures"]["preference_accuracy"] == 1.0
    answer = home.modiste("chat", name, "-m", "Name a cat, number 1.", "--max-tokens", "8")
    assert answer.strip()


def test_all_weights_become_a_model_that_is_served_from_its_own_files(home: Home) -> None:
    home.write(
        "chats.jsonl",
        [
            {"messages": [{"role": "user", "content": "Say the word."},
                          {"role": "assistant", "content": "Abracadabra."}]}
        ] * 8,
    )  # fmt: skip
    said, name = home.tune(
        "model: modiste-tiny\nmethod: full\ndata:\n  train: chats.jsonl\nmax_steps: 30\n"
        "learning_rate: 5.0e-4\n"
    )
    assert "Served as trained" in said
    made = {path.name for path in (home.run_dir(name) / "adapter").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= made
    answer = home.modiste(
        "chat", name, "-m", "Say the word.", "--temperature", "0", "--max-tokens", "12"
    )
    assert "Abracadabra." in answer
    home.modiste("models", "delete", name)
    assert name not in home.modiste("models", "list")


def test_texts_are_filled_in_the_middle_on_a_base_that_knows_how(
    home: Home, random_base: Callable[..., Path]
) -> None:
    base = random_base("llama", vocab_size=4096, bos_token_id=1, eos_token_id=2)
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(TINY / file, base / file)
    path = base / "tokenizer.json"
    for number, name in zip((13, 14, 15), MARKS, strict=True):
        path.write_text(path.read_text().replace(f'"[control_{number}]"', json.dumps(name)))
    home.write("code.jsonl", [{"text": f"def f{n}(x):\n    return x + {n}\n"} for n in range(40)])
    home.modiste("models", "add", "coder", "--path", str(base))
    said, model = home.tune(
        "model: coder\ndata:\n  train: code.jsonl\nfim_ratio: 0.5\nmax_steps: 4\n"
    )
    assert "Served as trained" in said
    job = json.loads((home.run_dir(model) / "job.json").read_text())
    assert (job["spec"]["fim_ratio"], job["spec"]["objective"]) == (0.5, "sft")
