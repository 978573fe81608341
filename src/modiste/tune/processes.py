"""Several processes that train one model: a Group over torch.distributed.

Gloo on CPUs, NCCL beside it for tensors on GPUs. What is told to everybody goes as JSON, never as a
pickle; sums run in an order that depends on the number of processes alone, so a run with the same
number ends with the same bits. A process that died is noticed by the next exchange: ProcessLost.

`joined()` works in whatever started this process: torchrun (RANK, WORLD_SIZE, MASTER_ADDR and
MASTER_PORT in the environment) or Ray Train, which has connected it already. A process of ours that
joined ends with `end()`, never by returning from its main program.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import NoReturn, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from modiste.errors import ProcessLost
from modiste.tune.group import shares

TIMEOUT = timedelta(minutes=30)
"""Of one exchange; the worker above stops a silent trainer earlier (stall_timeout_s)."""
GPU_BACKEND, CPU_BACKEND = "cpu:gloo,cuda:nccl", "gloo"

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Processes:
    def __init__(self, *, lockstep: bool = False) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.lockstep = lockstep

    @property
    def speaks(self) -> bool:
        return self.rank == 0

    def share(self, items: Sequence[Item], sizes: Sequence[int]) -> Sequence[Item]:
        return [items[place] for place in shares(sizes, self.size)[self.rank]]

    def sum_(self, tensor: Tensor) -> None:
        if tensor.device.type != "cpu":
            self.everyones(None)  # over gloo: it notices a dead process where NCCL would wait
        with _others_needed():
            dist.all_reduce(tensor)

    def total(self, *values: float) -> tuple[float, ...]:
        return tuple(sum(of_one) for of_one in zip(*self.everyones(values), strict=True))

    def agree(self, answer: Answer) -> Answer:
        return self._from(0, answer)

    def everyones(self, answer: Answer) -> list[Answer]:
        return [self._from(rank, answer) for rank in range(self.size)]

    def _from(self, rank: int, answer: Answer) -> Answer:
        text = json.dumps(answer).encode() if rank == self.rank else b""
        size = torch.tensor([len(text)])
        with _others_needed():
            dist.broadcast(size, src=rank)
            content = torch.zeros(int(size), dtype=torch.uint8)
            if rank == self.rank:
                content = torch.tensor(list(text), dtype=torch.uint8)
            dist.broadcast(content, src=rank)
        return cast(Answer, json.loads(bytes(content.tolist())))


def joined() -> Processes:
    """Meet the others and be one of them."""
    on_gpus = torch.cuda.is_available()
    if on_gpus:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    if not dist.is_initialized():
        with _others_needed():
            dist.init_process_group(GPU_BACKEND if on_gpus else CPU_BACKEND, timeout=TIMEOUT)
    return Processes()


def leave() -> None:
    """Close the connections, so that others notice at once that this process is gone. Where the
    base is spread, FSDP holds on to them: only the end of the process closes those."""
    with suppress(RuntimeError, ValueError, AssertionError):  # there may be none
        dist.destroy_process_group()


def end(exit_code: int = 0) -> NoReturn:
    """End this process at once, and with it its connections.

    Python is not taken down: one of gloo's threads may still be letting go of the last exchange's
    tensors, for which it needs the interpreter, and would abort the process after its work is done.
    """
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # its reader is gone, or it is closed
            stream.flush()
    os._exit(exit_code)


@contextmanager
def _others_needed() -> Iterator[None]:
    """torch tells a closed connection and a timeout as RuntimeErrors of many words."""
    try:
        yield
    except RuntimeError as error:
        first_line = next(iter(str(error).strip().splitlines()), "no reason given")
        raise ProcessLost(f"lost another process of this training: {first_line}") from error
