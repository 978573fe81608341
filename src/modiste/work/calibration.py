"""Measuring how fast this machine trains, in a process of its own that may take a few seconds.

`measured` is the caller's side: it answers None where nothing could be measured, for whatever
reason, because a plan without it is still a plan. `python -m modiste.work.calibration FOLDER` is
the child: it reads FOLDER/request.json and writes FOLDER/answer.json.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from modiste.tune.plan import Plan
from modiste.tune.speeds import Speeds
from modiste.work import child

log = logging.getLogger(__name__)
REQUEST, ANSWER = "request.json", "answer.json"
TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Request:
    base_path: Path
    spec: dict[str, Any]
    mean_tokens: int
    longest: int
    tokens_per_step: int
    threads: int


REQUESTS: TypeAdapter[Request] = TypeAdapter(Request)


def measured(
    made: Plan, base_path: Path, *, mean_tokens: int, threads: int, timeout_s: float = TIMEOUT_S
) -> Speeds | None:
    """What a run of this plan reaches here."""
    request = Request(
        base_path=base_path,
        spec=made.spec.model_dump(mode="json"),
        mean_tokens=mean_tokens,
        longest=made.load.longest,
        tokens_per_step=made.load.tokens_per_step,
        threads=threads,
    )
    with tempfile.TemporaryDirectory(prefix="modiste-calibration-") as folder:
        (Path(folder) / REQUEST).write_bytes(REQUESTS.dump_json(request))
        command = child.command("modiste.work.calibration", folder)
        environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
        try:
            subprocess.run(
                command, env=environment, capture_output=True, timeout=timeout_s, check=True
            )
            return Speeds(**json.loads((Path(folder) / ANSWER).read_text(encoding="utf-8")))
        except subprocess.CalledProcessError as error:
            log.warning("could not measure the speed: %s", error.stderr.decode()[-500:])
        except (subprocess.TimeoutExpired, OSError, ValueError, TypeError) as error:
            log.warning("could not measure the speed: %s", error)
    return None


def main(argv: list[str] | None = None) -> int:
    (folder,) = map(Path, sys.argv[1:] if argv is None else argv)
    request = REQUESTS.validate_json((folder / REQUEST).read_bytes())

    from modiste.nn.base import describe_base
    from modiste.tune.calibration import Sample, measure
    from modiste.tune.machine import choose
    from modiste.tune.memory import Load
    from modiste.tune.spec import TuneSpec

    spec = TuneSpec.model_validate(request.spec)
    info = describe_base(request.base_path)
    machine = choose(info, threads=request.threads, spec=spec)
    machine.use()
    sample = Sample(request.mean_tokens, Load(request.longest, request.tokens_per_step))
    speeds = measure(spec, request.base_path, info, sample, machine, folder)
    (folder / ANSWER).write_text(json.dumps(asdict(speeds)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
