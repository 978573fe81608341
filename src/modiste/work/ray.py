"""One run on the machines of a Ray cluster, through Ray Train; the only module that knows Ray.

`python -m modiste.work.ray RUN_DIR` is started where the worker would start the trainer alone, and
stands for it: the same folder, the same events, the same ways to stop it. Without an address it
makes a cluster of its own on this machine, on loopback, without dashboard. Each process of the
cluster reads base, data and run from the folders that job.json names, so these must be the same on
all machines (a shared file system); checkpoints are written there by the first process, as ever.

A process that dies, or a machine that goes, ends the group; Ray starts it again and it continues
from the last checkpoint, up to RESTARTS times. After that this process ends and the worker counts.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import platform
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

import psutil

from modiste.errors import InvalidInput, ModisteError, TuningFailed
from modiste.tune.events import Failed
from modiste.work import child, member, training
from modiste.work.member import EXIT_LOST, NoSignals

log = logging.getLogger("modiste.trainer")

RESTARTS = 3
OBJECT_STORE_BYTES = 80 << 20
"""Nothing of size goes through it."""
LOOPBACK = "127.0.0.2" if sys.platform.startswith("linux") else "127.0.0.1"
"""Ray takes 127.0.0.1 for a mistake and listens on the network instead."""
GUARD = "--guard"
CONNECT_S = 10.0
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_TRAIN_V2_ENABLED": "1"}


def main(argv: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    if arguments == [GUARD]:
        return guard(sys.stdin)
    if len(arguments) != 1:
        print("usage: python -m modiste.work.ray RUN_DIR", file=sys.stderr)
        return 2
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    run_dir = Path(arguments[0]).resolve()
    job = json.loads((run_dir / "job.json").read_bytes())
    member.forget_words(run_dir)
    try:
        with connected(run_dir, job):
            return launch(run_dir, job)
    except ModisteError as error:
        log.error("%s", error.message)
        with training.EventLog(run_dir / "events.jsonl") as events:
            events(Failed(error.error_code, error.message))
        return 1


@contextmanager
def connected(run_dir: Path, job: Mapping[str, Any]) -> Iterator[None]:
    """In touch with the cluster of the job, or with one of our own that ends with the block.

    Raises:
        InvalidInput: Ray is not installed, or there is no cluster at the address.
    """
    if importlib.util.find_spec("ray") is None:
        raise InvalidInput("executor ray needs Ray: pip install 'modiste[ray]'")
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    address = job.get("ray_address")
    with _theirs(address) if address is not None else _own(run_dir, job):
        yield


@contextmanager
def _theirs(address: str) -> Iterator[None]:
    refuse_silence(address)
    import ray

    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
    except (ConnectionError, OSError, ValueError, RuntimeError) as error:
        raise InvalidInput(f"no Ray cluster answers at {address}: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


def refuse_silence(address: str) -> None:
    """Ray itself would try for minutes, and then end this process without a word.

    Raises:
        InvalidInput: nobody listens there.
    """
    host, colon, port = address.rpartition("//")[2].rpartition(":")
    if not (colon and port.isdecimal()):  # `auto`: Ray looks on this machine
        return
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_S).close()
    except OSError as error:
        raise InvalidInput(
            f"no Ray cluster answers at {address}: {error.strerror or error}; start it with `ray "
            "start --head`, or correct MODISTE_RAY_ADDRESS"
        ) from error


@contextmanager
def _own(run_dir: Path, job: Mapping[str, Any]) -> Iterator[None]:
    # Nobody else on this machine may send it work; by default Ray keeps the token in ~/.ray. It
    # reads both when it is imported.
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    import ray

    folder = own_folder(run_dir)
    shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        raise InvalidInput(
            f"{folder} is in the way of a Ray cluster for this job and belongs to somebody else; "
            "have it removed, or start a cluster and name it in MODISTE_RAY_ADDRESS"
        ) from None
    try:
        ray.init(
            address="local",
            num_cpus=max(os.cpu_count() or 1, job.get("processes") or 1),
            object_store_memory=OBJECT_STORE_BYTES,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.WARNING,
            _node_ip_address=LOOPBACK,
            _temp_dir=str(folder),
        )
        with _guarded(folder):
            yield
            ray.shutdown()
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _guarded(folder: Path) -> Iterator[None]:
    """Some of Ray's processes and its folder stay when the process that started them is killed: not
    with us."""
    lines = [f"{folder}\n"]
    lines += [f"{p.pid} {p.create_time()}\n" for p in psutil.Process().children(recursive=True)]
    command = [sys.executable, "-m", "modiste.work.ray", GUARD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as process:
        told = cast(IO[str], process.stdin)
        told.writelines(lines)
        told.flush()
        yield


def guard(told: Iterable[str]) -> int:
    """Wait for the end of what is told, which comes with the end of the teller, then clear away
    what is left: the folder of the first line, the processes of the others."""
    folder, *processes = list(told)
    for line in processes:
        pid, created = line.split()
        with suppress(psutil.Error):
            process = psutil.Process(int(pid))
            if process.create_time() == float(created):
                process.kill()
    shutil.rmtree(folder.strip(), ignore_errors=True)
    return 0


def own_folder(run_dir: Path) -> Path:
    """Of our own cluster's sockets and logs: short, as names of sockets have 107 bytes at most."""
    name = uuid.uuid5(uuid.NAMESPACE_URL, str(run_dir)).hex[:12]
    return Path(tempfile.gettempdir()) / f"modiste-ray-{name}"


def launch(run_dir: Path, job: Mapping[str, Any]) -> int:
    """Train on the cluster and wait; the exit code of the run.

    Raises:
        TuningFailed: what a process said that the first could not hear.
    """
    import ray
    from ray.train.torch import TorchConfig

    train = cast(Any, ray.train)  # what mypy sees is the API of Ray Train 1
    there: Mapping[str, float] = cast(Any, ray).cluster_resources()
    on_gpus = there.get("GPU", 0) >= 1
    processes = job.get("processes") or int(there["GPU"] if on_gpus else n_machines())
    enough(processes, there, on_gpus=on_gpus)
    own = {"parent": str(os.getpid())} if job.get("ray_address") is None else {}
    storage = run_dir / "ray"  # Ray wants one; what a run needs lies beside it
    shutil.rmtree(storage, ignore_errors=True)
    trainer = train.torch.TorchTrainer(
        part,
        train_loop_config={"run_dir": str(run_dir)} | own,
        torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if on_gpus else "gloo"),
        scaling_config=train.ScalingConfig(num_workers=processes, use_gpu=on_gpus),
        run_config=train.RunConfig(
            name=storage.name,
            storage_path=str(run_dir),
            failure_config=train.FailureConfig(max_failures=RESTARTS),
            logging_config=train.LoggingConfig(log_level="ERROR"),
        ),
    )
    try:
        trainer.fit()
    except train.TrainingFailedError as error:
        words = member.words_of_others(run_dir, size=processes)
        if words is not None:
            raise TuningFailed(words.message, code=words.code) from error
        log.error("Ray gave up after %d restarts: %s", RESTARTS, " ".join(str(error).split()))
        return EXIT_LOST
    finally:
        shutil.rmtree(storage, ignore_errors=True)
    return 0


def n_machines() -> int:
    import ray

    return sum(bool(node["Alive"]) for node in cast(Any, ray).nodes())


def enough(processes: int, there: Mapping[str, float], *, on_gpus: bool) -> None:
    """Ray would wait for ever for what no machine has.

    Raises:
        InvalidInput
    """
    kind = "GPU" if on_gpus else "CPU"
    found = int(there.get(kind, 0))
    if processes > found:
        raise InvalidInput(
            f"the Ray cluster has {found} {kind}s, {processes} processes need one each; lower "
            "MODISTE_TRAIN_PROCESSES or add machines"
        )


def part(config: Mapping[str, str]) -> None:
    """What each process of the cluster runs."""
    run_dir = Path(config["run_dir"])
    if not (run_dir / "job.json").is_file():
        raise InvalidInput(
            f"{run_dir} is not there on {platform.node()}; MODISTE_HOME must be a folder that "
            "all machines of the cluster share"
        )
    if "parent" in config:
        child.die_with(int(config["parent"]))
    # Ray keeps what its processes print to itself, on the machine where they ran.
    logging.getLogger("modiste").addHandler(logging.FileHandler(run_dir / "trainer.log"))
    code = training.train(run_dir, NoSignals(), time.monotonic())
    if code not in (0, 1):  # 1: it said why it failed, and would fail again
        raise RuntimeError(f"process {os.environ.get('RANK')} ended with exit code {code}")
    if member.unheard(run_dir):  # the first still waits for this one: only the group's end ends it
        raise RuntimeError(f"process {os.environ.get('RANK')} failed and was not heard")


if __name__ == "__main__":
    # By its own name, so that processes elsewhere find `part` where it was defined.
    from modiste.work.ray import main as by_name

    raise SystemExit(by_name())
