"""Two real workers of Ray Train on a cluster of this machine: the same losses as one process, and a
worker killed with -9 costs one checkpoint interval at most."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from modiste.errors import InvalidInput
from modiste.work import ray as executor

from . import several

LAUNCHER = "modiste.work.ray"
WORKER = "RayTrainWorker"

pytest.importorskip("ray.train", reason="Ray Train is not installed: pip install 'modiste[ray]'")


@pytest.mark.slow
def test_two_workers_train_what_one_process_trains_and_survive_a_kill_9(tmp_path: Path) -> None:
    alone = several.make(tmp_path / "alone", max_steps=24)
    assert alone.run_here() == 0

    job = several.make(tmp_path / "job", max_steps=24)
    launcher = job.launch(LAUNCHER)
    job.until(launcher, 5)
    workers = several.below(launcher, named=WORKER)
    assert len(workers) == 2
    several.kill(workers[1])
    assert job.to_end(launcher) == 0, job.log()

    assert len(job.named("started")) == 2, "Ray started the group again by itself"
    (resumed,) = job.named("resumed")
    before = job.events()[: job.events().index(resumed)]
    lost = max(e["step"] for e in before if e["event"] == "step") - resumed["step"]
    assert 0 <= lost <= 4, "at most the steps since the last checkpoint, every 4 of them"
    assert job.said_twice_alike()
    for step, (loss, norm, n_tokens) in alone.curve().items():
        # The same fp32 gradients added up in another order, for two dozen steps.
        assert job.curve()[step] == (
            pytest.approx(loss, rel=1e-3),
            pytest.approx(norm, rel=1e-2),
            n_tokens,
        )
    assert job.events()[-1]["event"] == "finished"
    assert several.gone(workers)
    assert not executor.own_folder(job.folder).exists()
    assert not (job.folder / "ray").exists()


@pytest.mark.slow
def test_nothing_outlives_a_killed_launcher(tmp_path: Path) -> None:
    job = several.make(tmp_path, max_steps=100_000)
    launcher = job.launch(LAUNCHER)
    job.until(launcher, 2)
    started = several.below(launcher)
    assert len(started) > 4
    launcher.kill()
    launcher.wait()
    assert several.gone(started)
    deadline = time.monotonic() + 60
    while executor.own_folder(job.folder).exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_cluster_that_does_not_answer_fails_the_job_by_name(tmp_path: Path) -> None:
    job = several.make(tmp_path, ray_address="127.0.0.1:9")
    assert job.to_end(job.launch(LAUNCHER)) == 1
    (failed,) = job.named("failed")
    assert "no Ray cluster answers at 127.0.0.1:9" in failed["message"]


def test_a_cluster_that_is_too_small_is_refused_before_ray_waits_for_ever() -> None:
    executor.enough(2, {"CPU": 2.0}, on_gpus=False)
    with pytest.raises(executor.InvalidInput, match="has 2 CPUs, 3 processes need one each"):
        executor.enough(3, {"CPU": 2.0}, on_gpus=False)
    with pytest.raises(executor.InvalidInput, match="has 0 GPUs"):
        executor.enough(1, {"CPU": 2.0}, on_gpus=True)


def test_a_machine_that_does_not_see_the_run_says_what_must_be_shared(tmp_path: Path) -> None:
    with pytest.raises(executor.InvalidInput, match="all machines of the cluster share"):
        executor.part({"run_dir": str(tmp_path / "elsewhere")})


def test_sockets_of_a_cluster_of_our_own_have_short_names() -> None:
    assert len(str(executor.own_folder(Path("/a" * 200)))) < 60


def test_the_guard_clears_away_what_is_left_when_its_starter_is_gone(tmp_path: Path) -> None:
    import psutil

    (tmp_path / "gone").mkdir()
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        born = psutil.Process(left.pid).create_time()
        executor.guard(
            [f"{tmp_path}/gone\n", f"{left.pid} {born}\n", f"{other.pid} 1.0\n", "4000000 1.0\n"]
        )
        assert left.wait(timeout=60) == -9
        assert not (tmp_path / "gone").exists()
        assert other.poll() is None, "a process that only has the same number stays"
    finally:
        other.kill()
        other.wait()


def test_a_folder_of_somebody_else_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = executor.own_folder(tmp_path)
    folder.mkdir()
    # Removing another user's folder fails in silence; this process owns all it can make.
    monkeypatch.setattr(executor.shutil, "rmtree", lambda *_, **__: None)
    monkeypatch.setattr(executor.os, "environ", dict(executor.os.environ))
    try:
        with (
            pytest.raises(InvalidInput, match="belongs to somebody else"),
            executor.connected(tmp_path, {}),
        ):
            pass
    finally:
        folder.rmdir()
