"""lm-evaluation-harness, the real package in its own environment, scores a model of the endpoint.

Its tasks are files that this test writes, so nothing is fetched. Its numbers are held against what
our own engine says to the same token ids, and what `modiste eval lm-eval` keeps against them.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

import modiste
from modiste.prepare import render
from modiste.serve.stream import EngineStream

sys.path.insert(0, str(Path(__file__).parent))
from make_clients import client_python

pytestmark = pytest.mark.slow
TINY = Path(modiste.__file__).parent / "bases" / "tiny"
HARNESS = ("lm-eval", "0.4.13")

CHOOSE = """
task: modiste_choose
dataset_path: json
dataset_kwargs:
  data_files:
    test: {folder}/choose.jsonl
test_split: test
output_type: multiple_choice
doc_to_text: "Question: {{{{question}}}}\\nAnswer:"
doc_to_choice: choices
doc_to_target: answer
metric_list:
  - metric: acc
  - metric: acc_norm
"""
WRITE = """
task: modiste_write
dataset_path: json
dataset_kwargs:
  data_files:
    test: {folder}/write.jsonl
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs:
  until: ["\\n\\n"]
  max_gen_toks: 12
  temperature: 0
  do_sample: false
metric_list:
  - metric: exact_match
"""
QUESTIONS = [
    ("What do bees make?", ["honey", "roads", "laws"], 0),
    ("Where do ships sail?", ["in a drawer", "at sea", "through naïve walls"], 1),
    ("Who teaches?", ["a teacher", "a kettle", "nobody at all"], 0),
    ("What is cold?", ["fire", "ice", "an oven"], 1),
    ("When does the sun rise?", ["at night", "in the morning", "never"], 1),
]


class Sample(NamedTuple):
    arguments: list[list[Any]]
    answers: list[Any]


class Harness:
    def __init__(self, folder: Path, served: Any, python: Path) -> None:
        self.folder, self.served, self._python = folder, served, python
        rows = [{"question": q, "choices": c, "answer": a} for q, c, a in QUESTIONS]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        for name, task in (("choose", CHOOSE), ("write", WRITE)):
            (folder / f"{name}.jsonl").write_text(lines)
            (folder / f"{name}.yaml").write_text(task.format(folder=folder))

    def run(self, model: str, route: str, task: str, *more: str, **options: str) -> dict[str, Any]:
        """The metrics of one task."""
        told = {"model": "modiste-tiny", "base_url": f"{self.served.url}/v1/{route}", **options}
        arguments = ",".join(f"{name}={value}" for name, value in told.items())
        command = [str(self._python), "-m", "lm_eval", "run", "--model", model]
        command += ["--model_args", arguments, "--tasks", task, "--log_samples"]
        folder = self.folder / f"{model}-{task}"
        command += ["--include_path", str(self.folder), "--output_path", str(folder)]
        environment = {
            **self._environment,
            "OPENAI_API_KEY": self.served.key,
            "NO_PROXY": "127.0.0.1",
        }
        done = subprocess.run(
            [*command, *more], env=environment, capture_output=True, text=True, timeout=280
        )
        assert done.returncode == 0, done.stderr[-6000:]
        (results,) = folder.rglob("results_*.json")
        metrics: dict[str, Any] = json.loads(results.read_text())["results"][task]
        return metrics

    def modiste(self, *arguments: str) -> Any:
        """What a command of ours answers, as JSON."""
        environment = {
            **self._environment,
            "MODISTE_HOME": str(self.folder / "home"),
            "MODISTE_URL": self.served.url,
            "MODISTE_API_KEY": self.served.key,
            "PYTHONPATH": str(Path(modiste.__file__).parents[1]),
        }
        command = [sys.executable, "-m", "modiste", *arguments, "--json"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, done.stderr[-6000:]
        return json.loads(done.stdout)

    @property
    def venv(self) -> Path:
        return self._python.parents[1]

    @property
    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self.folder),
            "HF_HUB_OFFLINE": "1",
            "HF_DATASETS_OFFLINE": "1",
        }

    def samples(self, model: str, task: str) -> list[Sample]:
        (file,) = (self.folder / f"{model}-{task}").rglob(f"samples_{task}_*.jsonl")
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        rows.sort(key=lambda row: int(row["doc_id"]))
        return [
            Sample(
                [list(row["arguments"][key].values()) for key in sorted(row["arguments"])],
                row["resps"],
            )
            for row in rows
        ]


@pytest.fixture(scope="module")
def harness(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Harness:
    python = client_python(*HARNESS)
    if python is None:
        missing = "lm-eval is not installed in .clients: run `make clients`"
        if os.environ.get("REQUIRE_STOCK_CLIENTS") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    served = request.getfixturevalue("served")
    return Harness(tmp_path_factory.mktemp("tasks"), served, python)


def test_choices_are_scored_as_our_engine_scores_them(harness: Harness) -> None:
    metrics = harness.run(
        "local-completions",
        "completions",
        "modiste_choose",
        "--batch_size",
        "4",
        tokenizer=str(TINY),
        num_concurrent="2",
        max_length="2048",
    )
    renderer = render.load(TINY)

    async def expected(context: str, choice: str) -> float:
        # Ids as the harness makes them: the whole text, and where the context ends in it.
        ids, n_context = renderer.encode(context + choice), len(renderer.encode(context))
        engine = EngineStream(harness.served.process_dir)
        try:
            logprobs = await engine.score(str(TINY), None, None, ids)
        finally:
            await engine.close()
        return sum(logprobs[n_context - 1 :])

    right = 0
    for sample, (_, choices, answer) in zip(
        harness.samples("local-completions", "modiste_choose"), QUESTIONS, strict=True
    ):
        told = [float(each[0][0]) for each in sample.answers]
        ours = [asyncio.run(expected(*arguments)) for arguments in sample.arguments]
        assert len(told) == len(choices)
        # One engine, one precision: what is left is the order in which a few floats are added.
        assert told == pytest.approx(ours, abs=1e-5)
        right += max(range(len(ours)), key=ours.__getitem__) == answer
    assert metrics["acc,none"] == pytest.approx(right / len(QUESTIONS))


def test_texts_are_written_as_our_endpoint_writes_them(harness: Harness) -> None:
    harness.run(
        "local-completions",
        "completions",
        "modiste_write",
        tokenizer=str(TINY),
        num_concurrent="2",
        max_length="2048",
    )
    renderer = render.load(TINY)
    for sample in harness.samples("local-completions", "modiste_write"):
        body = {"prompt": renderer.encode(sample.arguments[0][0]), "max_tokens": 12}
        body |= {"temperature": 0, "stop": ["\n\n", "</s>"]}
        (choice,) = asked(harness.served, "completions", body)["choices"]
        assert sample.answers == [[choice["text"]]]


def test_chats_are_answered_as_our_endpoint_answers_them(harness: Harness) -> None:
    harness.run(
        "local-chat-completions", "chat/completions", "modiste_write", "--apply_chat_template"
    )
    samples = harness.samples("local-chat-completions", "modiste_write")
    for sample, (question, _, _) in zip(samples, QUESTIONS, strict=True):
        body = {"messages": [{"role": "user", "content": question}], "max_tokens": 12}
        body |= {"temperature": 0, "stop": ["\n\n"]}
        (choice,) = asked(harness.served, "chat/completions", body)["choices"]
        assert sample.answers == [[choice["message"]["content"]]]


def test_our_command_keeps_what_it_says_as_runs(harness: Harness) -> None:
    arguments = ["--model", "modiste-tiny", "--tasks", "modiste_choose,modiste_write"]
    arguments += ["--include-path", str(harness.folder), "--apply-chat-template"]
    runs = harness.modiste("eval", "lm-eval", *arguments, "--venv", str(harness.venv))
    home = harness.folder / "home" / "tools" / "lm-eval-results"
    (results,) = home.rglob("results_*.json")
    said = json.loads(results.read_text())["results"]
    assert {run["suite"] for run in runs} == {f"lm-eval.{task}" for task in said}
    for run in runs:
        task = said[run["suite"].removeprefix("lm-eval.")]
        assert run["status"] == "SUCCESS"
        assert run["record"]["details"]["imported"]["version"] == HARNESS[1]
        assert run["record"]["details"]["imported"]["chat_template"] is True
        for metric in run["metrics"]:
            estimate = metric["estimate"]
            assert estimate["value"] == pytest.approx(task[f"{metric['scorer']},none"])
            assert estimate["se"] == pytest.approx(task[f"{metric['scorer']}_stderr,none"])
            assert estimate["n"] == len(QUESTIONS)
            assert estimate["ci"]["lo"] <= estimate["value"] <= estimate["ci"]["hi"]
    listed = harness.modiste("eval", "list", "--model", "modiste-tiny")["data"]
    assert {run["id"] for run in runs} <= {run["id"] for run in listed}
    for file in home.rglob("*"):
        assert file.is_dir() or harness.served.key not in file.read_text()


def asked(served: Any, route: str, body: dict[str, Any]) -> Any:
    headers = {"authorization": f"Bearer {served.key}"}
    body = {"model": "modiste-tiny", **body}
    answer = httpx.post(f"{served.url}/v1/{route}", headers=headers, json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()
