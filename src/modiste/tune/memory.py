"""How much memory a training takes at its peak, part by part, before anything is loaded.

The parts add up to what is resident when the last layer of the largest micro-batch has been
computed; a run in less than fp32 has a second peak, when its certificate is made. Each of several
processes on one machine holds a copy of everything, or its part of a base that is spread over them.
Constants were fitted to measured peaks (LOG.md; `benchmarks/memory.py` measures again) and are
within BAND of them on a CPU. On a GPU the same counting holds with two bytes a value; there it is
not measured yet.

Legend: T tokens computed together, H hidden size, I intermediate size, V vocabulary, P parameters
that learn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from modiste.nn.base import BaseInfo
from modiste.tune import room
from modiste.tune.spec import Method, Objective, TuneSpec

BAND = 0.15
"""Measured peaks lie within this share of what is said here."""
RUNTIME_BYTES = 430_000_000
"""The interpreter with torch and transformers loaded; on a GPU about as much for its context."""
WASTE = 1.05
"""What the allocator holds beyond what is in use."""
KEPT_H, KEPT_I = 10, 4
"""Values of each size that every layer keeps for the way back, per token."""
KEPT_RANKS = 14
"""Low-rank products that every layer keeps: of each of its linear layers, and their gradients."""
PASSING_H, PASSING_I = 6, 5
"""Values that the way back through one layer makes and forgets, per token: they count where not all
layers' are kept."""
HEAD_ROWS = 128
HEAD_COPIES = 3
"""Logits, probabilities and their gradient of a chunk of rows."""
BYTES_OF = {"float32": 4, "bfloat16": 2}
NF4_BYTES = 0.55
"""Per parameter: 4 bits, and scales of blocks of 64, themselves in 8 bits."""
MOMENTS = 4
"""fp32 copies of what learns: values, gradient and two moments."""
WRITTEN = 3
"""fp32 copies of what learns in a checkpoint: all but the gradient."""
MICROBATCH_TOKENS = {"cpu": 2_048, "cuda": 16_384}
"""Samples are computed together up to this many tokens: on a CPU more are not faster. Lanes share
them."""
MOST_LANES = 3
"""Parts of a micro-batch that are still worth a product; with more threads, two share them."""
SHARE_FOR_FP32 = 0.6
"""A CPU computes in fp32 where three copies of the base fit into this share of its memory."""
NATIVE_BF16_FROM = 50_000_000
"""Parameters: larger bases are faster in bf16 on a processor that multiplies it; below that, fp32
is as fast and exact."""
MOST_PHRASE_WEIGHTS = 4_000_000
"""Of a classifier's phrases (tune.phrases); beyond them the commonest phrases are kept."""
PHRASE_VECTORS = 38
"""fp32 copies of those weights at the peak of their fit: what L-BFGS remembers and tries."""
PHRASE_BYTES_PER_TOKEN = 415
"""Of the training rows, while their phrases are counted."""
SHARE_OF_A_GPU = 0.6
"""For a base in 16 bits that is not spread over several: activations and adapters need the rest."""
WHOLE_BLOCKS = 2
"""Of a spread base, put together at one time: the one that runs and the next."""


@dataclass(frozen=True)
class Need:
    """Bytes by part, of the largest of the run's peaks."""

    parts: Mapping[str, int]
    dtype: str
    when: str = "in a step"

    @property
    def peak_bytes(self) -> int:
        return sum(self.parts.values())


@dataclass(frozen=True)
class Load:
    """What of the data decides the memory."""

    longest: int
    """Tokens of the longest sample."""
    tokens_per_step: int
    tokens: int = 0
    """Of all rows together, where the whole job counts and not a step alone."""


def need(
    spec: TuneSpec,
    base: BaseInfo,
    load: Load,
    *,
    device: str,
    host_bytes: int,
    processes: int = 1,
    shards: int = 1,
) -> Need:
    """The peak of a run of this spec, on a CPU of all its processes together.

    Args:
        processes: that train together on one CPU; GPUs are counted one by one.
        shards: the base is spread over so many.
    """
    n = processes if device == "cpu" else 1
    dtype = dtype_of(spec, base, device=device, host_bytes=host_bytes // n)
    waste = WASTE if device == "cpu" else 1.0
    weights = _weights(spec, base, dtype=dtype, device=device, shards=shards)
    n_lanes = lanes(spec, device=device, threads=room.DEFAULT_THREADS)
    gradients = n_lanes if n_lanes > 1 else 0  # beside the one that they are added to
    standing = {
        "runtime": RUNTIME_BYTES * n,
        "base": round(waste * weights) * n,
        "learning": n_learned(spec, base) * 4 * (MOMENTS + gradients) * n,
    }
    n_tokens = together(spec, load, device=device)  # Each process computes its share of a step.
    step = _step(spec, base, n_tokens, BYTES_OF[dtype])
    step["head"] *= n_lanes
    standing_and_step = standing | {name: size * n for name, size in step.items()}
    if device != "cpu":  # Checkpoints and certificates are made in RAM.
        return Need(standing_and_step, dtype)
    # The allocator keeps what a step has freed.
    writing = {"a checkpoint": 2 * checkpoint_bytes(spec, base)}
    found = [Need(standing_and_step | writing, dtype, "at a checkpoint")]
    runtime, read = RUNTIME_BYTES * n, base.weights_bytes * n
    loading = {"runtime": runtime, "the base as it is loaded": read}
    found.append(Need(loading, dtype, "while it loads"))
    if phrases := _phrases(spec, load):
        fit = standing_and_step | {"phrases": phrases}
        found.append(Need(fit, dtype, "when the classifier's phrases are fitted"))
    if _certified_apart(spec, dtype):
        certificate = {"the base in fp32, for its certificate": base.n_parameters * 4}
        found.append(Need(standing | certificate, dtype, "when the certificate is made"))
    return max(found, key=lambda one: one.peak_bytes)


def host_bytes(spec: TuneSpec, base: BaseInfo, *, processes: int = 1) -> int:
    """RAM beside GPUs, one for each process: the base on its way there, in every process, or in the
    first one a checkpoint on its way to the disk or the base in fp32 for the certificate."""
    certificate = base.n_parameters * 4 if _certified_apart(spec, "bfloat16") else 0
    writing = 2 * checkpoint_bytes(spec, base)
    return RUNTIME_BYTES * processes + max(base.weights_bytes * processes, writing, certificate)


def shards(spec: TuneSpec, base: BaseInfo, *, device: str, size: int, n: int, wanted: str) -> int:
    """Over how many of `n` processes the base is spread, where each has `size` bytes; as
    work.member decides it when the run starts."""
    if n == 1 or wanted == "never" or spec.method is not Method.LORA:
        return 1
    too_large = device != "cpu" and base.n_parameters * 2 > SHARE_OF_A_GPU * size
    return n if wanted == "always" or too_large else 1


def _certified_apart(spec: TuneSpec, dtype: str) -> bool:
    """Whether the certificate needs the base in fp32 once more."""
    return dtype != "float32" or spec.method is Method.QLORA


def together(spec: TuneSpec, load: Load, *, device: str) -> int:
    """Tokens computed at once: a micro-batch, or one longer sample."""
    most = microbatch_tokens(spec, device=device)
    return max(load.longest, min(most, load.tokens_per_step))


def microbatch_tokens(spec: TuneSpec, *, device: str) -> int:
    """Samples are computed together up to this many tokens, where memory allows it."""
    return spec.microbatch_tokens or MICROBATCH_TOKENS[device]


def lanes(spec: TuneSpec, *, device: str, threads: int) -> int:
    """How many batches are computed side by side, each by its share of the threads: what the
    micro-batch holds makes no more than a few that are worth it."""
    if device != "cpu" or spec.method is not Method.LORA:
        return 1
    return threads if threads <= MOST_LANES else 2


def dtype_of(spec: TuneSpec, base: BaseInfo, *, device: str, host_bytes: int) -> str:
    """The dtype of the base's weights where the spec leaves it open."""
    if spec.dtype != "auto":
        return spec.dtype
    if spec.method is Method.FULL:
        return "float32"
    if device != "cpu":
        return "bfloat16"
    if spec.method is Method.QLORA:
        return "float32"
    fits = base.n_parameters * 4 * 3 < host_bytes * SHARE_FOR_FP32
    return "bfloat16" if not fits or _faster_in_bf16(base) else "float32"


def _faster_in_bf16(base: BaseInfo) -> bool:
    """And no weight is rounded, as they are stored in 16 bits."""
    stored_short = base.weights_bytes < 3 * base.n_parameters
    return stored_short and base.n_parameters >= NATIVE_BF16_FROM and room.multiplies_bf16()


def n_learned(spec: TuneSpec, base: BaseInfo) -> int:
    """Values that learn."""
    if spec.method is Method.FULL:
        return base.n_parameters
    layers = list(_targets(spec, base))
    lora = sum(spec.lora.rank * (inputs + outputs) for inputs, outputs in layers)
    lengths = sum(outputs for _, outputs in layers) if spec.lora.dora else 0
    heads = sum(len(target.labels) for target in spec.classifier_targets) * (base.hidden_size + 1)
    return base.n_layers * (lora + lengths) + heads


def checkpoint_bytes(spec: TuneSpec, base: BaseInfo) -> int:
    return n_learned(spec, base) * 4 * WRITTEN


def result_bytes(spec: TuneSpec, base: BaseInfo) -> int:
    """Of the adapter, or of the whole model."""
    return n_learned(spec, base) * 4


def linear_sizes(base: BaseInfo) -> dict[str, tuple[int, int]]:
    """Inputs and outputs of the linear layers of one decoder layer, experts counted once."""
    hidden, inner = base.hidden_size, base.expert_size or base.intermediate_size
    q, kv = base.n_heads * base.head_dim, base.n_kv_heads * base.head_dim
    return {
        "q_proj": (hidden, q),
        "k_proj": (hidden, kv),
        "v_proj": (hidden, kv),
        "o_proj": (q, hidden),
        "gate_proj": (hidden, inner),
        "up_proj": (hidden, inner),
        "down_proj": (inner, hidden),
    }


def _phrases(spec: TuneSpec, load: Load) -> int:
    """Bytes of their fit, which one process makes. A phrase that counts is in two rows at least,
    and each token begins two."""
    if spec.objective is not Objective.CLASSIFY or not spec.classifier.phrases:
        return 0
    n_labels = sum(len(target.labels) for target in spec.classifier_targets)
    n_weights = min(MOST_PHRASE_WEIGHTS, n_labels * load.tokens)
    return PHRASE_VECTORS * 4 * n_weights + PHRASE_BYTES_PER_TOKEN * load.tokens


def _targets(spec: TuneSpec, base: BaseInfo) -> Iterator[tuple[int, int]]:
    """Sizes of the layers that get adapters; an unknown name counts as the average layer."""
    sizes = linear_sizes(base)
    if base.n_experts:
        sizes = {name: size for name, size in sizes.items() if name[0] in "qkvo"}
    if spec.lora.targets == "all-linear":
        yield from sizes.values()
        return
    average = sum(a for a, _ in sizes.values()) // 7, sum(b for _, b in sizes.values()) // 7
    for target in spec.lora.targets:
        yield sizes.get(target.rpartition(".")[2], average)


def _weights(spec: TuneSpec, base: BaseInfo, *, dtype: str, device: str, shards: int = 1) -> float:
    """Bytes of the base as it is held for training."""
    n_head = base.vocab_size * base.hidden_size
    n_linear = _n_linear(base)
    others = base.n_parameters - n_linear
    size = BYTES_OF[dtype]
    if shards > 1:
        blocks = n_linear / shards + WHOLE_BLOCKS * n_linear / base.n_layers
        return (others + min(n_linear, blocks)) * size
    packs = device == "cpu" and dtype == "float32"
    if spec.method is Method.FULL:
        return n_head * size * 2.0 if packs else 0.0  # The weights themselves are what learns.
    if spec.method is Method.QLORA:
        largest = max(a * b for a, b in linear_sizes(base).values())
        return n_linear * NF4_BYTES + others * size + largest * (4 + size)
    if packs:  # Once for each direction; the head keeps the original too.
        return n_linear * size * 2 + others * size + n_head * size * 2
    return base.n_parameters * size


def _n_linear(base: BaseInfo) -> int:
    """Parameters of all linear layers of the decoder layers."""
    sizes = linear_sizes(base)
    one = sum(a * b for name, (a, b) in sizes.items() if name[0] in "qkvo")
    mlp = sum(a * b for name, (a, b) in sizes.items() if name[0] not in "qkvo")
    return min(base.n_parameters, base.n_layers * (one + mlp * max(1, base.n_experts)))


def _step(spec: TuneSpec, base: BaseInfo, n_tokens: float, size: int) -> dict[str, int]:
    """What one micro-batch of a step adds."""
    inner = base.intermediate_size
    if base.n_experts:
        inner = base.expert_size * max(1, base.n_experts_per_token)
    layer = (KEPT_H * base.hidden_size + KEPT_I * inner) * size
    if spec.method is not Method.FULL:
        layer += KEPT_RANKS * spec.lora.rank * 4
    if spec.gradient_checkpointing is True:
        passing = (PASSING_H * base.hidden_size + PASSING_I * inner) * size
        kept = base.n_layers * base.hidden_size * size + layer + passing
    else:
        kept = base.n_layers * layer
    return {
        "activations": round(n_tokens * kept),
        "head": HEAD_ROWS * base.vocab_size * 4 * HEAD_COPIES,
    }
