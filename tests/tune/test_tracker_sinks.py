"""What each tracker needs to be opened; what it then shows is in test_trackers.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from modiste.tune.tracker_sinks import _has_wandb_key, _without_password


def test_a_password_in_a_tracking_uri_is_not_written_down() -> None:
    found = _without_password("https://anna:hunter2@mlflow.example:5000/x?y=1")
    assert found == "https://mlflow.example:5000/x?y=1"
    assert _without_password("sqlite:////runs/mlflow.db").endswith("/runs/mlflow.db")


def test_the_key_that_wandb_login_left_counts_for_its_host(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert not _has_wandb_key("https://api.wandb.ai")
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine api.wandb.ai login user password secret\n")
    netrc.chmod(0o600)
    assert _has_wandb_key("https://api.wandb.ai")
    assert not _has_wandb_key("http://127.0.0.1:8080")
    monkeypatch.setenv("WANDB_API_KEY", "x")
    assert _has_wandb_key("http://127.0.0.1:8080")
