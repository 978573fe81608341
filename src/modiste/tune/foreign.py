"""The names other tools use: what they are called here, what is decided here, what is not there.

mistral-finetune, Axolotl, LLaMA-Factory, TRL with transformers' TrainingArguments, and vendors'
APIs. These are the names that need no thought; fields that change the meaning of others are read
in `meanings`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ALIASES: Mapping[str, str] = {
    **dict.fromkeys(("model_id_or_path", "base_model", "model_name_or_path"), "model"),
    **dict.fromkeys(
        ("data", "training_files", "training_file", "train_files", "dataset_name"), "data.train"
    ),
    **dict.fromkeys(
        ("validation_files", "validation_file", "eval_dataset", "test_datasets",
         "data.eval_instruct_data"),
        "data.validation",
    ),
    **dict.fromkeys(("val_set_size", "val_size"), "data.holdout"),
    **dict.fromkeys(("lora_rank", "lora_r", "lora.r"), "lora.rank"),
    **dict.fromkeys(("lora_alpha", "lora.lora_alpha"), "lora.alpha"),
    **dict.fromkeys(("lora_dropout", "lora.lora_dropout"), "lora.dropout"),
    **dict.fromkeys(
        ("lora_target", "lora_targets", "lora_target_modules", "target_modules",
         "lora.target_modules"),
        "lora.targets",
    ),
    **dict.fromkeys(
        ("use_rslora", "peft_use_rslora", "lora_rslora", "lora.use_rslora"), "lora.rslora"
    ),
    **dict.fromkeys(("use_dora", "peft_use_dora", "lora_dora", "lora.use_dora"), "lora.dora"),
    **dict.fromkeys(("beta", "pref_beta", "dpo_beta", "rl_beta"), "dpo.beta"),
    **dict.fromkeys(
        ("label_smoothing", "dpo_label_smoothing", "dpo_smoothing"), "dpo.label_smoothing"
    ),
    **dict.fromkeys(("pref_ftx", "rpo_alpha", "dpo_sft_weight"), "dpo.sft_weight"),
    **dict.fromkeys(("lora_model_dir", "adapter_name_or_path"), "continue_from"),
    **dict.fromkeys(
        ("seq_len", "max_seq_length", "sequence_len", "cutoff_len", "model_max_length"),
        "max_length",
    ),
    **dict.fromkeys(("training_steps",), "max_steps"),
    **dict.fromkeys(("n_epochs", "num_epochs", "num_train_epochs"), "epochs"),
    **dict.fromkeys(("lr", "optim.lr"), "learning_rate"),
    **dict.fromkeys(("optim.weight_decay",), "weight_decay"),
    **dict.fromkeys(("warmup_fraction", "optim.pct_start"), "warmup_ratio"),
    **dict.fromkeys(("max_norm", "gradient_clipping"), "max_grad_norm"),
    **dict.fromkeys(("random_seed",), "seed"),
    **dict.fromkeys(("ckpt_freq", "save_steps"), "checkpoint_steps"),
    **dict.fromkeys(("eval_freq",), "eval_steps"),
    **dict.fromkeys(("run_dir",), "output_dir"),
    **dict.fromkeys(("checkpoint", "activation_checkpointing"), "gradient_checkpointing"),
    **dict.fromkeys(("torch_dtype", "bnb_4bit_compute_dtype"), "dtype"),
}  # fmt: skip

_MACHINE = "how it is computed is chosen for the machine, with the same result"
_PACKED = "samples are packed and never see each other, so nothing is padded"
_CACHE = "rows are read anew for every job, and nothing is kept but the upload"
_STEPS = "every step is recorded and can be drawn"
_TOKENS = "a base's own tokenizer and chat format are used, in training and in serving"
_FORMAT = "the format of rows is told from the rows (`modiste data check`)"
_FOLDER = "a folder that is there is kept, files of a new run replace those of an old one"
_SAVED = "checkpoints can always be resumed, the last two are kept, and nothing is left behind"
_DONE = "what is tuned here is always trained, and evaluated where there are rows for it"
_WATCH = "losses that are no numbers or run away are always watched"
_SPREAD = "processes and machines are settings of the server (MODISTE_EXECUTOR), not of a run"
_EVALUATED = "evaluation packs like training; eval_steps says how often it runs"

DECIDED_HERE: Mapping[str, str] = {
    **dict.fromkeys(
        ("flash_attention", "xformers_attention", "sdp_attention", "flex_attention", "flash_attn",
         "eager_attention", "s2_attention", "attn_implementation", "scaling_softmax", "tf32",
         "torch_compile", "torch_compile_backend", "torch_compile_mode", "use_liger_kernel",
         "enable_liger_kernel", "liger_kernel_config", "use_unsloth", "plugins", "liger_rope",
         "liger_rms_norm", "liger_glu_activation", "liger_swiglu", "liger_layer_norm",
         "liger_fused_linear_cross_entropy", "cut_cross_entropy", "lora_mlp_kernel",
         "lora_qkv_kernel", "lora_o_kernel", "gradient_checkpointing_kwargs",
         "activation_checkpointing_kwargs", "activation_offloading", "use_reentrant_gc",
         "disable_gradient_checkpointing", "bf16_full_eval", "fp16_full_eval", "use_cache",
         "dataloader_num_workers", "dataloader_pin_memory", "dataloader_prefetch_factor",
         "dataloader_persistent_workers", "dataloader_drop_last", "preprocessing_num_workers",
         "dataset_processes", "dataset_num_proc", "preprocessing_batch_size", "use_cpu",
         "auto_find_batch_size", "torch_empty_cache_steps", "bnb_4bit_quant_type",
         "bnb_4bit_use_double_quant", "use_bnb_nested_quant", "double_quantization",
         "quantization_type", "quantization_method", "bnb_4bit_quant_storage", "upcast_layernorm",
         "precompute_ref_log_probs", "precompute_ref_batch_size"),
        _MACHINE,
    ),
    **dict.fromkeys(
        ("deepspeed", "fsdp", "fsdp_config", "fsdp_version", "ddp_timeout", "ddp_backend",
         "ddp_find_unused_parameters", "ddp_bucket_cap_mb", "ddp_broadcast_buffers", "ddp",
         "local_rank", "world_size", "device_map", "max_memory", "accelerator_config",
         "average_tokens_across_devices", "use_ray", "ray_num_workers", "ray_run_name",
         "ray_storage_path", "resources_per_worker", "placement_strategy"),
        _SPREAD,
    ),
    **dict.fromkeys(
        ("pad_to_sequence_len", "group_by_length", "packing_strategy", "padding_free",
         "neat_packing", "sample_packing_group_size", "sample_packing_bin_size", "eval_packing",
         "pad_to_multiple_of", "train_sampling_strategy", "multipack_real_batches",
         "truncation_mode", "excess_length_strategy", "length_column_name"),
        _PACKED,
    ),
    **dict.fromkeys(
        ("overwrite_cache", "dataset_prepared_path", "tokenized_path", "streaming",
         "dataset_streaming", "remove_unused_columns", "dataset_kwargs", "skip_prepare_dataset",
         "dataset_shard_num", "dataset_shard_idx", "dataset_keep_in_memory"),
        _CACHE,
    ),
    **dict.fromkeys(
        ("log_freq", "logging_steps", "logging_strategy", "logging_first_step", "logging_dir",
         "plot_loss", "include_tokens_per_second", "include_num_input_tokens_seen", "log_level",
         "disable_tqdm", "skip_memory_metrics", "compute_accuracy"),
        _STEPS,
    ),
    **dict.fromkeys(
        ("template", "chat_template", "chat_template_path", "default_system", "tokenizer_type",
         "tokenizer_config", "tokenizer_use_fast", "tokenizer_use_mistral_common",
         "tokenizer_legacy", "use_fast_tokenizer", "special_tokens", "model_type",
         "is_llama_derived_model",
         "is_mistral_derived_model", "is_falcon_derived_model", "is_qwen_derived_model",
         "trust_remote_code", "split_special_tokens", "eos_token", "pad_token", "base_model_config",
         "model_init_kwargs", "lora_task_type", "strict", "enable_thinking"),
        _TOKENS,
    ),
    **dict.fromkeys(
        ("dataset_text_field", "dataset_config", "dataset_train_split", "dataset_test_split",
         "ds_type", "type"),
        _FORMAT,
    ),
    **dict.fromkeys(("overwrite_output_dir",), _FOLDER),
    **dict.fromkeys(
        ("num_ckpt_keep", "save_total_limit", "save_only_model", "save_safetensors",
         "save_strategy", "saves_per_epoch", "save_first_step", "save_on_each_node",
         "enable_jit_checkpoint"),
        _SAVED,
    ),
    **dict.fromkeys(("do_train", "do_eval", "eval_on_start", "eval_delay"), _DONE),
    **dict.fromkeys(
        ("loss_watchdog_threshold", "loss_watchdog_patience", "debug", "logging_nan_inf_filter"),
        _WATCH,
    ),
    **dict.fromkeys(
        ("eval_strategy", "evaluation_strategy", "evals_per_epoch", "per_device_eval_batch_size",
         "eval_batch_size", "eval_sample_packing", "eval_table_size", "eval_table_max_new_tokens",
         "eval_max_new_tokens", "eval_accumulation_steps", "prediction_loss_only"),
        _EVALUATED,
    ),
    "max_samples": "every row is trained; `modiste data sample` draws fewer",
    "data.shuffle": "training data is always shuffled from the seed",
    "shuffle_dataset": "training data is always shuffled from the seed",
    "shuffle_merged_datasets": "training data is always shuffled from the seed",
    "data_seed": "one seed decides everything",
    "data.instruct": "training data is always shuffled from the seed, and each answer that will be "
    "asked for in the same words is trained",
    "assistant_only_loss": "only answers are trained; of plain text, everything",
    "completion_only_loss": "only answers are trained; of plain text, everything",
    "lora_fan_in_fan_out": "it follows from the base",
    "lora_on_cpu": "it follows from the base",
    "full_determinism": "runs with the same seed are bit-equal anyway on a CPU",
    "wandb_watch": "gradients are not sent to trackers",
    "wandb_log_model": "models stay on the server; `modiste models export` writes them",
    "hf_mlflow_log_artifacts": "models stay on the server; `modiste models export` writes them",
    "wandb_entity": "W&B takes it from WANDB_ENTITY, or from the key",
    "wandb_run_id": "a run that goes on keeps its W&B run",
    "greater_is_better": "the best evaluation is the one with the least loss",
    "mixed_precision": _MACHINE,
    "save_merged": "`export` says which forms are written",
}  # fmt: skip
"""Any value is accepted: what it asks for is done anyway, or by somebody else."""

NO_FULL_TEXT = "only answers are trained; rows of plain text are trained whole"
_NOT_THERE = "that is not there"

ONLY_VALUE: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "no_ckpt": ((False,), "checkpoints are what makes a run survive a crash"),
    "train_on_inputs": ((False,), NO_FULL_TEXT),
    "train_on_prompt": ((False,), NO_FULL_TEXT),
    "mask_history": ((False,), "give the messages not to train `weight: 0`"),
    "do_predict": ((False,), "ask the finished model instead (`modiste chat`)"),
    "predict_with_generate": ((False,), "ask the finished model instead (`modiste chat`)"),
    "push_to_hub": ((False,), "nothing leaves this machine; `modiste models export` writes files"),
    "hub_model_id": ((), "nothing leaves this machine; `modiste models export` writes files"),
    "resume_from_checkpoint": (
        (False, True, "auto"),
        "running the same file again continues where it stopped",
    ),
    "auto_resume_from_checkpoints": ((False, True), "running the same file again continues"),
    "neftune_noise_alpha": ((0,), _NOT_THERE),
    "noisy_embedding_alpha": ((0,), _NOT_THERE),
    "label_smoothing_factor": ((0,), "only pairs of answers have it (dpo.label_smoothing)"),
    "lora_modules_to_save": (([],), "embeddings and head stay as they are; `method: full` trains"),
    "additional_target": ((), "embeddings and head stay as they are; `method: full` trains them"),
    "lora_target_parameters": (([],), "name layers in lora.targets"),
    "loraplus_lr_ratio": ((), "one learning rate holds for all of an adapter"),
    "pissa_init": ((False,), "adapters start at zero"),
    "init_lora_weights": ((True,), "adapters start at zero"),
    "relora": ((False,), _NOT_THERE),
    "relora_steps": ((), _NOT_THERE),
    "lora_bias": (("none",), "biases stay as they are"),
    "use_galore": ((False,), "AdamW is the optimizer"),
    "use_badam": ((False,), "AdamW is the optimizer"),
    "use_apollo": ((False,), "AdamW is the optimizer"),
    "adam_beta1": ((0.9,), "AdamW runs with betas 0.9 and 0.95"),
    "adam_beta2": ((0.95,), "AdamW runs with betas 0.9 and 0.95"),
    "adam_epsilon": ((1e-8,), "AdamW runs with epsilon 1e-8"),
    "optim_args": ((), "AdamW is the optimizer"),
    "lr_scheduler_kwargs": (({},), "cosine and linear end just above zero"),
    "cosine_min_lr_ratio": ((0,), "cosine and linear end just above zero"),
    "unfrozen_parameters": (([],), "`method: full` trains all, lora.targets chooses layers"),
    "freeze_trainable_layers": ((), "`method: full` trains all, lora.targets chooses layers"),
    "use_dft_loss": ((False,), _NOT_THERE),
    "pref_loss": (("sigmoid",), "pairs are trained by DPO's sigmoid loss"),
    "loss_type": (
        ("sigmoid", ["sigmoid"], "nll", "chunked_nll"),
        "text is trained by cross entropy, pairs by DPO's sigmoid loss",
    ),
    "ref_model": ((), "the reference of a pair is the base, or what continue_from names"),
    "sync_ref_model": ((False,), "the reference stays as it is"),
    "metric_for_best_model": (("loss", "eval_loss"), "the best is told by the evaluation loss"),
    "rope_scaling": ((), "a base is taken as it is"),
    "adapter_layers": ((), _NOT_THERE),
    "router_aux_loss_coef": ((0,), "routers stay as they are"),
    "gptq": ((False,), "method: qlora holds the base in NF4"),
}
"""Accepted with a value that asks for what happens anyway; an empty one always does."""

MISTRAL_FINETUNE_DEFAULTS: Mapping[str, Any] = {
    "max_steps": 100,
    "max_length": 2048,
    "batch_size": 1,
}
"""What mistral-finetune takes where its file says nothing, and what we would take otherwise."""
