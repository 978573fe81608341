"""schemathesis, in its own environment, tries every operation of the OpenAPI document: whatever is
sent, the answer has a status, a type and a shape that the document promises, and is never a 500.

The engine behind the front follows a script, so that what is tried costs no computing.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from scripted import Front

sys.path.insert(0, str(Path(__file__).parents[1] / "journeys"))
from make_clients import client_python

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)
MOST_EXAMPLES = "3"
"""Drawn by chance for each operation, beside those that go through every field."""


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("mount", "phases"),
    # The mounts share their handlers: every field of all of them once, the rest by chance.
    [("/v1", "coverage,fuzzing"), ("/mistral/v1", "fuzzing"), ("/openai/v1", "fuzzing")],
)
def test_nothing_that_can_be_sent_breaks_what_the_document_promises(
    front: Front, tmp_path: Path, mount: str, phases: str
) -> None:
    python = client_python("schemathesis", "4.32.5")
    if python is None:
        missing = "schemathesis is not installed in .clients: run `make clients`"
        if os.environ.get("REQUIRE_STOCK_CLIENTS") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    command = [str(python.parent / "schemathesis"), "run", f"{front.url}/openapi.json"]
    command += ["--header", f"Authorization: Bearer {front.key}", "--checks", ",".join(CHECKS)]
    command += ["--phases", phases, "--max-examples", MOST_EXAMPLES, "--seed", "1"]
    command += ["--include-path-regex", f"^{mount}/", "--warnings", "off", "--no-shrink"]
    command += ["--request-timeout", "30", "--continue-on-failure"]
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(tmp_path), "NO_COLOR": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=800
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "No issues found" in done.stdout
