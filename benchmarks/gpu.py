"""One step of tuning a Mistral-7B shape on one GPU: tokens per second, MFU and peak memory.

    python benchmarks/gpu.py                  ours eager and compiled, TRL's way (Liger where it is)
    python benchmarks/gpu.py --variants ours,qlora --length 4096
    python benchmarks/gpu.py --tiny --device cpu      the same code on a tiny shape: does it run?

Random bf16 weights, rank-16 adapters on all linear layers, one packed row of documents per step.
Needs torch, transformers and peft; liger-kernel and flash-attn make `trl` what its users run, and
are used where they are. A variant that cannot run says why and is left out. Every
variant runs in a process of its own, in turns, so that peaks are its own. MFU counts 4 operations
per parameter and token (forward and input gradients: the base has no weight gradients) plus causal
attention within documents, against the dense bf16 peak given by --peak-tflops.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SEVEN_B = {"hidden_size": 4_096, "intermediate_size": 14_336, "num_hidden_layers": 32,
           "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 32_768}  # fmt: skip
TINY = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 512}  # fmt: skip
RANK, DOCUMENT, TRAINED = 16, 1_024, 0.5
VARIANTS = ("ours", "ours-checkpointed", "ours-compiled", "trl", "qlora")


def main() -> int:
    arguments = _arguments()
    if arguments.one:
        print(json.dumps(_one(arguments)))
        return 0
    if arguments.device == "cuda" and not _cuda():
        print("no CUDA device here: run this on a GPU, or try the code with --tiny --device cpu")
        return 2
    found: dict[str, list[dict[str, Any]]] = {}
    for _ in range(arguments.rounds):
        for variant in arguments.variants.split(","):
            if (values := _run(variant)) is not None:
                found.setdefault(variant, []).append(values)
    print(
        "| variant | tokens/s | spread | MFU | peak GB | loss |\n"
        "| --- | --- | --- | --- | --- | --- |"
    )
    for variant, runs in found.items():
        speeds = [run["tokens_per_s"] for run in runs]
        print(
            f"| {variant} | {statistics.median(speeds):,.0f} "
            f"| {min(speeds):,.0f}-{max(speeds):,.0f} "
            f"| {statistics.median(r['mfu'] for r in runs):.1%} "
            f"| {max(r['peak_gb'] for r in runs):.1f} | {runs[0]['loss']:.4f} |"
        )
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--length", type=int, default=8_192, help="tokens of a step")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--peak-tflops", type=float, default=989.0, help="H100 and H200: 989")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args()


def _cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def _run(variant: str) -> dict[str, Any] | None:
    command = [sys.executable, __file__, *sys.argv[1:], "--one", variant]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        print(f"{variant}: left out, {last}", flush=True)
        return None
    values: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    print(f"{variant}: {values}", flush=True)
    return values


def _one(arguments: argparse.Namespace) -> dict[str, Any]:
    import torch

    shape = TINY if arguments.tiny else SEVEN_B
    length = min(arguments.length, 256) if arguments.tiny else arguments.length
    document = min(DOCUMENT, length // 2)
    lengths = [document] * (length // document)
    step, n_parameters = _made(arguments.one, shape, lengths, arguments.device)
    if arguments.device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()  # quantising begins with whole weights
    for _ in range(2):  # compiled, warmed up, allocated
        loss = step()
    _wait(arguments.device)
    began = time.monotonic()
    for _ in range(arguments.steps):
        step()
    _wait(arguments.device)
    seconds = (time.monotonic() - began) / arguments.steps
    attention = 6 * sum(n * n for n in lengths) * shape["hidden_size"] * shape["num_hidden_layers"]
    flops = 4 * n_parameters * sum(lengths) + attention
    peak = torch.cuda.max_memory_allocated() if arguments.device == "cuda" else 0
    return {
        "tokens_per_s": sum(lengths) / seconds,
        "mfu": flops / seconds / (arguments.peak_tflops * 1e12),
        "peak_gb": peak / 1e9,
        "loss": loss / sum(round(n * TRAINED) for n in lengths),
    }


Step = Callable[[], float]


def _made(variant: str, shape: dict[str, int], lengths: list[int], device: str) -> tuple[Step, int]:
    import torch
    from transformers import MistralConfig, MistralForCausalLM

    if device == "cpu":
        torch.set_num_threads(1)  # only to see that it runs; others may be using this machine
    config = MistralConfig(**shape, sliding_window=None, max_position_embeddings=131_072)
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device(device):
        model = MistralForCausalLM(config)
    torch.set_default_dtype(torch.float32)
    model.requires_grad_(False)
    n_parameters = (
        sum(p.numel() for p in model.parameters()) - shape["vocab_size"] * shape["hidden_size"]
    )
    generator = torch.Generator().manual_seed(1)
    documents = [
        torch.randint(3, shape["vocab_size"], (n + 1,), generator=generator).tolist()
        for n in lengths
    ]
    make = _theirs if variant == "trl" else _ours
    return make(variant, model, documents), n_parameters


def _ours(variant: str, model: Any, documents: list[list[int]]) -> Step:
    import torch

    from modiste.nn.fused import fuse
    from modiste.nn.lora import attach
    from modiste.tune.loss import Document, Scorer, collate

    scorer = Scorer.of(model)
    if variant == "qlora":
        from modiste.nn.quantized import quantize_model

        quantize_model(model, dtype=torch.bfloat16, device=model.device)
    adapters = attach(model, rank=RANK, scaling=2.0)
    fuse(model)
    if variant in ("ours-checkpointed", "qlora"):
        from modiste.nn.recompute import recompute_blocks

        recompute_blocks(model, learned=adapters.flat)
    if variant == "ours-compiled":
        for layer in model.get_decoder().layers:
            layer.mlp = torch.compile(layer.mlp)
            layer.input_layernorm = torch.compile(layer.input_layernorm)
            layer.post_attention_layernorm = torch.compile(layer.post_attention_layernorm)
    optimizer = torch.optim.AdamW([adapters.flat], lr=1e-4, fused=True)
    batch = collate(
        [
            Document(ids, [i > (1 - TRAINED) * (len(ids) - 1) for i in range(len(ids))])
            for ids in documents
        ],
        device=model.device,
    )

    def step() -> float:
        adapters.zero_grad()
        loss = scorer.loss(batch)
        (loss / len(batch.targets)).backward()
        optimizer.step()
        return float(loss.detach())

    return step


def _theirs(variant: str, model: Any, documents: list[list[int]]) -> Step:
    """What TRL's trainer runs for a packed row: PEFT's model over flash attention, with Liger's
    kernels where they are installed."""
    import torch
    from peft import LoraConfig, get_peft_model

    try:
        from liger_kernel.transformers import _apply_liger_kernel_to_instance

        _apply_liger_kernel_to_instance(model=model)
    except ImportError:
        print("liger-kernel is not installed: plain kernels", file=sys.stderr)
    try:
        import flash_attn  # noqa: F401

        model.set_attn_implementation("flash_attention_2")
    except ImportError:
        print("flash-attn is not installed: sdpa with a mask of the row", file=sys.stderr)
    peft = get_peft_model(
        model, LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear")
    ).train()
    optimizer = torch.optim.AdamW([p for p in peft.parameters() if p.requires_grad], lr=1e-4)
    n_trained = [round((len(ids) - 1) * TRAINED) for ids in documents]
    ids = torch.tensor([[t for row in documents for t in row]], device=model.device)
    positions = torch.cat([torch.arange(len(row)) for row in documents])[None].to(model.device)
    labels = torch.cat(
        [
            torch.tensor([-100] * (len(row) - n) + row[len(row) - n :])
            for row, n in zip(documents, n_trained, strict=True)
        ]
    )[None].to(model.device)

    def step() -> float:
        optimizer.zero_grad()
        loss = peft(input_ids=ids, position_ids=positions, labels=labels, use_cache=False).loss
        loss.backward()
        optimizer.step()
        return float(loss.detach()) * sum(n_trained)

    return step


def _wait(device: str) -> None:
    import torch

    if device == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
    raise SystemExit(main())
