"""What lm-evaluation-harness leaves behind becomes runs in our format.

It writes `results_<time>.json` and, with `--log_samples`, `samples_<task>_<time>.jsonl` beside it;
the form is that of 0.4.13. One task is one run. A group whose tasks are graded by the same metrics
is one run too, with a slice per task; another group's tasks are runs of their own.

A metric is taken where its figure is the mean over documents of one number each. Others
(perplexity, corpus BLEU, F1 over a corpus) are told as `left_out`, with what the harness says of
them: one number per corpus cannot be compared item by item.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import fsum, isclose, isfinite
from pathlib import Path
from typing import Any, NamedTuple

from modiste.errors import InvalidInput, NotFound
from modiste.evaluate.imported import SAME
from modiste.evaluate.items import Sample
from modiste.evaluate.lm_eval_samples import HARNESS, NO_FILTER, Json, MetricName, samples_of

UNSAID = frozenset({"model", "pretrained", "base_url", "auth_token", "header"})
"""Of the model's arguments: told elsewhere, or secret."""
NOT_PROMPT = frozenset(
    {"metadata", "metric_list", "filter_list", "dataset_path", "dataset_name", "dataset_kwargs"}
)
"""Of a task's configuration: what no prompt depends on. Documents are compared themselves."""
OF_SCORES = ("output_type", "process_results", "doc_to_target", "doc_to_choice", "repeats")
ADDRESS = re.compile(r" at 0x[0-9a-f]+")


class LeftOut(NamedTuple):
    """A metric that is no mean over documents."""

    task: str
    metric: str
    value: float | None
    stderr: float | None


@dataclass(frozen=True)
class Part:
    """One run to be."""

    imported: Json
    """What `evaluate.imported.Imported` takes."""
    samples: Sequence[Sample]


@dataclass(frozen=True)
class Results:
    parts: tuple[Part, ...]
    left_out: tuple[LeftOut, ...]


def read(place: Path, *, model: str) -> Results:
    """
    Args:
        place: a results file, or a folder with exactly one of them somewhere below it.
        model: whom our server knows the model as.

    Raises:
        NotFound: no results, or a task without samples.
        InvalidInput: several results, or files that are not what the harness writes.
    """
    file = _results_file(place)
    results = _object(file, file.read_bytes())
    if missing := [name for name in ("results", "configs") if name not in results]:
        raise InvalidInput(
            f"{file} has no {' and no '.join(missing)}: are these lm-eval's results?"
        )
    tasks = {task: _task(results, file, task) for task in results["configs"]}
    left_out = [each for task in tasks.values() for each in task.left_out]
    parts = [
        _part(results, name, [tasks[leaf] for leaf in leaves], model)
        for name, leaves in _runs(results, tasks).items()
    ]
    return Results(tuple(parts), tuple(left_out))


@dataclass(frozen=True)
class _Task:
    name: str
    rows: Mapping[str, list[Json]]
    """By filter, a row per document."""
    metrics: tuple[MetricName, ...]
    left_out: tuple[LeftOut, ...]


def _results_file(place: Path) -> Path:
    if place.is_file():
        return place
    found = sorted(place.rglob("results_*.json"))
    if not found:
        raise NotFound(f"{place} holds no results_*.json of lm-eval.", param="results")
    if len(found) > 1:
        said = ", ".join(str(each.relative_to(place)) for each in found[:5])
        raise InvalidInput(f"{place} holds several results ({said}); name one", param="results")
    return found[0]


def _task(results: Json, file: Path, name: str) -> _Task:
    stamp = file.stem.removeprefix("results_")
    samples = file.with_name(f"samples_{name}_{stamp}.jsonl")
    if not samples.is_file():
        raise NotFound(
            f"{samples.name} is not beside {file.name}: run lm-eval with --log_samples",
            param="results",
        )
    rows: dict[str, list[Json]] = {}
    for number, line in enumerate(samples.read_bytes().splitlines(), start=1):
        row = _object(samples, line, number)
        if lacking := [each for each in ("doc_id", "doc", "arguments", "resps") if each not in row]:
            raise InvalidInput(f"{samples} line {number} has no {lacking[0]}: is it lm-eval's?")
        rows.setdefault(str(row.get("filter", NO_FILTER)), []).append(row)
    taken, left = [], []
    for metric in _metrics(rows):
        own, stderr = _own(results, name, metric)
        if _is_mean([row.get(metric.metric) for row in rows[metric.filter]], own):
            taken.append(metric)
        else:
            left.append(LeftOut(name, metric.key, own, stderr))
    return _Task(name, rows, tuple(taken), tuple(left))


def _metrics(rows: Mapping[str, list[Json]]) -> list[MetricName]:
    """In the task's order."""
    return [
        MetricName(metric, filter_)
        for filter_, docs in rows.items()
        for metric in dict.fromkeys(each for row in docs for each in row.get("metrics", ()))
    ]


def _is_mean(values: Sequence[Any], own: float | None) -> bool:
    """Whether the harness's figure is the mean of what it gave each document."""
    if not values or not all(isinstance(value, int | float) for value in values):
        return False
    finite = [float(value) for value in values if isfinite(value)]
    if own is None or not isfinite(own):
        return bool(finite)
    mean = fsum(finite) / len(finite) if finite else None
    return mean is not None and isclose(mean, own, rel_tol=SAME, abs_tol=SAME)


def _own(results: Json, name: str, metric: MetricName) -> tuple[float | None, float | None]:
    """Figure and standard error as the harness has them; it writes "N/A" where there is none."""
    told = results["results"].get(name, {})
    stderr = f"{metric.metric}_stderr,{metric.filter}"
    return _number(told.get(metric.key)), _number(told.get(stderr))


def _number(value: Any) -> float | None:
    number = isinstance(value, int | float) and isfinite(value)
    return float(value) if number else None


def _runs(results: Json, tasks: Mapping[str, _Task]) -> dict[str, list[str]]:
    """Names of runs to their tasks that have something to import."""
    groups: Mapping[str, list[str]] = results.get("group_subtasks", {})
    below = {child for children in groups.values() for child in children}
    found: dict[str, list[str]] = {}
    for name in (*groups, *tasks):
        if name in below:
            continue
        leaves = [leaf for leaf in _leaves(groups, name) if leaf in tasks and tasks[leaf].metrics]
        alike = len({tasks[leaf].metrics for leaf in leaves}) == 1
        found |= {name: leaves} if alike else {leaf: [leaf] for leaf in leaves}
    return found


def _leaves(groups: Mapping[str, list[str]], name: str) -> Iterator[str]:
    if not groups.get(name):
        yield name
    for child in groups.get(name, ()):
        yield from _leaves(groups, child)


def _part(results: Json, name: str, tasks: Sequence[_Task], model: str) -> Part:
    imported = {
        "suite": re.sub(r"[^A-Za-z0-9._-]+", "-", f"{HARNESS}.{name}")[:100],
        "model": model,
        "harness": HARNESS,
        "harness_version": str(results.get("lm_eval_version") or "unknown"),
        "chat_template": results.get("chat_template") is not None,
        "flags": _flags(results, tasks, model),
        "prompt": _prompt(results, tasks),
        "scorers": [_scorer(results, name, tasks, metric) for metric in tasks[0].metrics],
        **_times(results),
    }
    samples: list[Sample] = []
    for task in tasks:
        config = results["configs"][task.name]
        several = len(tasks) > 1
        samples += samples_of(config, task.name, task.rows, task.metrics, several=several)
    return Part(imported, samples)


def _times(results: Json) -> Json:
    """None of them where the harness does not say when it ran."""
    if "date" not in results:
        return {}
    started = datetime.fromtimestamp(float(results["date"]), UTC)
    took = timedelta(seconds=float(results.get("total_evaluation_time_seconds") or 0))
    return {"started_at": started.isoformat(), "finished_at": (started + took).isoformat()}


def _flags(results: Json, tasks: Sequence[_Task], model: str) -> Json:
    config = results.get("config") or {}
    arguments = config.get("model_args")
    told = arguments if isinstance(arguments, dict) else {}
    asked = results.get("model_name")
    shots = {str(results.get("n-shot", {}).get(task.name)) for task in tasks}
    return {
        "endpoint": config.get("model"),
        "num_fewshot": ", ".join(sorted(shots)),
        "limit": config.get("limit"),
        "gen_kwargs": config.get("gen_kwargs") or {},
        "fewshot_seed": config.get("fewshot_seed"),
        "fewshot_as_multiturn": results.get("fewshot_as_multiturn"),
        "system_instruction": results.get("system_instruction"),
        **({"model_name": asked} if asked != model else {}),
        **{name: value for name, value in told.items() if name not in UNSAID},
    }


def _prompt(results: Json, tasks: Sequence[_Task]) -> Json:
    told = {
        task.name: {
            name: value
            for name, value in results["configs"][task.name].items()
            if name not in NOT_PROMPT
        }
        for task in tasks
    }
    return {
        "tasks_sha256": _sha256(told),
        "n_shot": {task.name: results.get("n-shot", {}).get(task.name) for task in tasks},
        "fewshot_as_multiturn": results.get("fewshot_as_multiturn"),
        "fewshot_seed": (results.get("config") or {}).get("fewshot_seed"),
        "system_instruction": results.get("system_instruction"),
    }


def _scorer(results: Json, name: str, tasks: Sequence[_Task], metric: MetricName) -> Json:
    own, stderr = _own(results, name, metric)
    higher = results.get("higher_is_better", {}).get(name, {}).get(metric.metric)
    graded = {}
    for task in tasks:
        config = results["configs"][task.name]
        graded[task.name] = {
            "version": results.get("versions", {}).get(task.name),
            "metrics": [m for m in config.get("metric_list") or () if m["metric"] == metric.metric],
            "filters": [f for f in config.get("filter_list") or () if f["name"] == metric.filter],
            **{key: config.get(key) for key in OF_SCORES},
        }
    return {
        "name": metric.scorer,
        "config": {
            "kind": HARNESS,
            "tasks": [task.name for task in tasks],
            "metric": metric.metric,
            "filter": metric.filter,
            "graded_sha256": _sha256(graded),
        },
        "higher_is_better": higher is not False,
        "value": own,
        "stderr": stderr,
    }


def _object(file: Path, text: bytes, line: int | None = None) -> Json:
    try:
        value = json.loads(text)
    except ValueError as error:
        value = str(error)
    if not isinstance(value, dict):
        where = file if line is None else f"{file} line {line}"
        raise InvalidInput(f"{where} is no JSON object of lm-eval: {value!r:.80}")
    return value


def _sha256(value: Any) -> str:
    """Functions of a task are told with their address, which differs from run to run."""
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(ADDRESS.sub("", canonical).encode()).hexdigest()
