"""Fixtures that more than one package's tests need: small random models, made on the spot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TINY = {
    "vocab_size": 199,
    "hidden_size": 48,
    "intermediate_size": 72,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "tie_word_embeddings": False,
    "sliding_window": None,
}
"""Sizes that are no powers of two, so that vector loops have remainders."""


@pytest.fixture(scope="session")
def random_base(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`random_base("mistral", sliding_window=9)` is a folder in Hugging Face layout."""

    def make(family: str, *, seed: int = 0, **changes: Any) -> Path:
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM

        torch.manual_seed(seed)
        config = AutoConfig.for_model(family, **(TINY | changes))
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                # Biases and norms start as zeros and ones, which would hide mistakes; wide
                # embeddings make the logits tell tokens apart.
                if name.endswith("bias") or "norm" in name:
                    parameter.add_(torch.randn_like(parameter) * 0.2)
                elif "embed" in name or "lm_head" in name:
                    parameter.normal_(std=1.0)
                else:
                    parameter.normal_(std=1.5 / parameter.shape[1] ** 0.5)
        path = tmp_path_factory.mktemp(family)
        model.save_pretrained(path)
        return path

    return make


@pytest.fixture(scope="session")
def random_adapter(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`random_adapter(base, r=4)` is a PEFT folder, saved by PEFT itself, B not zero."""

    def make(base: Path, *, seed: int = 0, **changes: Any) -> Path:
        import torch
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM

        torch.manual_seed(seed)
        settings = {"r": 8, "lora_alpha": 16, "target_modules": "all-linear"} | changes
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        tuned = get_peft_model(model, LoraConfig(**settings))
        with torch.no_grad():
            for name, parameter in tuned.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(std=0.1)
        path = tmp_path_factory.mktemp("adapter")
        tuned.save_pretrained(path)
        return path

    return make
