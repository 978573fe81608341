"""vLLM measures itself: run by `serve.py --vllm PYTHON` with the interpreter of its environment.

    PYTHON serve_vllm.py BASE ADAPTERS.json N_NEW

Reads lines `{"streams": 16, "adapters": 8, "prompts": [[…], …]}` and answers each with tokens per
second of CPU and of wall time. One thread, greedy, no prefix cache, everything in this process so
that its CPU seconds are all there are. Imports nothing of Modiste: it lives elsewhere.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

os.environ |= {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_TARGET_DEVICE": "cpu",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_HOST_IP": "127.0.0.1",
}


def main() -> None:
    base, adapters_file, n_new = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with open(adapters_file) as stream:
        adapters: list[str] = json.load(stream)
    said = os.dup(1)
    os.dup2(2, 1)  # vLLM writes to standard output, which is ours to answer on.
    from vllm import LLM, SamplingParams
    from vllm.lora.request import LoRARequest

    llm = LLM(
        model=base,
        skip_tokenizer_init=True,
        dtype="float32",
        enforce_eager=True,
        enable_lora=bool(adapters),
        max_loras=max(1, len(adapters)),
        max_cpu_loras=max(1, len(adapters)),
        max_lora_rank=16,
        max_model_len=256,
        max_num_seqs=64,
        enable_prefix_caching=False,
    )
    params = SamplingParams(temperature=0.0, max_tokens=n_new, ignore_eos=True, detokenize=False)
    requests = [LoRARequest(f"a{n}", n + 1, path) for n, path in enumerate(adapters)]
    with os.fdopen(said, "w", buffering=1) as answers:
        answers.write("ready\n")
        for line in sys.stdin:
            answers.write(json.dumps(measured(llm, params, requests, json.loads(line))) + "\n")


def measured(llm: Any, params: Any, requests: list[Any], asked: dict[str, Any]) -> list[float]:
    prompts = [{"prompt_token_ids": ids} for ids in asked["prompts"]]
    used = requests[: asked["adapters"]]
    lora = [used[n % len(used)] for n in range(len(prompts))] if used else None
    cpu, wall = time.process_time(), time.perf_counter()
    outputs = llm.generate(prompts, params, lora_request=lora, use_tqdm=False)
    n_tokens = sum(len(output.outputs[0].token_ids) for output in outputs)
    return [n_tokens / (time.process_time() - cpu), n_tokens / (time.perf_counter() - wall)]


if __name__ == "__main__":
    main()
