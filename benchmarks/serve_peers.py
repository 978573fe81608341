"""What serving is measured beside: transformers with PEFT, llama.cpp (`xllamacpp`), and vLLM.

Each peer measures itself on the same prompts, lengths and adapters, on one thread, and says how
many tokens it made per second of CPU and of wall time.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from serve_engine import Speed, prompt


class Transformers:
    """`generate` of transformers with PEFT's adapters: one request after the other, or batched
    with `adapter_names`."""

    def __init__(self, base: Path, adapters: list[Path], *, n_new: int) -> None:
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        self._model = PeftModel.from_pretrained(plain, adapters[0], adapter_name="0")
        for n, adapter in enumerate(adapters[1:], 1):
            self._model.load_adapter(adapter, adapter_name=str(n))
        self._model.eval().generation_config.eos_token_id = None
        self._n_adapters, self._n_new = len(adapters), n_new

    def one_by_one(self, streams: int) -> Speed:
        """As many as four: each takes as long as the others."""

        def ask() -> int:
            for n in range(min(streams, 4)):
                self._model.set_adapter(str(n % self._n_adapters))
                self._generate([n])
            return min(streams, 4) * self._n_new

        return measured(ask)

    def batched(self, streams: int) -> Speed:
        names = [str(n % self._n_adapters) for n in range(streams)]

        def ask() -> int:
            self._generate(list(range(streams)), adapter_names=names)
            return streams * self._n_new

        return measured(ask)

    @torch.inference_mode()
    def _generate(self, prompts: list[int], **options: object) -> None:
        ids = torch.tensor([prompt(n) for n in prompts])
        self._model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=self._n_new,
            do_sample=False,
            pad_token_id=0,
            **options,
        )


class LlamaCpp:
    """llama.cpp's server in this process, with one adapter for all: it cannot mix them."""

    def __init__(self, model: Path, adapter: Path, *, streams: int, n_new: int) -> None:
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(model)
        lora = xllamacpp.CommonAdapterLoraInfo()
        lora.path, lora.scale = str(adapter), 1.0
        params.lora_adapters = [lora]
        params.n_parallel = streams
        params.n_ctx = streams * 256
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
        params.warmup, params.verbosity = False, -1
        self._server = xllamacpp.Server(params)
        self._streams, self._n_new = streams, n_new

    def speed(self) -> Speed:
        def one(number: int) -> int:
            answer = self._server.handle_completions(
                {
                    "prompt": list(prompt(number)),
                    "max_tokens": self._n_new,
                    "temperature": 0.0,
                    "ignore_eos": True,
                    "cache_prompt": False,
                }
            )
            usage = (json.loads(answer) if isinstance(answer, str) else answer)["usage"]
            return int(usage["completion_tokens"])

        def ask() -> int:
            with ThreadPoolExecutor(self._streams) as pool:
                return sum(pool.map(one, range(self._streams)))

        return measured(ask)


class Vllm:
    """vLLM in a process and an environment of its own (`serve_vllm.py`), with adapters or none."""

    def __init__(
        self, python: Path, base: Path, adapters: list[Path], folder: Path, *, n_new: int
    ) -> None:
        named = folder / f"vllm-{len(adapters)}.json"
        named.write_text(json.dumps([str(path) for path in adapters]))
        script = Path(__file__).with_name("serve_vllm.py")
        command = [str(python), str(script), str(base), str(named), str(n_new)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        if self._said() != "ready":
            raise RuntimeError(f"{python} cannot run vLLM; what it said stands above")

    def speed(self, streams: int, adapters: int) -> Speed:
        asked = {"adapters": adapters, "prompts": [list(prompt(n)) for n in range(streams)]}
        if self._process.stdin is None:
            raise RuntimeError("vLLM was started without a pipe")
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        return Speed(*json.loads(self._said()))

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def _said(self) -> str:
        if self._process.stdout is None:
            raise RuntimeError("vLLM was started without a pipe")
        return self._process.stdout.readline().strip()


def llama_files(base: Path, adapter: Path, folder: Path) -> tuple[Path, Path] | None:
    """The base in q8_0 and the adapter in f16, as llama.cpp reads them; None where the base has no
    tokenizer."""
    import gguf

    from modiste.nn import gguf_file
    from modiste.nn.adapter_io import load_peft
    from modiste.nn.merge import Merged
    from modiste.nn.tensor_files import TensorFiles

    if not (base / "tokenizer.json").exists():
        return None
    model, lora = folder / "base.gguf", folder / "adapter.gguf"
    gguf_file.write(Merged(TensorFiles(base), {}), base, model, numbers="q8_0")
    writer = gguf.GGUFWriter(lora, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    layers = load_peft(adapter).layers
    rank = len(next(iter(layers.values())).A_RI)
    writer.add_float32("adapter.lora.alpha", next(iter(layers.values())).scaling * rank)
    for name, layer in layers.items():
        # Rows of q and k would have to be turned to give the same text; the time is the same.
        theirs = gguf_file.gguf_name(f"{name}.weight")
        writer.add_tensor(f"{theirs}.lora_a", layer.A_RI.half().numpy())
        writer.add_tensor(f"{theirs}.lora_b", layer.B_OR.half().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model, lora


def measured(ask: Callable[[], int]) -> Speed:
    """`ask` tells how many tokens it made."""
    cpu, wall = time.process_time(), time.perf_counter()
    n_tokens = ask()
    return Speed(n_tokens / (time.process_time() - cpu), n_tokens / (time.perf_counter() - wall))
