"""Clients of a real front: one per dialect, and the oldest one that must be served."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from scripted import Front, ScriptedEngine, run_front, settings_for


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    yield from run_front(settings_for(tmp_path_factory.mktemp("home")), ScriptedEngine())


@pytest.fixture
def engine(front: Front) -> Iterator[ScriptedEngine]:
    """The engine of the front, reset for one test."""
    front.engine.__dict__.update(ScriptedEngine().__dict__)
    yield front.engine
    front.engine.__dict__.update(ScriptedEngine().__dict__)


@pytest.fixture
def mistral(front: Front) -> Iterator[httpx.Client]:
    """Speaks as a current Mistral client."""
    with front.client(**{"user-agent": "mistral-client-python/1.12.4"}) as client:
        yield client


@pytest.fixture
def openai(front: Front) -> Iterator[httpx.Client]:
    with front.client(**{"user-agent": "OpenAI/Python 3.52.0"}) as client:
        yield client


@pytest.fixture
def mistral_0(front: Front) -> Iterator[httpx.Client]:
    with front.client(**{"user-agent": "mistral-client-python/0.4.2"}) as client:
        yield client
