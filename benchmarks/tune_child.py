"""One trainer of benchmarks/tune.py in a process of its own: it trains while it is told to.

    python benchmarks/tune_child.py VARIANT FOLDER THREADS BEGAN      (started by tune.py)

Protocol, one JSON object per line: it says `first` behind its first step; then each number read is
the least seconds to go on for, answered at the end of the step that fills them; `end` makes it say
peak memory and the loss of its base on sixteen fixed rows, computed its own way. Each variant reads
the rows, tokenises them and trains as its users would; hooks count tokens, nothing else.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RANK, MAX_LENGTH, RATE, SEED, CHECKED = 16, 1_024, 1e-4, 0, 16
FOR_EVER = 1_000_000

Check = Callable[[], tuple[float, int]]


class Turns:
    """Counts while it is this process's turn, and waits while it is not."""

    def __init__(self, began: float, check: Check) -> None:
        self.began, self.check = began, check
        self.out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)  # whatever else prints must not disturb the protocol
        self.first, self.until = True, 0.0
        self.loss = self.trained = 0.0
        self._reset()

    def _reset(self) -> None:
        self.tokens = self.n_trained = 0
        self.wall, self.cpu = time.monotonic(), time.process_time()

    def step(self, tokens: int, trained: int, loss_sum: float) -> None:
        self.tokens, self.n_trained = self.tokens + tokens, self.n_trained + trained
        self.loss, self.trained = self.loss + loss_sum, self.trained + trained
        if self.first:
            self.first = False
            loss = self.loss / max(1, self.trained)
            self._say(first_s=time.time() - self.began, loss=loss, tokens=tokens)
        elif time.monotonic() < self.until:
            return
        else:
            self._say(
                tokens=self.tokens,
                trained=self.n_trained,
                wall_s=time.monotonic() - self.wall,
                cpu_s=time.process_time() - self.cpu,
            )
        self._wait()

    def _wait(self) -> None:
        line = sys.stdin.readline().strip()
        if line in ("", "end"):
            self._end()
        self._reset()
        self.until = time.monotonic() + float(line)

    def _end(self) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        loss, n = self.check()
        self._say(peak_mb=peak, loss=self.loss / max(1, self.trained), base_loss=loss, n_checked=n)
        os._exit(0)

    def _say(self, **values: float) -> None:
        self.out.write(json.dumps(values) + "\n")
        self.out.flush()


def ours(folder: Path, threads: int, began: float, *, dtype: str) -> None:
    """The trainer as a worker starts it: job.json in, events out."""
    from modiste.nn.base import describe_base
    from modiste.tune.events import Step
    from modiste.tune.machine import choose, keep
    from modiste.tune.spec import parse
    from modiste.work import training

    run_dir = folder / f"run-{dtype}-{os.getpid()}"
    run_dir.mkdir()
    rows = str(folder / "messages.jsonl")
    base = str(folder / "base")
    wish = {
        "model": "bench",
        "data.train": [rows],
        "lora.rank": RANK,
        "max_length": MAX_LENGTH,
        "batch_size": 2,
        "learning_rate": RATE,
        "max_steps": FOR_EVER,
        "checkpoint_steps": FOR_EVER,
        "dtype": dtype,
        "seed": SEED,
    }
    spec = parse(wish).spec
    asked = spec.model_dump(mode="json")
    job = {"base_path": base, "spec": asked, "train": [{"path": rows}], "threads": threads}
    (run_dir / "job.json").write_text(json.dumps(job))
    keep(run_dir, choose(describe_base(Path(base)), threads=threads, spec=spec))
    turns = Turns(began, lambda: _our_check(folder, dtype, threads))
    write, seen = training.EventLog.__call__, [0, 0]

    def hooked(self: training.EventLog, event: Any) -> None:
        write(self, event)
        if isinstance(event, Step):
            tokens, trained = event.n_tokens - seen[0], event.n_trained_tokens - seen[1]
            seen[:] = event.n_tokens, event.n_trained_tokens
            turns.step(tokens, trained, event.loss * trained)

    training.EventLog.__call__ = hooked  # type: ignore[method-assign]
    raise SystemExit(training.main([str(run_dir)]))


def _our_check(folder: Path, dtype: str, threads: int) -> tuple[float, int]:
    from modiste.prepare import render
    from modiste.tune.loss import Document, collate
    from modiste.tune.machine import Machine
    from modiste.tune.spec import parse
    from modiste.tune.tuned import load
    from modiste.work.training_rows import data_file, read_samples

    file = data_file({"path": str(folder / "checked.jsonl")}, {})
    read = read_samples(file, render.load(folder / "base"), max_length=MAX_LENGTH)
    spec = parse({"model": "bench", "data.train": ["x"], "dtype": dtype}).spec
    tuned = load(spec, folder / "base", Machine("cpu", dtype, threads))
    parts = [
        tuned.scorer.measure(collate([Document(s.rendered.ids, s.rendered.mask)])) for s in read
    ]
    n = sum(part.n for part in parts)
    return sum(part.nll for part in parts) / n, n


def trl(folder: Path, threads: int, began: float, *, best: bool) -> None:
    """TRL's SFTTrainer with PEFT: as its documentation starts users, or packed, without padding,
    weights in bf16 and nothing computed twice."""
    import torch

    torch.set_num_threads(threads)
    from datasets import load_dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    counted = _counted(SFTTrainer)
    chosen: dict[str, Any] = {}
    if best:
        chosen = {
            "packing": True,
            "max_length": MAX_LENGTH,
            "per_device_train_batch_size": 2,
            "gradient_checkpointing": False,
            "model_init_kwargs": {"dtype": "bfloat16"},
        }
    trainer = counted(
        model=str(folder / "base"),
        args=SFTConfig(**_common(folder), **chosen),
        train_dataset=load_dataset("json", data_files=str(folder / "prompts.jsonl"), split="train"),
        peft_config=LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear"),
    )
    trainer.turns = Turns(began, lambda: _their_check(trainer, folder))
    trainer.train()


def grouped(folder: Path, threads: int, began: float) -> None:
    """transformers' Trainer with PEFT, weights in bf16, batches of similar lengths."""
    import torch

    torch.set_num_threads(threads)
    from datasets import load_dataset
    from peft import LoraConfig, get_peft_model
    from transformers import (
        AutoModelForCausalLM,
        AutoTokenizer,
        DataCollatorForSeq2Seq,
        Trainer,
        TrainingArguments,
    )

    tokenizer = AutoTokenizer.from_pretrained(folder / "base")
    rows = load_dataset("json", data_files=str(folder / "messages.jsonl"), split="train")
    rows = rows.map(lambda row: _tokenised(tokenizer, row["messages"]), remove_columns="messages")
    model = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.bfloat16)
    config = LoraConfig(
        r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    trainer = _counted(Trainer)(
        model=get_peft_model(model, config),
        args=TrainingArguments(
            **_common(folder),
            bf16=True,
            per_device_train_batch_size=int((folder / "grouped").read_text()),
            train_sampling_strategy="group_by_length",
        ),
        train_dataset=rows,
        data_collator=DataCollatorForSeq2Seq(tokenizer),
    )
    trainer.turns = Turns(began, lambda: _their_check(trainer, folder))
    trainer.train()


def _common(folder: Path) -> dict[str, Any]:
    return {
        "output_dir": str(folder / f"out-{os.getpid()}"),
        "max_steps": FOR_EVER,
        "learning_rate": RATE,
        "seed": SEED,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "logging_strategy": "no",
        "use_cpu": True,
    }


def _tokenised(tokenizer: Any, messages: list[dict[str, str]]) -> dict[str, list[int]]:
    def ids(some: list[dict[str, str]], **more: bool) -> list[int]:
        found: list[int] = tokenizer.apply_chat_template(some, return_dict=False, **more)
        return found

    prompt, whole = ids(messages[:-1], add_generation_prompt=True), ids(messages)
    labels = [-100] * len(prompt) + whole[len(prompt) :]
    return {"input_ids": whole, "labels": labels, "attention_mask": [1] * len(whole)}


def _counted(trainer_class: Any) -> Any:
    """The trainer, counting real and trained tokens of each step."""

    class Counted(trainer_class):  # type: ignore[misc]
        turns: Turns

        def training_step(self, model: Any, inputs: dict[str, Any], *more: Any) -> Any:
            mask = inputs.get("attention_mask")
            n = int(inputs["input_ids"].numel() if mask is None else mask.sum())
            trained = int((inputs["labels"] != -100).sum())
            loss = super().training_step(model, inputs, *more)
            self.pending = n, trained, float(loss) * trained
            return loss

    from transformers import TrainerCallback

    class Behind(TrainerCallback):
        """The optimizer has moved, too."""

        def __init__(self, trainer: Any) -> None:
            self.trainer = trainer

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.trainer.turns.step(*self.trainer.pending)

    def made(**arguments: Any) -> Any:
        trainer = Counted(**arguments)
        trainer.add_callback(Behind(trainer))
        return trainer

    return made


def _their_check(trainer: Any, folder: Path) -> tuple[float, int]:
    """The base's own loss in the trainer's model and precision, row by row."""
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder / "base")
    model = trainer.model.eval()
    total, n = 0.0, 0
    for line in (folder / "checked.jsonl").read_text().splitlines():
        row = {
            k: torch.tensor([v])
            for k, v in _tokenised(tokenizer, json.loads(line)["messages"]).items()
        }
        trained = int((row["labels"][:, 1:] != -100).sum())
        with torch.no_grad(), model.disable_adapter(), trainer.compute_loss_context_manager():
            logits = model(input_ids=row["input_ids"], attention_mask=row["attention_mask"]).logits
        loss = torch.nn.functional.cross_entropy(logits[0, :-1].float(), row["labels"][0, 1:])
        total, n = total + float(loss) * trained, n + trained
    return total / n, n


VARIANTS: dict[str, Callable[[Path, int, float], None]] = {
    "ours": lambda *a: ours(*a, dtype="bfloat16"),
    "ours-fp32": lambda *a: ours(*a, dtype="float32"),
    "trl-packed": lambda *a: trl(*a, best=True),
    "trl-default": lambda *a: trl(*a, best=False),
    "hf-grouped": grouped,
}

if __name__ == "__main__":
    VARIANTS[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
