"""The acceptance test: stock clients of every generation walk the whole flow, unchanged, and ask
every endpoint of inference.

Each walk runs in the client's own environment (`make clients`) against one real server. Without the
environments these tests are skipped and say so; REQUIRE_STOCK_CLIENTS=1 makes that a failure.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from make_clients import client_python

WALKS = Path(__file__).parent / "walks"
WALKERS = [
    ("mistralai", "0.4.2", "mistral_0.py"),
    ("mistralai", "2.5.1", "mistral_jobs.py"),
    ("openai", "3.52.0", "openai_jobs.py"),
]
"""One of each generation; those of the same walk take as long and are run with the slow tests."""
MORE_WALKERS = [
    ("mistralai", "1.2.6", "mistral_jobs.py"),
    ("mistralai", "1.12.4", "mistral_jobs.py"),
    ("mistralai", "3.7.0", "mistral_3.py"),
    ("openai", "1.109.1", "openai_jobs.py"),
]
ASKERS = [
    ("mistralai", "0.4.2", "mistral_0_asks.py"),
    ("mistralai", "1.2.6", "mistral_asks.py"),
    ("mistralai", "1.12.4", "mistral_asks.py"),
    ("mistralai", "2.5.1", "mistral_asks.py"),
    ("mistralai", "3.7.0", "mistral_asks.py"),
    ("openai", "1.109.1", "openai_asks.py"),
    ("openai", "3.52.0", "openai_asks.py"),
]
BATCHERS = [
    ("mistralai", "1.12.4", "mistral_batch.py"),
    ("mistralai", "2.5.1", "mistral_batch.py"),
    ("mistralai", "3.7.0", "mistral_batch.py"),
    ("openai", "1.109.1", "openai_batch.py"),
    ("openai", "3.52.0", "openai_batch.py"),
]
CLASSIFIERS = ["1.12.4", "2.5.1", "3.7.0"]


@pytest.mark.slow
@pytest.mark.parametrize("version", CLASSIFIERS)
def test_a_stock_client_makes_a_classifier_and_asks_it(
    request: pytest.FixtureRequest, version: str
) -> None:
    walks(request, "mistralai", version, "mistral_classifier.py")


@pytest.mark.parametrize(
    ("name", "version", "walk"),
    [*WALKERS, *(pytest.param(*one, marks=pytest.mark.slow) for one in MORE_WALKERS)],
    ids=lambda value: str(value),
)
def test_a_stock_client_walks_the_whole_flow(
    request: pytest.FixtureRequest, name: str, version: str, walk: str
) -> None:
    walks(request, name, version, walk)


@pytest.mark.parametrize(("name", "version", "walk"), ASKERS, ids=lambda value: str(value))
def test_a_stock_client_asks_every_endpoint_of_inference(
    request: pytest.FixtureRequest, name: str, version: str, walk: str
) -> None:
    walks(request, name, version, walk)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "version", "walk"), BATCHERS, ids=lambda value: str(value))
def test_a_stock_client_sends_batches(
    request: pytest.FixtureRequest, name: str, version: str, walk: str
) -> None:
    walks(request, name, version, walk)


def walks(request: pytest.FixtureRequest, name: str, version: str, walk: str) -> None:
    """Run one walk in the environment of one client."""
    python = client_python(name, version)
    if python is None:
        missing = f"{name} {version} is not installed in .clients: run `make clients`"
        if os.environ.get("REQUIRE_STOCK_CLIENTS") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    served = request.getfixturevalue("served")
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "WALK_URL": served.url,
        "WALK_KEY": served.key,
        "NO_PROXY": "127.0.0.1",
    }
    done = subprocess.run(
        [str(python), str(WALKS / walk)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"{name} {version}:\n{done.stderr[-6000:]}{done.stdout[-2000:]}"
