"""What a classifier's trainer leaves: heads, figures, rows as proof; and their certificate."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modiste import settings as settings_module
from modiste.errors import ParityFailed
from modiste.nn.class_heads import load_heads
from modiste.nn.heads_file import read_about
from modiste.serve.sequence import Embed, Pooling
from modiste.tune.spec import TuneSpec, parse
from modiste.types import ClassifierTarget, LossFunction, Parity
from modiste.work import class_parity, training
from modiste.work.training import EventLog

pytestmark = pytest.mark.slow
TINY = Path(settings_module.__file__).parent / "bases" / "tiny"
TARGETS = (
    ClassifierTarget("mood", ("bad", "good"), LossFunction.SINGLE_CLASS),
    ClassifierTarget("of", ("food", "room"), LossFunction.MULTI_CLASS),
)


def rows(n: int) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for at in range(n):
        of = [["food"], ["room"], ["food", "room"], []][at % 4]
        labels = {"mood": "good" if at % 5 else "bad", "of": of}
        text = f"{'fine' if at % 5 else 'awful'} {' '.join(of)} {at}"
        chat = {"messages": [{"role": "user", "content": text}]}
        made.append({**(chat if at % 3 == 0 else {"text": text}), "labels": labels})
    return made


def write(path: Path, content: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in content))
    return str(path)


class NoSignals:
    received = False


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without phrases, which would tell these labels alone."""
    return train(tmp_path_factory.mktemp("run"), phrases=False)


def train(folder: Path, *, phrases: bool) -> Path:
    """The folder of a run of two steps, with 32 validation rows."""
    values = {"model": "modiste-tiny", "data": {"train": ["t"]}, "objective": "classify"}
    values |= {"max_steps": 2, "batch_size": 1, "max_length": 128, "checkpoint_steps": 2}
    values |= {"lora": {"rank": 2}, "learning_rate": 1e-2, "classifier.phrases": phrases}
    targets = [
        {"name": t.name, "labels": t.labels, "loss_function": t.loss_function} for t in TARGETS
    ]
    spec: TuneSpec = parse(values | {"classifier_targets": targets}).spec
    learned, valid = write(folder / "train.jsonl", rows(24)), write(folder / "v.jsonl", rows(32))
    job = {
        "base_path": str(TINY),
        "spec": spec.model_dump(mode="json"),
        "train": [{"path": learned, "filename": "train.jsonl"}],
        "validation": [{"path": valid, "filename": "v.jsonl"}],
        "threads": 1,
    }
    (folder / "job.json").write_text(json.dumps(job))
    with EventLog(folder / "events.jsonl") as events:
        assert training._run(folder, events, NoSignals(), time.monotonic()) == 0, (
            folder / "events.jsonl"
        ).read_text()
    return folder


def proof(folder: Path) -> list[dict[str, Any]]:
    content = json.loads((folder / "parity.json").read_text())
    assert content["classifier"] is True
    return list(content["rows"])


def test_heads_lie_beside_the_adapter_calibrated_and_measured(trained: Path) -> None:
    assert {path.name for path in (trained / "adapter").iterdir()} == {
        *("adapter_config.json", "adapter_model.safetensors"),
        *("classifier.json", "classifier.safetensors"),
    }
    heads = load_heads(trained / "adapter")
    assert heads.about.targets == TARGETS
    assert heads.weight_LD.shape == (4, 256)
    assert heads.about.temperatures != (1.0, 1.0)
    assert heads.phrases is None
    mood = heads.about.figures["mood"]
    assert (mood["n"], mood["temperature"]) == (32, heads.about.temperatures[0])
    assert mood["always_the_commonest"] == {"label": "good", "accuracy": 25 / 32}
    assert sum(label["n"] for label in mood["labels"]) == 32


def test_phrases_that_tell_the_labels_are_published_and_proved(tmp_path: Path) -> None:
    """Two steps teach the adapter nothing; `fine` and `awful` say everything."""
    folder = train(tmp_path, phrases=True)
    heads = load_heads(folder / "adapter")
    assert heads.phrases is not None
    assert min(heads.about.phrase_shares) >= 0.5
    assert heads.about.figures["mood"]["accuracy"]["value"] == 1.0
    assert heads.about.figures["of"]["accuracy"]["value"] == 1.0
    for row in proof(folder):
        said = row["probabilities"]
        assert (said[1] > said[0]) == ("fine" in json.dumps(row))


def test_the_run_ends_and_names_its_hardest_rows(trained: Path) -> None:
    events = [json.loads(line) for line in (trained / "events.jsonl").read_text().splitlines()]
    assert events[-1]["event"] == "finished"
    evaluated = [event for event in events if event["event"] == "evaluated"]
    assert set(evaluated[-1]["measures"]) == {
        *("mood_accuracy", "mood_loss", "of_accuracy", "of_loss")
    }
    worst = json.loads((trained / "worst.json").read_text())
    assert worst["parts"][0]["rows"][0]["file"] == "v.jsonl"


def test_the_proof_has_texts_and_chats_and_what_the_bare_base_would_say(trained: Path) -> None:
    found = proof(trained)
    assert len(found) == 16
    assert {"text" in row for row in found} == {True, False}
    for row in found:
        assert math.fsum(row["probabilities"][:2]) == pytest.approx(1.0)
        assert row["probabilities"] != row["base_probabilities"]


class Engine:
    """Answers with what the proof says, but for what it is told otherwise."""

    def __init__(self, folder: Path) -> None:
        self.said = {tuple(row["ids"]): row["probabilities"] for row in proof(folder)}
        self.asked: list[Embed] = []

    def __call__(self, process_dir: Path) -> Engine:
        return self

    async def embed(self, request: Embed) -> tuple[float, ...]:
        self.asked.append(request)
        return tuple(self.said[request.ids])

    async def status(self, *, timeout_s: float) -> dict[str, Any]:
        return {"bases": {str(TINY): {"linear": "fp32", "exact": True}}}

    async def close(self) -> None:
        pass


@pytest.fixture
def certified(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Engine, Callable[[], Parity]]:
    engine = Engine(trained)
    monkeypatch.setattr(class_parity, "EngineStream", engine)

    def check() -> Parity:
        return class_parity.check(
            trained,
            base_path=TINY,
            adapter_folder=trained / "adapter",
            adapter_version="v",
            process_dir=tmp_path,
        )

    return engine, check


def test_equal_probabilities_pass_and_the_certificate_tells_how_it_does(
    certified: tuple[Engine, Callable[[], Parity]],
) -> None:
    engine, check = certified
    found = check()
    assert found.passed
    assert found.served
    assert (found.n_rows, found.max_abs_logprob_diff) == (16, 0.0)
    assert found.base_gap > 0
    assert "Of 32 validation rows: mood right in" in found.message
    assert {request.pooling for request in engine.asked} == {Pooling.HEADS}


def test_a_probability_that_is_apart_fails_and_is_named(
    certified: tuple[Engine, Callable[[], Parity]],
) -> None:
    engine, check = certified
    ids = next(iter(engine.said))
    a, b, *rest = engine.said[ids]
    engine.said[ids] = [b, a, *rest]
    with pytest.raises(ParityFailed, match=r"row 1: the probability of label 1 .*mood is"):
        check()


def test_heads_without_their_adapter_fail(
    trained: Path, certified: tuple[Engine, Callable[[], Parity]]
) -> None:
    engine, check = certified
    for row in proof(trained):
        engine.said[tuple(row["ids"])] = row["base_probabilities"]
    with pytest.raises(ParityFailed, match="does not say what training said"):
        check()


def test_ids_of_another_reading_fail(
    certified: tuple[Engine, Callable[[], Parity]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, check = certified
    read = class_parity.classified.text_ids
    monkeypatch.setattr(class_parity.classified, "text_ids", lambda t, r: read(t, r)[1:])
    with pytest.raises(ParityFailed, match="row 2: training reads"):
        check()


def test_a_proof_that_does_not_fit_the_heads_proves_nothing(trained: Path, tmp_path: Path) -> None:
    about = read_about(trained / "adapter")
    n_labels = sum(len(target.labels) for target in about.targets)
    with pytest.raises(ParityFailed, match="probabilities, the heads"):
        class_parity.read_rows(trained / "parity.json", n_labels=n_labels + 1)
    (tmp_path / "parity.json").write_text('{"classifier": true, "rows": []}')
    with pytest.raises(ParityFailed, match="holds no rows"):
        class_parity.read_rows(tmp_path / "parity.json", n_labels=4)
