"""One run as several trainers on this machine, through torchrun: one for each GPU.

`python -m modiste.work.torchrun RUN_DIR` is started where the worker would start the trainer alone,
and stands for it: the same folder, the same events, the same ways to stop it. It starts as many
trainers as job.json's `processes` says, on the loopback interface; when one dies it ends the
others and then itself, and the worker starts the whole again from the last checkpoint.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from modiste.work import member
from modiste.work.member import EXIT_LOST

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

log = logging.getLogger("modiste.trainer")

TRAINER = "modiste.work.training"
EXIT_SIGNALLED = 143
GRACE_S = 5
"""Between asking the others to end and ending them."""


def main(argv: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    if len(arguments) != 1:
        print("usage: python -m modiste.work.torchrun RUN_DIR", file=sys.stderr)
        return 2
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    run_dir = Path(arguments[0]).resolve()
    asked = json.loads((run_dir / "job.json").read_bytes()).get("processes")
    for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME", "TP_SOCKET_IFNAME"):
        os.environ.setdefault(name, "lo" if sys.platform.startswith("linux") else "lo0")
    member.forget_words(run_dir)
    return launch(run_dir, processes=asked or devices())


def devices() -> int:
    """A process for each GPU, one where there is none. Imports torch."""
    import torch

    return max(1, torch.cuda.device_count())


def launch(run_dir: Path, *, processes: int) -> int:
    """Start them and wait; the exit code of the run."""
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",
        max_restarts=0,
        shutdown_timeout=GRACE_S,
    )
    # Through work.child, so that no trainer outlives this process, however it ends.
    trainer = ("-m", "modiste.work.child", str(os.getpid()), TRAINER, str(run_dir))
    try:
        elastic_launch(config, sys.executable)(*trainer)
    except ChildFailedError as error:
        return _exit_code(error, processes)
    except SignalException as error:
        log.warning("ended by %s", error)
        return EXIT_SIGNALLED
    return 0


def _exit_code(error: ChildFailedError, processes: int) -> int:
    """The first process's own, if it ended by itself; else that one was lost."""
    rank, failure = error.get_first_failure()
    if rank == 0 and failure.exitcode > 0:
        return int(failure.exitcode)
    how = failure.signal_name() if failure.exitcode < 0 else f"exit code {failure.exitcode}"
    log.error("process %d of %d of this training ended with %s", rank, processes, how)
    return EXIT_LOST


if __name__ == "__main__":
    raise SystemExit(main())
