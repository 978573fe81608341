"""A pipeline from its files to a dataset: each stage once, and never again for the same rows.

A stage is known by what goes into it: its version and settings, the bytes of its inputs and of the
files that its settings name. What is known is taken from the cache beside the output. A run that is
killed, by whatever means, is finished by running it again: stages that were done are not redone,
and what comes out is what an undisturbed run makes, byte for byte.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from pydantic import BaseModel

from modiste import __version__
from modiste.errors import InvalidInput
from modiste.prepare.curate.cache import ONLY, Cache, Entry, KeptPart
from modiste.prepare.curate.inputs import Opened, corpora, one_shape
from modiste.prepare.curate.manifest import Dataset, Done, Publication
from modiste.prepare.curate.origins import Traced
from modiste.prepare.curate.stage import Corpus, Stage, head
from modiste.prepare.curate.steps import STREAM, Pipeline, Step, stage_named
from modiste.prepare.formats.columns import Columns
from modiste.prepare.sources.containers import Container

CACHE = ".stages"
Streams = dict[str, Sequence[Corpus]]


class Event(NamedTuple):
    """What a run says about one stage."""

    what: str
    """`start`, `done`, or `known` where the cache had it."""
    number: int
    total: int
    stage: str
    source: str
    """The stream it takes."""
    rows: Mapping[str, int]
    """Rows that came out, by stream; empty at the start."""
    seconds: float = 0.0


def run(
    pipeline: Pipeline,
    *,
    stages: Mapping[str, Stage] | None = None,
    on_event: Callable[[Event], None] = lambda event: None,
    clean: bool = False,
) -> Dataset:
    """Run what has to be run and put the dataset into its folder.

    Args:
        stages: stages that replace those of the table, such as one that knows a local model.
        clean: forget, afterwards, every stage that this run did not use.

    Raises:
        InvalidInput: files that are missing, unreadable or of several formats; an output that
            somebody has changed.
        Conflict: another run is at work on the same output.
    """
    cache = Cache(pipeline.output / CACHE)
    with cache.held():
        publication = Publication(pipeline.output, cache.folder)
        publication.refuse_changed()
        sources = _sources(pipeline)
        flow = _Flow(pipeline, cache, sources, stages or {}, on_event)
        for number, step in enumerate(pipeline.steps, start=1):
            flow.take(number, step)
        dataset = publication.put(flow.dataset())
        if clean:
            cache.keep_only({done.key for done in flow.done})
    return dataset


class _Flow:
    """The streams of rows, as they are after the stages so far."""

    def __init__(
        self,
        pipeline: Pipeline,
        cache: Cache,
        sources: Sequence[Corpus],
        stages: Mapping[str, Stage],
        on_event: Callable[[Event], None],
    ) -> None:
        self.done: list[Done] = []
        self._pipeline = pipeline
        self._cache = cache
        self._stages = stages
        self._say = on_event
        self._sources = sources
        self._shape = one_shape(sources)
        self._streams: Streams = {ONLY: sources}
        self._parts: dict[str, KeptPart] = {}

    def take(self, number: int, step: Step) -> None:
        """One stage, or what is known of it."""
        source = step.source or next(iter(self._streams))
        stage = self._stages.get(step.name) or stage_named(step.name)
        inputs = self._streams[source]
        settings, reads = _opened(step, stage, self._streams, self._pipeline.folder)
        key = _key(step, stage, inputs, reads)
        event = Event("start", number, len(self._pipeline.steps), step.name, source, {})
        started = time.monotonic()
        entry = self._cache.find(key)
        known = entry is not None
        if entry is None:
            self._say(event)
            entry = self._run(step, stage, inputs, settings, key)
        outputs = self._follow(step, source, entry)
        self.done.append(
            Done(
                step.name,
                stage.version,
                step.settings.model_dump(mode="json"),
                source,
                [{"file": c.filename, "sha256": c.sha256} for c in reads],
                key,
                known,
                outputs,
                entry.report,
            )
        )
        seconds = time.monotonic() - started
        what = "known" if known else "done"
        self._say(event._replace(what=what, rows=outputs, seconds=seconds))

    def _run(
        self, step: Step, stage: Stage, inputs: Sequence[Corpus], settings: BaseModel, key: str
    ) -> Entry:
        outcome = stage.run(inputs, settings)

        def report(parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
            shown = ("sha256", "rows")
            outputs = {name: {k: part[k] for k in shown} for name, part in parts.items()}
            return {**head(stage, step.settings, inputs), "outputs": outputs, **outcome.report}

        return self._cache.make(key, outcome, report=report)

    def _follow(self, step: Step, source: str, entry: Entry) -> dict[str, int]:
        """The streams after a stage, in order; rows of those that it made."""
        made = {source if name == ONLY else name: part for name, part in entry.parts.items()}
        if not made:
            return {}
        streams: Streams = {}
        parts: dict[str, KeptPart] = {}
        for name, inputs in self._streams.items():
            if name != source:
                streams[name] = inputs
                parts[name] = self._parts[name]
                continue
            for new, part in made.items():
                streams[new] = [self._traced(f"{step.name}/{new}.jsonl", part)]
                parts[new] = part
        self._streams, self._parts = streams, parts
        return {name: part.n_rows for name, part in made.items()}

    def _traced(self, filename: str, part: KeptPart) -> Traced:
        return Traced(
            part.rows,
            part.origins,
            part.files,
            origins_sha256=part.origins_sha256,
            filename=filename,
            format=self._shape.format,
            container=Container.JSONL,
            columns=self._shape.columns,
            sha256=part.sha256,
            n_rows=part.n_rows,
        )

    def dataset(self) -> Dataset:
        first = next(done for done in self.done if done.source == ONLY)
        rows = {corpus["file"]: corpus["rows"] for corpus in first.report["inputs"]}
        inputs = [
            {"file": c.filename, "sha256": c.sha256, "rows": rows[c.filename]}
            for c in self._sources
        ]
        return Dataset(
            self._pipeline.name,
            inputs,
            self._shape.format,
            self._shape.columns,
            self.done,
            self._parts,
            self._pipeline.output,
        )


def _sources(pipeline: Pipeline) -> list[Corpus]:
    """Every file that the pipeline begins with."""
    found: list[Corpus] = []
    for given in pipeline.inputs:
        opened = corpora(
            [given.path],
            format=given.format,
            columns=Columns.parse(given.columns) if given.columns else None,
            folder=pipeline.folder,
        )
        if given.filename and len(opened) == 1:
            opened[0].filename = given.filename
        found += opened
    names = [corpus.filename for corpus in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidInput(f"inputs: {', '.join(twice)} is there twice")
    return found


class _Ready(NamedTuple):
    settings: BaseModel
    reads: tuple[Corpus, ...]


def _opened(step: Step, stage: Stage, streams: Streams, folder: Path) -> _Ready:
    """The settings with the files that they name found, and these files."""
    update: dict[str, Any] = {}
    reads: list[Corpus] = []
    for field in stage.reads:
        value = getattr(step.settings, field)
        if value is None:
            continue
        opened = [
            Opened(
                place,
                streams[place[1:]] if place.startswith(STREAM) else corpora([place], folder=folder),
            )
            for place in ([value] if isinstance(value, str) else value)
        ]
        update[field] = opened[0] if isinstance(value, str) else tuple(opened)
        reads += [corpus for place in opened for corpus in place.corpora]
    return _Ready(step.settings.model_copy(update=update), tuple(reads))


def _key(step: Step, stage: Stage, inputs: Sequence[Corpus], reads: Sequence[Corpus]) -> str:
    """What the outcome of a stage depends on."""
    content = {
        "stage": step.name,
        "stage_version": stage.version,
        "modiste_version": __version__,
        "settings": step.settings.model_dump(mode="json"),
        "inputs": [_identity(corpus) for corpus in inputs],
        "reads": [_identity(corpus) for corpus in reads],
    }
    digest = hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return f"{step.name}-{digest[:24]}"


def _identity(corpus: Corpus) -> dict[str, Any]:
    return {
        "file": corpus.filename,
        "sha256": corpus.sha256,
        "format": corpus.format,
        "columns": corpus.columns,
        "origins": corpus.origins_sha256 if isinstance(corpus, Traced) else None,
    }
