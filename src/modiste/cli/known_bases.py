"""Bases by the names their vendor gives them: which tokenizer they read, how large they are.

Tokenizers are those that ship with mistral-common; newer models bring their own, so their names are
not here and are refused with what to give instead. Sizes are of the published weights and serve
estimates only; mixtures of experts have none, because the plan's arithmetic is that of dense ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from modiste.nn.base import BaseInfo, Layout

SPM_V1 = "tokenizer.model.v1"
SPM_V2 = "mistral_instruct_tokenizer_240216.model.v2"
SPM_V3 = "mistral_instruct_tokenizer_240323.model.v3"
SPM_V7 = "mistral_instruct_tokenizer_241114.model.v7"
SPM_V7M1 = "mistral_instruct_tokenizer_241114.model.v7m1"
TEKKEN = "tekken_240718.json"
TEKKEN_IMAGES = "tekken_240911.json"


class Shape(NamedTuple):
    """A dense decoder with grouped-query attention, as its config.json describes it."""

    context: int
    vocab: int
    hidden: int
    inner: int
    layers: int
    heads: int
    kv_heads: int = 8
    head_dim: int = 128

    def info(self) -> BaseInfo:
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        attention = 2 * self.hidden * (queries + keys)
        layer = attention + 3 * self.hidden * self.inner + 2 * self.hidden
        n_parameters = 2 * self.vocab * self.hidden + self.layers * layer + self.hidden
        return BaseInfo(
            n_parameters=n_parameters,
            max_context_length=self.context,
            architecture="MistralForCausalLM",
            layout=Layout.HUGGING_FACE,
            vocab_size=self.vocab,
            hidden_size=self.hidden,
            intermediate_size=self.inner,
            n_layers=self.layers,
            n_heads=self.heads,
            n_kv_heads=self.kv_heads,
            head_dim=self.head_dim,
            weights_bytes=2 * n_parameters,
        )


class Known(NamedTuple):
    names: tuple[str, ...]
    """The first is the one to show."""
    tokenizer: str
    shape: Shape | None = None


KNOWN = (
    Known(
        (
            *("open-mistral-7b", "mistral-tiny", "mistral-7b-v0.3", "mistral-7b-instruct-v0.3"),
            "v3",
        ),
        SPM_V3,
        Shape(32_768, 32_768, 4_096, 14_336, 32, 32),
    ),
    Known(
        ("ministral-8b-2410", "ministral-8b-latest", "ministral-8b-instruct-2410"),
        TEKKEN,
        Shape(32_768, 131_072, 4_096, 12_288, 36, 32),
    ),
    Known(
        (
            *("open-mistral-nemo", "open-mistral-nemo-2407", "mistral-nemo-instruct-2407"),
            *("mistral-nemo-base-2407", "tekken"),
        ),
        TEKKEN,
        Shape(131_072, 131_072, 5_120, 14_336, 40, 32),
    ),
    Known(
        ("codestral-2405", "codestral-latest", "codestral-22b-v0.1"),
        SPM_V3,
        Shape(32_768, 32_768, 6_144, 16_384, 56, 48),
    ),
    Known(
        ("mistral-large-2411", "mistral-large-latest", "mistral-large-instruct-2411", "v7"),
        SPM_V7,
        Shape(131_072, 32_768, 12_288, 28_672, 88, 96),
    ),
    Known(
        ("mistral-large-2407", "mistral-large-instruct-2407"),
        SPM_V3,
        Shape(131_072, 32_768, 12_288, 28_672, 88, 96),
    ),
    Known(("open-mixtral-8x7b", "open-mixtral-8x22b", "mixtral-8x22b-instruct-v0.3"), SPM_V3),
    Known(("mathstral-7b-v0.1", "codestral-mamba-2407"), SPM_V3),
    Known(("pixtral-12b-2409", "pixtral-12b-latest"), TEKKEN_IMAGES),
    Known(("pixtral-large-2411", "pixtral-large-instruct-2411", "v7m1"), SPM_V7M1),
    Known(
        ("mistral-7b-v0.1", "mistral-7b-instruct-v0.1", "mistral-7b-instruct-v0.2", "v1"), SPM_V1
    ),
    Known(("mistral-small-2402", "mistral-large-2402", "v2"), SPM_V2),
)
"""Shapes are read off the published config.json of each."""


def find(name: str) -> Known | None:
    """`mistralai/Mistral-7B-Instruct-v0.3` and `mistral-7b-instruct-v0.3` are one name."""
    wanted = name.lower().removeprefix("mistralai/")
    return next((known for known in KNOWN if wanted in known.names), None)


def tokenizer_path(file: str) -> Path:
    import mistral_common

    return Path(mistral_common.__file__).parent / "data" / file
