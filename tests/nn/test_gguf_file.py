"""nn/gguf_file.py: files that transformers and llama.cpp itself read, and compute the same."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import modiste
from modiste.errors import InvalidInput
from modiste.nn import gguf_file, proof
from modiste.nn.changes import Change
from modiste.nn.export import Exported, export
from modiste.nn.loading import load_base
from modiste.nn.merge import Merged
from modiste.nn.tensor_files import TensorFiles
from modiste.prepare import render

gguf = pytest.importorskip("gguf", reason="GGUF needs the extra modiste[gguf]")
Make = Callable[..., Path]
TINY = Path(modiste.__file__).parent / "bases" / "tiny"
SIZES: dict[str, Any] = {"vocab_size": 4096, "hidden_size": 64, "intermediate_size": 96}
SCALED = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
SPEC = "The law of 1998  says: 12,5 % of it — isn't “enough”.\n\n\tNext: naïve Straße."


def with_tokenizer(base: Path, into: Path) -> Path:
    """A random base that speaks the shipped base's tokens."""
    shutil.copytree(base, into)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(TINY / name, into / name)
    return into


def out(base: Path, tmp_path: Path, numbers: str = "f16") -> Exported:
    into = tmp_path / f"out-{numbers}"
    return export("gguf", base=base, adapter=None, into=into, gguf_numbers=numbers)


@pytest.mark.parametrize(
    ("family", "numbers", "more"),
    [
        ("mistral", "f16", {"head_dim": 24}),
        ("mistral", "q8_0", {"tie_word_embeddings": True}),
        ("llama", "f32", {}),
        ("llama", "bf16", {"rope_parameters": SCALED}),
        ("qwen2", "q8_0", {}),
        ("qwen3", "f16", {"head_dim": 24}),
    ],
)
def test_transformers_reads_back_exactly_what_was_meant(
    random_base: Make, tmp_path: Path, family: str, numbers: str, more: dict[str, Any]
) -> None:
    base = with_tokenizer(random_base(family, **SIZES, **more), tmp_path / "base")
    done = out(base, tmp_path, numbers)
    assert done.verified is not None, done.note
    assert done.verified.max_abs_diff < 5e-4


def test_the_file_tells_tokens_stops_and_template(tmp_path: Path) -> None:
    (path, _) = out(TINY, tmp_path).files
    fields = gguf.GGUFReader(path).fields
    told = {name: field.contents() for name, field in fields.items() if "tokens" not in name}
    assert told["tokenizer.ggml.model"] == "gpt2"
    assert told["tokenizer.ggml.bos_token_id"] == 1
    assert told["tokenizer.ggml.eos_token_id"] == 2
    assert told["tokenizer.chat_template"] == (TINY / "chat_template.jinja").read_text()
    assert told["general.architecture"] == "llama"
    assert told["llama.context_length"] == 2048


def test_what_llama_cpp_cannot_hold_is_refused_by_name(random_base: Make, tmp_path: Path) -> None:
    base = random_base("mixtral")
    with pytest.raises(InvalidInput, match="not for model_type 'mixtral'; take merged"):
        out(base, tmp_path)
    with pytest.raises(InvalidInput, match="numbers is 'q2_k', expected f32, f16, bf16, q8_0"):
        out(with_tokenizer(random_base("llama", **SIZES), tmp_path / "b"), tmp_path, "q2_k")


def test_values_beyond_f16_are_refused_not_made_infinite(random_base: Make, tmp_path: Path) -> None:
    base = with_tokenizer(random_base("mistral", **SIZES), tmp_path / "base")
    large = Change(torch.full((1, 64), 1e3), torch.full((64, 1), 1e3), 1.0)
    merged = Merged(TensorFiles(base), {"model.layers.0.self_attn.q_proj": large})
    with pytest.raises(InvalidInput, match="above 65504, which f16 cannot; take bf16"):
        gguf_file.write(merged, base, tmp_path / "x.gguf")


@pytest.fixture
def llama_cpp(tmp_path: Path) -> Iterator[Callable[[Path], Any]]:
    """A model served by llama.cpp itself, in this process."""
    library = pytest.importorskip(
        "xllamacpp", reason="llama.cpp itself: pip install xllamacpp to run this"
    )
    running = []

    def start(path: Path) -> Any:
        asked = library.CommonParams()
        asked.model.path, asked.n_ctx, asked.n_parallel = str(path), 512, 1
        asked.warmup, asked.cpuparams.n_threads = False, 1
        asked.cache_type_k = asked.cache_type_v = library.ggml_type.GGML_TYPE_F32
        asked.flash_attn_type = library.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        running.append(library.Server(asked))
        return running[-1]

    yield start
    running.clear()


def next_token(server: Any, prompt: Any) -> dict[str, Any]:
    answer = server.handle_completions(
        {"prompt": prompt, "n_predict": 1, "n_probs": 20, "temperature": 0.0}
    )
    found: dict[str, Any] = answer if isinstance(answer, dict) else json.loads(answer)
    return found


@pytest.mark.parametrize("family", ["tiny", "mistral", "llama", "qwen2", "qwen3"])
def test_llama_cpp_computes_the_same(
    random_base: Make, tmp_path: Path, llama_cpp: Callable[[Path], Any], family: str
) -> None:
    sizes = {**SIZES, **({"rope_parameters": SCALED} if family == "llama" else {})}
    base = TINY
    if family != "tiny":
        base = with_tokenizer(random_base(family, **sizes), tmp_path / "base")
    server = llama_cpp(out(base, tmp_path, "f32").files[0])
    model = load_base(base, dtype=torch.float32).model
    ids = [1, *(int(i) for i in torch.randint(20, 4000, (90,)))]
    wanted = proof.logits_of(model, [ids])[0][-1].log_softmax(-1)
    tops = next_token(server, ids)["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
    for top in tops:
        # Sums in other orders: 5e-6 to 7e-5 measured.
        assert top["logprob"] == pytest.approx(float(wanted[top["id"]]), abs=5e-4)


def test_llama_cpp_tokenises_as_the_base_does(
    tmp_path: Path, llama_cpp: Callable[[Path], Any]
) -> None:
    server = llama_cpp(out(TINY, tmp_path).files[0])
    renderer = render.load(TINY)
    for text in (SPEC, "Plain words, and (brackets).", "x=[1,2]; y={'a': 3}"):
        n = next_token(server, text)["usage"]["prompt_tokens"]
        assert n == len(renderer.encode(text)), text
