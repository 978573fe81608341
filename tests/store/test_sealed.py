"""Secrets at rest: unreadable without a key that only its owner may read."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from modiste import settings
from modiste.errors import Corrupt, InvalidInput
from modiste.settings import Settings
from modiste.store.sealed import opened, seal


def of(home: Path, **given: str) -> Settings:
    home.mkdir(exist_ok=True)
    return settings.load({"home": home, **given}, {})


def test_what_was_sealed_opens_with_the_same_home_only(tmp_path: Path) -> None:
    here, there = of(tmp_path / "a"), of(tmp_path / "b")
    sealed = seal(here, "wandb-key")
    assert "wandb-key" not in sealed
    assert opened(here, sealed) == "wandb-key"
    assert seal(here, "wandb-key") != sealed
    with pytest.raises(Corrupt, match="another key"):
        opened(there, sealed)
    assert (tmp_path / "a" / "secrets.key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["secrets.key"]


def test_machines_that_share_the_setting_open_each_others_secrets(tmp_path: Path) -> None:
    key = Fernet.generate_key().decode()
    here, there = (of(tmp_path / name, secrets_key=key) for name in "ab")
    assert opened(there, seal(here, "x")) == "x"
    assert not list((tmp_path / "a").iterdir())
    assert key not in repr(here)


def test_a_key_that_is_none_is_refused_without_being_shown(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no Fernet key") as raised:
        seal(of(tmp_path / "a", secrets_key="hunter2"), "x")
    assert "hunter2" not in raised.value.message
