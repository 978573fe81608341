"""W&B, MLflow and TensorBoard, each as one small sink; their packages are imported here alone.

All write below the run's folder where no server is named. What a tracker needs to find its run
again after a kill is derived from the run's name, or kept beside it.
"""

from __future__ import annotations

import hashlib
import json
import netrc
import os
import re
import sys
import time
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from modiste.errors import InvalidInput
from modiste.tune.spec import Tracker

WANDB_URL = "https://api.wandb.ai"
MLFLOW_PARAM_CHARACTERS = 500


class WandbSink:
    def __init__(self, run: Any, note: str | None) -> None:
        self._run, self.note = run, note

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._run.log(dict(values), step=step)

    def close(self, *, ok: bool) -> None:
        self._run.finish(exit_code=0 if ok else 1)


class MlflowSink:
    note: str | None = None

    def __init__(self, client: Any, run_id: str) -> None:
        self._client, self._run_id = client, run_id
        self._metric = import_module("mlflow.entities").Metric

    def log(self, values: Mapping[str, float], step: int) -> None:
        now_ms = int(time.time() * 1000)
        metrics = [self._metric(name, value, now_ms, step) for name, value in values.items()]
        self._client.log_batch(self._run_id, metrics=metrics)

    def close(self, *, ok: bool) -> None:
        self._client.set_terminated(self._run_id, "FINISHED" if ok else "KILLED")


class TensorboardSink:
    note: str | None = None

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def log(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, global_step=step)
        self._writer.flush()

    def close(self, *, ok: bool) -> None:
        self._writer.close()


def open_wandb(
    tracker: Tracker, run_dir: Path, *, name: str, number: int, config: Mapping[str, Any]
) -> WandbSink:
    """Online where there is a key, else offline, to be sent later with `wandb sync`."""
    wandb = _package("wandb", tracker)
    url = tracker.url or os.environ.get("WANDB_BASE_URL") or WANDB_URL
    mode = "offline" if tracker.offline else os.environ.get("WANDB_MODE", "online")
    keyless = mode == "online" and not _has_wandb_key(url)
    run = wandb.init(
        project=tracker.project,
        name=tracker.run_name or name,
        id=hashlib.sha256(f"{run_dir.name} {number}".encode()).hexdigest()[:16],
        dir=str(run_dir),
        config=dict(config),
        mode="offline" if keyless else mode,
        resume=None if keyless or mode != "online" else "allow",
        reinit="create_new",
        settings=wandb.Settings(
            base_url=url,
            console="off",
            silent=True,
            disable_git=True,
            disable_code=True,
            save_code=False,
            init_timeout=30,
            x_disable_meta=True,
        ),
    )
    note = None
    if keyless:
        note = (
            "wandb has no API key (WANDB_API_KEY, or api_key of the job's integration), so it "
            f"writes to {run_dir / 'wandb'}; `wandb sync` sends that later"
        )
    return WandbSink(run, note)


def open_mlflow(
    tracker: Tracker, run_dir: Path, *, name: str, number: int, config: Mapping[str, Any]
) -> MlflowSink:
    """The tracking server that is named, or a SQLite store in the run's folder."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    mlflow = _package("mlflow", tracker)
    here = f"sqlite:///{run_dir / 'mlflow.db'}"
    uri = tracker.url or os.environ.get("MLFLOW_TRACKING_URI") or here
    client = mlflow.MlflowClient(tracking_uri=uri)
    known = run_dir / f"mlflow-{number}.json"
    if known.exists():
        run_id = str(json.loads(known.read_text())["run_id"])
        client.update_run(run_id, status="RUNNING")
        return MlflowSink(client, run_id)
    experiment = tracker.project or "modiste"
    found = client.get_experiment_by_name(experiment)
    experiment_id = (
        found.experiment_id
        if found
        else client.create_experiment(
            experiment, artifact_location=(run_dir / "mlflow").as_uri() if uri == here else None
        )
    )
    run_id = client.create_run(experiment_id, run_name=tracker.run_name or name).info.run_id
    for field, value in config.items():
        client.log_param(run_id, field, str(value)[:MLFLOW_PARAM_CHARACTERS])
    known.write_text(json.dumps({"run_id": run_id, "tracking_uri": _without_password(uri)}))
    return MlflowSink(client, run_id)


def open_tensorboard(
    tracker: Tracker, run_dir: Path, *, name: str, number: int, config: Mapping[str, Any]
) -> TensorboardSink:
    """Event files in `tensorboard/` of the run's folder, for `tensorboard --logdir`."""
    _package("tensorboard", tracker)
    from torch.utils.tensorboard import SummaryWriter

    folder = re.sub(r"[^\w-]+", "-", tracker.run_name or name)
    writer = SummaryWriter(log_dir=str(run_dir / "tensorboard" / folder))
    writer.add_text("spec", "\n".join(f"- {name}: `{v}`" for name, v in config.items()))
    return TensorboardSink(writer)


def settle() -> None:
    """Waits for W&B's own process: `finish` returns before the last bytes are in the file."""
    wandb = sys.modules.get("wandb")
    if wandb is not None:
        wandb.teardown()


def _package(name: str, tracker: Tracker) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise InvalidInput(
            f"{tracker.type} shows nothing of this run: {error}; "
            "pip install 'modiste[trackers]' brings it"
        ) from error


def _has_wandb_key(url: str) -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:  # where `wandb login` leaves it
        return netrc.netrc().authenticators(urlsplit(url).hostname or "") is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _without_password(uri: str) -> str:
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
