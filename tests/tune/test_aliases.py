"""The names of other tools, read as ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modiste.errors import InvalidInput
from modiste.tune.aliases import READ_IN_MEANINGS, translate
from modiste.tune.config import read_yaml
from modiste.tune.foreign import ALIASES, DECIDED_HERE, ONLY_VALUE
from modiste.tune.spec import CANONICAL, parse

LEAST = {"model": "modiste-tiny", "data": {"train": ["a.jsonl"]}}

SEVEN_B = """
# data
data:
  instruct_data: "chats.jsonl:5.,more/tools.jsonl:1."  # Fill
  data: ""  # Optionally fill with pretraining data
  eval_instruct_data: "eval.jsonl"  # Optionally fill

# model
model_id_or_path: "open-mistral-7b"  # Change to downloaded path
lora:
  rank: 64

# optim
seq_len: 32768
batch_size: 1
num_microbatches: 8
max_steps: 300
optim:
  lr: 6.e-5
  weight_decay: 0.1
  pct_start: 0.05

# other
seed: 0
log_freq: 1
eval_freq: 100
no_eval: False
ckpt_freq: 100

save_adapters: True  # save only trained LoRA adapters

run_dir: "runs/one"  # Fill

wandb:
  project: "" # your wandb project name
  run_name: "" # your wandb run name
  offline: False
"""
"""mistral-finetune's example/7B.yaml, filled in."""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "asked.yaml"
    path.write_text(text)
    return path


def test_a_mistral_finetune_file_is_read_and_every_translation_is_said(tmp_path: Path) -> None:
    spec, notes, _ = read_yaml(written(tmp_path, SEVEN_B))
    assert spec.model == "open-mistral-7b"
    assert [(f.path, f.weight) for f in spec.data.train] == [
        (str(tmp_path / "chats.jsonl"), 5.0),
        (str(tmp_path / "more/tools.jsonl"), 1.0),
    ]
    assert spec.data.validation[0].path == str(tmp_path / "eval.jsonl")
    assert (spec.max_length, spec.batch_size, spec.max_steps) == (32768, 8, 300)
    assert (spec.learning_rate, spec.eval_steps, spec.checkpoint_steps) == (6e-5, 100, 100)
    assert (spec.lora.rank, spec.lora.scaling) == (64, 2.0)
    assert (spec.output_dir, spec.export, spec.trackers) == ("runs/one", ("mistral", "peft"), ())
    said = "\n".join(notes)
    for note in (
        "optim.lr read as learning_rate",
        "run_dir read as output_dir",
        "batch_size is 8: batch_size 1 times num_microbatches 8",
        "log_freq is not used: every step is recorded",
    ):
        assert note in said


def test_what_a_mistral_finetune_file_leaves_out_has_its_defaults(tmp_path: Path) -> None:
    text = "model_id_or_path: m\ndata: {instruct_data: a.jsonl}\nrun_dir: r\n"
    config = read_yaml(written(tmp_path, text))
    assert (config.spec.max_steps, config.spec.max_length, config.spec.batch_size) == (100, 2048, 1)
    assert config.origins["max_steps"].source == "mistral-finetune's default"
    longer = read_yaml(written(tmp_path, text + "epochs: 2\n")).spec
    assert (longer.max_steps, longer.epochs) == (None, 2.0)


def mistral_finetune(**fields: Any):
    least = {"model_id_or_path": "m", "data": {"instruct_data": "a.jsonl:2.", "data": "b.jsonl"}}
    return parse(least | fields)


@pytest.mark.parametrize(
    ("fields", "reads"),
    [
        (
            {},
            lambda s: (
                [(f.path, f.weight) for f in s.data.train] == [("a.jsonl", 2), ("b.jsonl", 1)]
            ),
        ),
        ({"lora": {"enable": False}}, lambda s: s.method == "full"),
        ({"lora": {"scaling": 4.0, "rank": 8}}, lambda s: s.lora.alpha == 32.0),
        ({"lora": {"dropout": 0.25}}, lambda s: s.lora.dropout == 0.25),
        ({"save_adapters": False}, lambda s: s.export == ("merged-mistral",)),
        ({"checkpoint": True}, lambda s: s.gradient_checkpointing is True),
        ({"ckpt_freq": 0, "eval_freq": 0}, lambda s: s.checkpoint_steps is s.eval_steps is None),
        ({"max_norm": 0.5}, lambda s: s.max_grad_norm == 0.5),
        ({"num_ckpt_keep": 3, "no_ckpt": False, "world_size": 8}, lambda s: True),
        ({"data.instruct": {"shuffle": True, "dynamic_chunk_fn_call": True}}, lambda s: True),
        ({"no_eval": True, "data.eval_instruct_data": "v"}, lambda s: not s.data.validation),
        (
            {"wandb": {"project": "p", "run_name": "r", "offline": True}},
            lambda s: (
                s.trackers[0].model_dump(exclude_none=True)
                == {"type": "wandb", "project": "p", "run_name": "r", "offline": True}
            ),
        ),
        ({"wandb.project": "p"}, lambda s: s.trackers[0].project == "p"),
        (
            {"mlflow": {"tracking_uri": "file:./m", "experiment_name": "e"}},
            lambda s: (
                (s.trackers[0].type, s.trackers[0].url, s.trackers[0].project)
                == ("mlflow", "file:./m", "e")
            ),
        ),
    ],
)
def test_every_field_of_mistral_finetune_has_its_meaning(fields: dict, reads: Any) -> None:
    assert reads(mistral_finetune(**fields).spec)


AXOLOTL = """
base_model: mistralai/Mistral-7B-v0.1
model_type: MistralForCausalLM
tokenizer_type: LlamaTokenizer
load_in_8bit: false
load_in_4bit: true
datasets:
  - path: rows.jsonl
    type: chat_template
dataset_prepared_path: last_run_prepared
val_set_size: 0.1
output_dir: ./qlora-out
adapter: qlora
lora_model_dir:
sequence_len: 8192
sample_packing: true
lora_r: 32
lora_alpha: 16
lora_dropout: 0.05
lora_target_linear: true
lora_target_modules:
  - gate_proj
  - q_proj
wandb_project:
wandb_entity:
gradient_accumulation_steps: 4
micro_batch_size: 2
num_epochs: 1
optimizer: adamw_bnb_8bit
lr_scheduler: cosine
learning_rate: 2e-4
train_on_inputs: false
bf16: auto
fp16: false
tf32: false
gradient_checkpointing: true
early_stopping_patience:
resume_from_checkpoint:
logging_steps: 1
flash_attention: true
loss_watchdog_threshold: 5.0
warmup_steps: 10
evals_per_epoch: 4
saves_per_epoch: 1
weight_decay: 0.0
special_tokens:
  bos_token: "<s>"
"""
"""Fields and values as in the project's examples for Mistral."""


def test_an_axolotl_file_is_read(tmp_path: Path) -> None:
    spec, notes, _ = read_yaml(written(tmp_path, AXOLOTL))
    assert spec.data.train[0].path == str(tmp_path / "rows.jsonl")
    assert (spec.method, spec.lora.rank, spec.lora.alpha, spec.lora.dropout) == (
        "qlora",
        32,
        16,
        0.05,
    )
    assert (spec.lora.targets, spec.data.holdout) == ("all-linear", 0.1)
    assert (spec.batch_size, spec.max_length, spec.epochs) == (8, 8192, 1.0)
    assert (spec.learning_rate, spec.weight_decay, spec.lr_schedule) == (2e-4, 0.0, "cosine")
    assert (spec.output_dir, spec.gradient_checkpointing, spec.trackers) == (
        "./qlora-out",
        True,
        (),
    )
    said = "\n".join(notes)
    assert "type left aside: the format of rows is told from the rows" in said
    assert "tf32, flash_attention are not used: how it is computed" in said
    assert "warmup_steps: 10: how many steps there will be is not said" in said


def test_axolotl_trains_all_weights_where_no_adapter_is_named(tmp_path: Path) -> None:
    without = [
        line for line in AXOLOTL.splitlines() if not line.startswith(("adapter", "lora", "load_in"))
    ]
    text = "\n".join(line for line in without if line not in ("  - gate_proj", "  - q_proj"))
    assert read_yaml(written(tmp_path, text)).spec.method == "full"


LLAMA_FACTORY = """
### model
model_name_or_path: meta-llama/Meta-Llama-3-8B-Instruct
trust_remote_code: true

### method
stage: dpo
do_train: true
finetuning_type: lora
lora_rank: 8
lora_target: all
pref_beta: 0.1
pref_loss: sigmoid  # choices: [sigmoid (dpo), orpo, simpo]

### dataset
dataset: pairs.jsonl
template: llama3
cutoff_len: 2048
max_samples: 1000
overwrite_cache: true
preprocessing_num_workers: 16

### output
output_dir: saves/llama3-8b/lora/dpo
logging_steps: 10
save_steps: 500
plot_loss: true
overwrite_output_dir: true
report_to: none

### train
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 5.0e-6
num_train_epochs: 3.0
lr_scheduler_type: cosine
warmup_ratio: 0.1
bf16: true
ddp_timeout: 180000000
resume_from_checkpoint: null
"""
"""The project's example for DPO."""


def test_a_llama_factory_file_is_read(tmp_path: Path) -> None:
    spec, notes, _ = read_yaml(written(tmp_path, LLAMA_FACTORY))
    assert (spec.objective, spec.method, spec.dpo.beta) == ("dpo", "lora", 0.1)
    assert (spec.lora.rank, spec.lora.targets, spec.max_length) == (8, "all-linear", 2048)
    assert (spec.checkpoint_steps, spec.epochs, spec.dtype) == (500, 3.0, "bfloat16")
    assert spec.batch_size is None
    said = "\n".join(notes)
    assert "counts samples, and steps here hold packed sequences" in said
    assert "max_samples is not used: every row is trained" in said


def test_fields_of_trl_and_transformers_are_read() -> None:
    spec = parse(
        {
            "model_name_or_path": "m",
            "dataset_name": "rows.jsonl",
            "use_peft": True,
            "lora_r": 32,
            "lora_alpha": 16,
            "lora_target_modules": "q_proj, v_proj",
            "use_rslora": True,
            "packing": True,
            "max_length": 1024,
            "per_device_train_batch_size": 2,
            "gradient_accumulation_steps": 8,
            "learning_rate": 2.0e-4,
            "lr_scheduler_type": "constant_with_warmup",
            "warmup_steps": 0.03,
            "eval_strategy": "steps",
            "eval_steps": 100,
            "load_best_model_at_end": True,
            "metric_for_best_model": "eval_loss",
            "report_to": ["tensorboard", "wandb"],
            "run_name": "one",
            "optim": "adamw_torch_fused",
            "save_total_limit": 2,
            "assistant_only_loss": True,
            "push_to_hub": False,
        }
    ).spec
    assert (spec.batch_size, spec.lora.targets, spec.lora.rslora) == (
        16,
        ("q_proj", "v_proj"),
        True,
    )
    assert (spec.lr_schedule, spec.warmup_ratio, spec.keep) == ("constant", 0.03, "best")
    assert [(t.type, t.run_name) for t in spec.trackers] == [
        ("tensorboard", "one"),
        ("wandb", "one"),
    ]


@pytest.mark.parametrize(
    ("name", "value", "reads"),
    [
        ("base_model", "m", lambda s: s.model == "m"),
        ("lora_r", 8, lambda s: s.lora.rank == 8),
        ("lora_target", "all", lambda s: s.lora.targets == "all-linear"),
        ("sequence_len", 512, lambda s: s.max_length == 512),
        ("num_train_epochs", 2, lambda s: s.epochs == 2.0),
        ("gradient_accumulation_steps", 4, lambda s: s.batch_size == 4),
        ("lora.scaling", 4.0, lambda s: s.lora.alpha == 64.0),
        ("training_steps", 7, lambda s: s.max_steps == 7),
        ("learning_rate", "2e-5", lambda s: s.learning_rate == 2e-5),
        ("adapter_name_or_path", "ft:m", lambda s: s.continue_from == "ft:m"),
        ("val_size", 0.1, lambda s: s.data.holdout == 0.1),
        ("quantization_bit", 4, lambda s: s.method == "qlora"),
        ("stage", "pt", lambda s: s.objective is None),
    ],
)
def test_names_of_other_tools_mean_the_same(name: str, value: object, reads: Any) -> None:
    parsed = parse({k: v for k, v in LEAST.items() if ALIASES.get(name) != k} | {name: value})
    assert reads(parsed.spec)
    assert name == "learning_rate" or any(name in note for note in parsed.notes)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"optimizer": "muon"}, "'muon' is not there; adamw is"),
        ({"rl": "kto"}, "'kto' is not there; known are sft, pt and dpo"),
        ({"finetuning_type": "freeze"}, "known are lora, qlora and full"),
        ({"finetuning_type": "full", "load_in_4bit": True}, "cannot be trained in 4 bits"),
        ({"lora.enable": False, "adapter": "lora"}, "contradict each other"),
        ({"report_to": "comet_ml"}, "known are wandb, mlflow, tensorboard"),
        ({"train_on_inputs": True}, "only answers are trained"),
        ({"push_to_hub": True}, "nothing leaves this machine"),
        ({"no_ckpt": True}, "checkpoints are what makes a run survive"),
        ({"micro_batch": 2}, "micro_batch: unknown; did you mean"),
        ({"lora": {"scaling": 2, "alpha": 32}}, "lora.alpha is given too"),
    ],
)
def test_what_is_not_there_is_refused_with_a_reason(fields: dict, says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse(LEAST | fields)
    assert says in refused.value.message


def test_fields_that_say_nothing_are_passed_over_in_every_tool() -> None:
    empty = dict.fromkeys([*ALIASES, *DECIDED_HERE, *ONLY_VALUE, *sorted(READ_IN_MEANINGS)])
    spec, notes = parse({**empty, **LEAST})
    assert notes == ()
    assert spec == parse(LEAST).spec


def test_a_windows_path_is_not_split_at_its_colon() -> None:
    spec = parse(LEAST | {"data": {"train": r"C:\data\a.jsonl,D:\b.jsonl:2"}}).spec
    assert [(f.path, f.weight) for f in spec.data.train] == [
        (r"C:\data\a.jsonl", 1.0),
        (r"D:\b.jsonl", 2.0),
    ]


def test_every_alias_leads_to_a_name_of_ours_and_none_hides_one() -> None:
    assert set(ALIASES.values()) <= set(CANONICAL)
    tables = [set(ALIASES), set(DECIDED_HERE), set(ONLY_VALUE), set(READ_IN_MEANINGS)]
    for number, table in enumerate(tables):
        assert not table & set(CANONICAL)
        for other in tables[:number]:
            # lora_target_modules is a plain name of TRL, and read beside Axolotl's switch.
            assert not table & other


def test_every_name_that_needs_thought_is_taken_somewhere() -> None:
    for name in READ_IN_MEANINGS:
        read = translate({name: "x"}, known=CANONICAL)
        assert not any("unknown" in problem for problem in read.problems), name
