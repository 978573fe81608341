"""A bare install (no torch, no transformers) runs the front, the client and every check."""

import subprocess
import sys

BLOCKED = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "transformers", "safetensors", "peft"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Block())
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BLOCKED + code], capture_output=True, text=True, timeout=60
    )


def test_the_command_line_helps_without_torch() -> None:
    result = run(
        "import sys; sys.argv=['modiste','--help']\nfrom modiste.__main__ import main\nmain()"
    )
    assert result.returncode == 0, result.stderr
    assert "quickstart" in result.stdout


def test_the_doors_actions_and_checks_import_without_torch() -> None:
    result = run(
        "import modiste.api.app, modiste.actions.jobs, modiste.actions.completions, "
        "modiste.prepare.checks.file, modiste.prepare.render, modiste.serve.stream, "
        "modiste.tune.spec, modiste.tune.plan, modiste.work.worker, modiste.client"
    )
    assert result.returncode == 0, result.stderr
