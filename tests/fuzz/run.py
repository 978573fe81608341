"""Random damage to valid files for as long as asked, from the root of the repository:

    python -m tests.fuzz.run --seconds 3600

Every case has a number; the same number is the same case, so that what fails can be looked at
alone (`--only 17`). Files that fail are kept. Exit code 1 if any did.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

import mistral_common

from modiste.prepare import render
from modiste.prepare.render import Renderer
from modiste.prepare.render_mistral import MistralRenderer
from tests.fuzz.mutations import file_bytes
from tests.fuzz.walk import walk

WHEEL = Path(mistral_common.__file__).parent / "data"
SLOW_S = 10.0


def renderers() -> list[Renderer | None]:
    tiny = Path(render.__file__).parents[1] / "bases" / "tiny"
    names = ["mistral_instruct_tokenizer_240323.model.v3", "tekken_240911.json"]
    return [None, render.load(tiny), *(MistralRenderer(WHEEL / name) for name in names)]


def one(number: int, folder: Path, known: list[Renderer | None]) -> None:
    """The case of a number.

    Raises:
        Exception: what must not happen.
    """
    rng = random.Random(number)
    name, content = file_bytes(rng)
    path = folder / name
    path.write_bytes(content)
    started = time.monotonic()
    walk(path, known, rng)
    assert time.monotonic() - started < SLOW_S, f"case {number} takes longer than {SLOW_S} s"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", type=int)
    asked = parser.parse_args(argv)
    if asked.only is not None:
        with tempfile.TemporaryDirectory() as folder:
            one(asked.only, Path(folder), renderers())
        return 0
    known, failed, number = renderers(), 0, asked.first
    until = time.monotonic() + asked.seconds
    while time.monotonic() < until:
        folder = Path(tempfile.mkdtemp(prefix=f"modiste-fuzz-{number}-"))
        try:
            one(number, folder, known)
        except Exception:
            failed += 1
            traceback.print_exc()
            print(f"case {number}: kept in {folder}", file=sys.stderr, flush=True)
        else:
            shutil.rmtree(folder)
        number += 1
    print(f"{number - asked.first:,} files, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
