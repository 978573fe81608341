"""Checks, tokens, masks and curation: rows per second and memory, beside mistral-finetune's parser.

    .venv/bin/python benchmarks/data.py --mistral-finetune DIR [--sections speed,memory]

DIR is a checkout of github.com/mistralai/mistral-finetune or a git directory of it; its parser runs
in an environment of its own (`--reference-venv`, made if it is not there) with mistral-common
1.5.4, the last it works with. Without DIR only Modiste is measured.

- speed: four-message chats of about 1 kB, the same file for all; ids and masks must be the same.
  Each figure is the best of interleaved rounds: other work on the machine only slows. Rules,
  tokens, masks, repeats and statistics; `all remarks` adds inspections and near-repeats.
- memory: peak resident memory of all processes together, files from 10 MB to 512 MB.
- dedup: signatures per second, and near-duplicates of 512 MB. decontaminate: time against rows.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import venv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import made_chats
import mistral_common
import psutil

from modiste.types import Example

WHEEL = Path(mistral_common.__file__).parent / "data"
TOKENIZERS = {
    "spm": WHEEL / "mistral_instruct_tokenizer_240323.model.v3",
    "tekken": WHEEL / "tekken_240718.json",
}
REFERENCE = "mistral-common==1.5.4"
MB = 1_000_000


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--mistral-finetune", type=Path, metavar="DIR")
    parser.add_argument("--reference-venv", type=Path, metavar="DIR")
    parser.add_argument("--sections", default="speed,memory,dedup,decontaminate")
    parser.add_argument("--mb", type=int, default=32, help="size of the file for speed")
    parser.add_argument("--large-mb", type=int, default=512, help="size of the largest file")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--task", nargs="+", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.task:
        print(json.dumps(TASKS[wanted.task[0]](*wanted.task[1:])))
        return 0
    if made_chats.data_folder() is None:
        print("no development data (MODISTE_DATA): words are drawn, figures do not compare")
    with tempfile.TemporaryDirectory() as folder:
        for section in wanted.sections.split(","):
            SECTIONS[section](Path(folder), wanted)
    return 0


def speed(folder: Path, wanted: argparse.Namespace) -> None:
    file = folder / "speed.jsonl"
    n_rows = made_chats.write(file, wanted.mb * MB)
    size = file.stat().st_size
    print(f"\n## Check + tokens + masks: {n_rows:,} chats, {size / MB:.0f} MB")
    reference = _reference(folder, wanted) if wanted.mistral_finetune else None
    for kind in TOKENIZERS:
        runs: dict[str, Sequence[str]] = {}
        if reference:
            runs["mistral-finetune, 1 process"] = [*reference, str(file), kind]
        runs["modiste, tokens and masks only"] = _task("samples", file, kind)
        for workers in (1, wanted.workers):
            name = f"{workers} process" + "es" * (workers > 1)
            runs[f"modiste, {name}"] = _task("check", file, kind, workers, "plain")
            runs[f"modiste, {name}, all remarks"] = _task("check", file, kind, workers, "all")
        told: dict[str, list[dict[str, Any]]] = {name: [] for name in runs}
        for _ in range(wanted.rounds):
            for name, command in runs.items():
                told[name].append(_measured(command))
        columns = f"{'rows/s':>9}{'/CPU-s':>9}{'MB/s':>7}{'Mtok/s':>8}{'MiB':>7}{'ratio':>7}"
        print(f"\n{kind:34}{columns}")
        best = {name: min(found, key=lambda t: t["seconds"]) for name, found in told.items()}
        first = next(iter(best.values()))
        for name, found in best.items():
            rate = found["rows"] / found["seconds"]
            ratio = rate / (first["rows"] / first["seconds"])
            per_s = [size / MB / found["seconds"], found["tokens"] / found["seconds"] / 1e6]
            print(
                f"{name:34}{rate:9,.0f}{found['rows'] / found['cpu_s']:9,.0f}"
                f"{per_s[0]:7.1f}{per_s[1]:8.2f}"
                f"{found['peak_mib']:7.0f}{ratio:7.2f}"
            )
        if reference:
            ours = _measured(_task("tokens", file, kind))
            same = all(ours[key] == first[key] for key in ("tokens", "trained", "sha256"))
            print("ids and masks are " + ("the same" if same else "DIFFERENT"))


def memory(folder: Path, wanted: argparse.Namespace) -> None:
    print(f"\n## Memory: check with a tokenizer and all remarks, {wanted.workers} processes")
    print(f"{'file':>10}{'rows':>10}{'rows/s':>10}{'MB/s':>8}{'peak MiB':>10}")
    for mb in (10, 64, wanted.large_mb):
        file = folder / "memory.jsonl"
        made_chats.write(file, mb * MB, copies=True)
        found = _measured(_task("check", file, "spm", wanted.workers, "all"))
        rate = found["rows"] / found["seconds"]
        mb_s = file.stat().st_size / MB / found["seconds"]
        line = f"{mb:7} MB{found['rows']:10,}{rate:10,.0f}{mb_s:8.1f}{found['peak_mib']:10.0f}"
        print(line, flush=True)


def dedup(folder: Path, wanted: argparse.Namespace) -> None:
    print("\n## Near-duplicates: MinHash 25 x 5 with verification")
    file = folder / "dedup.jsonl"
    for mb in (16, 128, wanted.large_mb):
        made_chats.write(file, mb * MB, copies=True)
        if mb == 16:
            found = _measured(_task("sign", file))
            print(f"signing, 1 process: {found['rows'] / found['seconds']:,.0f} rows/s")
        found = _measured(_task("dedup", file))
        rate = found["rows"] / found["seconds"]
        print(
            f"{mb:4} MB: {found['rows']:,} rows in {found['seconds']:.0f} s ({rate:,.0f} rows/s), "
            f"{found['kept']:,} kept, {found['peak_mib']:.0f} MiB",
            flush=True,
        )


def decontaminate(folder: Path, wanted: argparse.Namespace) -> None:
    print("\n## Decontamination: 500 eval items, linear if the last column stays")
    evals, file = folder / "evals.jsonl", folder / "train.jsonl"
    made_chats.write(evals, 500_000, seed=1)
    print(f"{'file':>9}{'rows':>10}{'seconds':>9}{'peak MiB':>10}{'CPU us/row':>12}")
    for mb in (16, 32, 64, 128):
        made_chats.write(file, mb * MB)
        found = _measured(_task("decontaminate", file, evals))
        per_row = found["cpu_s"] / found["rows"] * 1e6
        line = f"{mb:6} MB{found['rows']:10,}{found['seconds']:9.1f}{found['peak_mib']:10.0f}"
        print(f"{line}{per_row:12.0f}", flush=True)


SECTIONS: dict[str, Callable[[Path, argparse.Namespace], None]] = {
    "speed": speed,
    "memory": memory,
    "dedup": dedup,
    "decontaminate": decontaminate,
}


def _reference(folder: Path, wanted: argparse.Namespace) -> list[str]:
    """How mistral-finetune's parser is started, made ready."""
    source, checkout = wanted.mistral_finetune, folder / "mistral-finetune"
    if (source / "finetune").is_dir():
        checkout = source
    else:
        checkout.mkdir()
        packed = subprocess.run(
            ["git", f"--git-dir={source}", "archive", "HEAD"], check=True, capture_output=True
        )
        subprocess.run(["tar", "x", "-C", str(checkout)], input=packed.stdout, check=True)
    place = wanted.reference_venv or folder / "reference-venv"
    python = place / "bin" / "python"
    if not python.exists():
        venv.create(place, with_pip=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", REFERENCE], check=True)
    driver = Path(__file__).with_name("reference_parser.py")
    return [str(python), str(driver), str(checkout)]


def _task(*words: object) -> list[str]:
    return [sys.executable, __file__, "--task", *map(str, words)]


def _measured(command: Sequence[str]) -> dict[str, Any]:
    """What a command tells, and the most memory that it and its children held together."""
    running = subprocess.Popen(command, stdout=subprocess.PIPE)
    peak = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.02):
            peak = max(peak, _resident(running.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    out, _ = running.communicate()
    done.set()
    watcher.join()
    if running.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {running.returncode}")
    told: dict[str, Any] = json.loads(out)
    return {**told, "peak_mib": peak / 2**20}


def _resident(pid: int) -> int:
    """Of a process and its children; pages they share count once for each."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        return sum(member.memory_info().rss for member in family)
    except psutil.Error:
        return 0


def _timed(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    start, used = time.perf_counter(), sum(os.times()[:4])
    told = work()
    seconds = time.perf_counter() - start
    return {**told, "seconds": seconds, "cpu_s": sum(os.times()[:4]) - used}


def _check(file: str, kind: str, workers: str, remarks: str) -> dict[str, Any]:
    from modiste.prepare.checks.file import check_file
    from modiste.prepare.render_mistral import MistralRenderer

    renderer = MistralRenderer(TOKENIZERS[kind])
    every = remarks == "all"

    def work() -> dict[str, Any]:
        report = check_file(
            Path(file),
            filename=file,
            renderer=renderer,
            workers=int(workers),
            inspect=every,
            near=every,
        )
        return {"rows": report.n_examples, "tokens": report.n_tokens}

    return _timed(work)


def _samples(file: str, kind: str) -> dict[str, Any]:
    """What mistral-finetune's parser does and no more: rows, rules, tokens, masks."""
    from modiste.prepare.conversation import Use, violations
    from modiste.prepare.formats.read import parse_row
    from modiste.prepare.render import ahead
    from modiste.prepare.render_mistral import MistralRenderer
    from modiste.prepare.sources.jsonl import parse_json, read_rows

    renderer = MistralRenderer(TOKENIZERS[kind])

    def examples() -> Iterator[Example]:
        with open(file, "rb") as stream:
            for raw in read_rows(stream, file=file):
                value, problem = parse_json(raw, file=file)
                row = parse_row(value, file=file, line=raw.line)
                example = row.example
                if problem is None and example is not None:
                    tools, rules = example.tools, renderer.rules
                    if not violations(example.messages, tools=tools, rules=rules, use=Use.TRAINING):
                        yield example

    def work() -> dict[str, Any]:
        rows = tokens = trained = 0
        for example in ahead(examples(), renderer):
            for ids, mask in renderer.training_samples(example):
                tokens += len(ids)
                trained += mask.count(True)
            rows += 1
        return {"rows": rows, "tokens": tokens, "trained": trained}

    return _timed(work)


def _tokens(file: str, kind: str) -> dict[str, Any]:
    """The ids and masks themselves, as `reference_parser.py` sums them up."""
    import hashlib
    from array import array
    from itertools import islice

    from modiste.prepare.formats.read import read
    from modiste.prepare.render_mistral import MistralRenderer

    renderer = MistralRenderer(TOKENIZERS[kind])
    rows = read(Path(file), filename=file).rows
    hashed = hashlib.sha256()
    tokens = trained = 0
    while batch := [found.row.example for found in islice(rows, 256) if found.row.example]:
        renderer.read_ahead(batch)
        for example in batch:
            for ids, mask in renderer.training_samples(example):
                hashed.update(array("i", ids).tobytes() + bytes(mask))
                tokens += len(ids)
                trained += sum(mask)
    return {"tokens": tokens, "trained": trained, "sha256": hashed.hexdigest()}


def _sign(file: str) -> dict[str, Any]:
    from modiste.prepare.curate.near import Sketches
    from modiste.prepare.curate.normal import said
    from modiste.prepare.records import records

    texts = ["\n".join(said(row.example)) for row in records(Path(file), filename=file)]
    sketches = Sketches()

    def work() -> dict[str, Any]:
        for text in texts:
            sketches.add(text)
        sketches.settle()
        return {"rows": len(texts)}

    return _timed(work)


def _dedup(file: str) -> dict[str, Any]:
    from modiste.prepare.curate.dedup import Dedup, DedupStage
    from modiste.prepare.curate.stage import Corpus

    def work() -> dict[str, Any]:
        corpus = Corpus(Path(file))
        outcome = DedupStage().run([corpus], Dedup())
        return {"kept": sum(1 for _ in outcome.kept), "rows": corpus.n_rows}

    return _timed(work)


def _decontaminate(file: str, evals: str) -> dict[str, Any]:
    from modiste.prepare.curate.contamination import Decontaminate, DecontaminateStage
    from modiste.prepare.curate.stage import Corpus

    def work() -> dict[str, Any]:
        corpus = Corpus(Path(file))
        outcome = DecontaminateStage().run([corpus], Decontaminate(against=(evals,)))
        return {"kept": sum(1 for _ in outcome.kept), "rows": corpus.n_rows}

    return _timed(work)


TASKS: dict[str, Callable[..., dict[str, Any]]] = {
    "check": _check,
    "samples": _samples,
    "tokens": _tokens,
    "sign": _sign,
    "dedup": _dedup,
    "decontaminate": _decontaminate,
}


if __name__ == "__main__":
    raise SystemExit(main())
