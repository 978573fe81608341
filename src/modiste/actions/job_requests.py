"""What a job may be asked for: every problem of a request is found before any is said.

Bounds are those of the API. What later versions will bring (repositories) is refused by name. Keys
of integrations leave them here, before anything is written, and are sealed.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from pydantic import SecretStr

from modiste.actions import continued, curation, datasets, files
from modiste.errors import InvalidInput, NotYetSupported
from modiste.nn import servable
from modiste.prepare import targets
from modiste.store.database import Tx
from modiste.tune.asked import undecidable
from modiste.tune.spec import carries_password
from modiste.types import (
    Actor,
    ClassifierTarget,
    File,
    Hyperparameters,
    JobType,
    Model,
    Purpose,
    Scope,
    TrainingFile,
)

SUFFIX = re.compile(r"[A-Za-z0-9._-]{1,64}")
PARTS = (curation.MAIN, "validation")
MAX_METADATA = 16
TRACKERS = ("wandb", "mlflow", "tensorboard")
MAX_FILES = 100


class Wanted(TypedDict, total=False):
    """The options of `jobs.create` and `jobs.estimate`, as keyword arguments."""

    model: str
    training_files: Sequence[TrainingFile]
    validation_files: Sequence[str]
    dataset: str | None
    """`name@version` instead of training files; its part `validation` is evaluated on."""
    hyperparameters: Hyperparameters
    suffix: str | None
    auto_start: bool
    integrations: Sequence[Mapping[str, Any]]
    metadata: Mapping[str, str] | None
    invalid_sample_skip_fraction: float
    job_type: str
    repositories: Sequence[Mapping[str, Any]]
    classifier_targets: Sequence[ClassifierTarget]
    """Of job_type classifier; none are those of the rows."""


@dataclass(frozen=True)
class Request:
    """A request that can be carried out."""

    model: str
    base: Model
    training_files: tuple[TrainingFile, ...]
    validation_files: tuple[str, ...]
    files: Mapping[str, File]
    start_blobs: Mapping[str, str]
    """Of the adapter it goes on from, by `continued.PREFIX` names."""
    dataset: str | None
    job_type: JobType
    classifier_targets: tuple[ClassifierTarget, ...]
    hyperparameters: Hyperparameters
    suffix: str | None
    auto_start: bool
    integrations: tuple[dict[str, Any], ...]
    secrets: Mapping[str, str] = field(repr=False)
    """By the environment variable in which the trainer gets them."""
    metadata: dict[str, str]
    invalid_sample_skip_fraction: float

    @property
    def signature(self) -> str:
        """Equal for two requests that would train the same thing into the same name."""
        same = {
            "base": self.base.id,
            "training": sorted((self.files[f].sha256, w) for f, w in self.training_files),
            "validation": sorted(self.files[f].sha256 for f in self.validation_files),
            "hyperparameters": asdict(self.hyperparameters),
            "suffix": self.suffix,
            "targets": [asdict(target) for target in self.classifier_targets],
            "skip": self.invalid_sample_skip_fraction,
        }
        return hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()

    @property
    def labels(self) -> set[tuple[str, str]]:
        """What `jobs.list_` filters by beside columns."""
        found = {(f"metadata.{key}", value) for key, value in self.metadata.items()}
        for integration in self.integrations:
            for name in ("project", "name"):
                if integration.get(name):
                    found.add((f"{integration['type']}_{name}", integration[name]))
        return found


class _Wrong(NamedTuple):
    param: str
    text: str
    code: str | None = None


def checked(tx: Tx, actor: Actor, wanted: Wanted) -> Request:
    """Raises InvalidInput with everything that is wrong, or NotYetSupported for what is to come."""
    _refuse_later_parts(wanted)
    wrong: list[_Wrong] = []
    model = wanted.get("model") or ""
    hyperparameters = wanted.get("hyperparameters") or Hyperparameters()
    base, start = None, None
    try:
        base, start = continued.resolved(tx, actor, model, hyperparameters.continue_from)
    except InvalidInput as error:
        wrong.append(_Wrong("model", error.message, error.error_code))
    hyperparameters = continued.with_start(hyperparameters, start)
    if start is not None and (against := continued.contradiction(hyperparameters, start)):
        wrong.append(_Wrong("hyperparameters", against, "continue_from"))
    wrong += _hyperparameters(hyperparameters, base)
    job_type = JobType(wanted.get("job_type") or JobType.COMPLETION)
    wrong += _classifier(job_type, wanted, hyperparameters, base)
    if job_type is JobType.CLASSIFIER:
        hyperparameters = replace(hyperparameters, objective="classify")
    training = tuple(TrainingFile(*f) for f in wanted.get("training_files") or ())
    validation = tuple(wanted.get("validation_files") or ())
    dataset = _dataset(tx, actor, wanted, wrong)
    if dataset is not None:
        training = dataset.training
        validation = validation or dataset.validation
    found: dict[str, File] = {}
    wrong += _files(tx, actor, training, validation, found)
    if not validation:
        told = undecidable(hyperparameters, give="give validation_files")
        wrong += [_Wrong(f"hyperparameters.{name}", text) for name, text in told.items()]
    wrong += _texts(wanted)
    integrations = tuple(
        _integration(i, item, wrong) for i, item in enumerate(wanted.get("integrations") or ())
    )
    secrets = _secrets(actor, wanted.get("integrations") or (), wrong)
    if wrong or base is None:
        raise InvalidInput(
            " ".join(w.text for w in wrong), param=wrong[0].param, code=wrong[0].code
        )
    return Request(
        model=model,
        base=base,
        training_files=training,
        validation_files=validation,
        files=found,
        start_blobs={} if start is None else start.blobs,
        dataset=None if dataset is None else dataset.label,
        job_type=job_type,
        classifier_targets=tuple(wanted.get("classifier_targets") or ()),
        hyperparameters=hyperparameters,
        suffix=wanted.get("suffix") or None,
        auto_start=wanted.get("auto_start", False),
        integrations=integrations,
        secrets=secrets,
        metadata=dict(wanted.get("metadata") or {}),
        invalid_sample_skip_fraction=wanted.get("invalid_sample_skip_fraction", 0.0),
    )


def _refuse_later_parts(wanted: Wanted) -> None:
    job_type = wanted.get("job_type") or "completion"
    if job_type not in list(JobType):
        raise InvalidInput(
            f"job_type is {job_type!r}, expected completion or classifier.", param="job_type"
        )
    if wanted.get("repositories"):
        raise NotYetSupported(
            "repositories are not there yet; upload the text as a JSONL file of "
            '{"text": ...} rows and name it in training_files.',
            param="repositories",
        )


def _classifier(
    job_type: JobType, wanted: Wanted, asked: Hyperparameters, base: Model | None
) -> list[_Wrong]:
    """What contradicts the type of the job."""
    given = tuple(wanted.get("classifier_targets") or ())
    if job_type is not JobType.CLASSIFIER:
        wrong = []
        if given:
            text = "classifier_targets only mean something with job_type classifier."
            wrong.append(_Wrong("classifier_targets", text))
        if asked.objective == "classify":
            text = "objective classify is that of job_type classifier; ask for that."
            wrong.append(_Wrong("hyperparameters.objective", text))
        return wrong
    wrong = [_Wrong("classifier_targets", f"{text}.") for text in targets.wrong(given)]
    if asked.objective not in (None, "classify"):
        text = f"objective is {asked.objective}, and job_type classifier has its own; leave it out."
        wrong.append(_Wrong("hyperparameters.objective", text))
    if asked.method == "full":
        text = "method full trains no classifiers; leave it out, or say lora or qlora."
        wrong.append(_Wrong("hyperparameters.method", text))
    if asked.continue_from is not None:
        text = f"A classifier begins at a base, and {asked.continue_from} is tuned already; name "
        wrong.append(_Wrong("model", f"{text}its base.", "continue_from"))
    if base is not None and (reason := _not_classifying(base)):
        text = f"{base.id} cannot be made a classifier: {reason}. Take another base."
        wrong.append(_Wrong("model", text, "model_not_available"))
    return wrong


def _not_classifying(base: Model) -> str | None:
    """Classifiers are answered by the built-in engine alone."""
    if base.upstream is not None:
        return "a vLLM server answers for it, which knows no heads"
    return servable.why_not(Path(base.path))


def _hyperparameters(h: Hyperparameters, base: Model | None) -> list[_Wrong]:
    context = base.max_context_length if base else math.inf
    bounds: list[tuple[str, float | None, float, float]] = [
        ("training_steps", h.training_steps, 1, 10_000_000),
        ("epochs", h.epochs, 1e-9, 100_000),
        ("learning_rate", h.learning_rate, 1e-8, 1),
        ("weight_decay", h.weight_decay, 0, 1),
        ("warmup_fraction", h.warmup_fraction, 0, 1),
        ("fim_ratio", h.fim_ratio, 0, 1),
        ("seq_len", h.seq_len, 100, context),
        ("batch_size", h.batch_size, 1, 100_000),
        ("seed", h.seed, 0, 2**63 - 1),
        ("lora_rank", h.lora_rank, 1, 1024),
        ("lora_alpha", h.lora_alpha, 1e-6, 1e6),
        ("max_grad_norm", h.max_grad_norm, 1e-6, 1e6),
        ("checkpoint_steps", h.checkpoint_steps, 1, 10_000_000),
        ("eval_steps", h.eval_steps, 1, 10_000_000),
        ("lora_dropout", h.lora_dropout, 0, 0.999),
        ("dpo_beta", h.dpo_beta, 1e-6, 1e3),
        ("dpo_label_smoothing", h.dpo_label_smoothing, 0, 0.499),
        ("dpo_sft_weight", h.dpo_sft_weight, 0, 1e6),
        ("early_stopping_patience", h.early_stopping_patience, 1, 10_000_000),
        ("early_stopping_min_delta", h.early_stopping_min_delta, 0, 1e6),
    ]
    wrong = []
    for name, value, low, high in bounds:
        if value is not None and not low <= value <= high:
            limit = f"expected {low:g} to {high:g}"
            if name == "seq_len" and value > high:
                limit = f"{base.id if base else 'the base'} reads at most {high:g} tokens"
            wrong.append(_Wrong(f"hyperparameters.{name}", f"{name} is {value:g}: {limit}."))
    return wrong


def _files(
    tx: Tx,
    actor: Actor,
    training: Sequence[TrainingFile],
    validation: Sequence[str],
    found: dict[str, File],
) -> list[_Wrong]:
    """Problems of the named files; those that are right go into `found`."""
    wrong = []
    if not training:
        text = "At least one training file or repository is required."
        wrong.append(_Wrong("training_files", text, "training_files_missing"))
    if len(training) + len(validation) > MAX_FILES:
        wrong.append(_Wrong("training_files", f"A job takes at most {MAX_FILES} files."))
        return wrong
    names = [("training_files", f.file_id) for f in training]
    names += [("validation_files", file_id) for file_id in validation]
    for param, file_id in names:
        file = files.named(tx, actor, file_id)
        if file is None:
            text = f"{param} names {file_id!r}, and there is no such file."
            wrong.append(_Wrong(param, text, "file_not_found"))
        elif file.purpose is not Purpose.FINE_TUNE:
            text = (
                f"{param} names {file.filename} ({file_id}), whose purpose is "
                f"{file.purpose.value!r}; upload it with purpose 'fine-tune'."
            )
            wrong.append(_Wrong(param, text, "file_purpose"))
        else:
            found[file_id] = file
    for param, ids in (
        ("training_files", [f.file_id for f in training]),
        ("validation_files", list(validation)),
    ):
        for twice in sorted({i for i in ids if ids.count(i) > 1}):
            text = f"{param} names {twice!r} twice; give it once, with a larger weight."
            wrong.append(_Wrong(param, text))
    for file_id, weight in training:
        if not (weight > 0 and math.isfinite(weight)):
            text = f"The weight of {file_id!r} is {weight:g}; expected more than 0."
            wrong.append(_Wrong("training_files", text))
    return wrong


class _Dataset(NamedTuple):
    label: str
    training: tuple[TrainingFile, ...]
    validation: tuple[str, ...]


def _dataset(tx: Tx, actor: Actor, wanted: Wanted, wrong: list[_Wrong]) -> _Dataset | None:
    """The files behind `dataset`. Parts other than the two are not for training: test sets."""
    named = wanted.get("dataset")
    if not named:
        return None
    if wanted.get("training_files"):
        wrong.append(_Wrong("dataset", "dataset and training_files: give one of them."))
        return None
    try:
        version = datasets.ready(tx, actor, named)
    except InvalidInput as error:
        wrong.append(_Wrong("dataset", error.message, error.error_code))
        return None
    parts = {part: [f.file_id for f in version.files if f.part == part] for part in PARTS}
    if not parts[curation.MAIN]:
        has = ", ".join(sorted({file.part for file in version.files}))
        text = f"{version.label} has no part {curation.MAIN!r}, only {has}."
        wrong.append(_Wrong("dataset", text))
    training = tuple(TrainingFile(file_id) for file_id in parts[curation.MAIN])
    return _Dataset(version.label, training, tuple(parts["validation"]))


def _texts(wanted: Wanted) -> list[_Wrong]:
    wrong = []
    suffix = wanted.get("suffix")
    if suffix and not SUFFIX.fullmatch(suffix):
        text = f"suffix is {suffix!r}: 1 to 64 letters, digits and . _ - are possible, no colon."
        wrong.append(_Wrong("suffix", text))
    fraction = wanted.get("invalid_sample_skip_fraction", 0.0)
    if not 0 <= fraction <= 0.5:
        text = f"invalid_sample_skip_percentage is {fraction:g}: expected a fraction, 0 to 0.5."
        wrong.append(_Wrong("invalid_sample_skip_percentage", text))
    wrong += [_Wrong("metadata", text) for text in wrong_metadata(wanted.get("metadata") or {})]
    return wrong


def wrong_metadata(metadata: Mapping[str, Any]) -> list[str]:
    """What is wrong with pairs that a caller attaches."""
    wrong = []
    if len(metadata) > MAX_METADATA:
        wrong.append(f"metadata has {len(metadata)} pairs; at most {MAX_METADATA} fit.")
    for key, value in metadata.items():
        if not isinstance(value, str) or not 1 <= len(key) <= 64 or len(value) > 512:
            wrong.append(
                f"metadata[{key!r:.70}]: keys have 1 to 64 characters, values are texts up to 512."
            )
    return wrong


def _integration(index: int, given: Mapping[str, Any], wrong: list[_Wrong]) -> dict[str, Any]:
    """What is kept of one integration. Its key is not."""
    kind, project = given.get("type", "wandb"), given.get("project")
    if kind not in TRACKERS:
        text = f"integrations[{index}].type is {kind!r}, expected {', '.join(TRACKERS)}."
        wrong.append(_Wrong("integrations", text))
    kept = {name: given.get(name) for name in ("project", "name", "run_name", "url")}
    for name, value in kept.items():
        if value is not None and not (isinstance(value, str) and 1 <= len(value) <= 500):
            text = f"integrations[{index}].{name} is a text of 1 to 500 characters."
            wrong.append(_Wrong("integrations", text))
    if not project and kind == "wandb":
        wrong.append(_Wrong("integrations", f"integrations[{index}].project is missing."))
    found = {"type": str(kind), **{k: v for k, v in kept.items() if v is not None}}
    return found | ({"offline": True} if given.get("offline") else {})


KEYS: Mapping[str, str] = {"wandb": "WANDB_API_KEY", "mlflow": "MLFLOW_TRACKING_TOKEN"}
INSTEAD_OF: Mapping[str, tuple[str, ...]] = {
    "MLFLOW_TRACKING_TOKEN": ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
}
"""What of the server's own environment a job's key stands in for; MLflow would prefer it."""


def _secrets(
    actor: Actor, integrations: Sequence[Mapping[str, Any]], wrong: list[_Wrong]
) -> dict[str, str]:
    """Keys of integrations, one of each kind. Only admins may have the server write elsewhere than
    to a web address, or send its own keys to a place that a job names."""
    found: dict[str, str] = {}
    for index, given in enumerate(integrations):
        kind, url, key = given.get("type", "wandb"), given.get("url"), given.get("api_key")
        if url is not None and (text := _unfit(str(url), kind, key, admin=actor.may(Scope.ADMIN))):
            wrong.append(_Wrong("integrations", f"integrations[{index}].url {text}"))
        if key and kind not in KEYS:
            text = f"integrations[{index}].api_key: {kind} takes none; leave it out."
            wrong.append(_Wrong("integrations", text))
        if not key or kind not in KEYS:
            continue
        key = key.get_secret_value() if isinstance(key, SecretStr) else key
        if not isinstance(key, str) or len(key) > 500 or not key.isprintable():
            text = f"integrations[{index}].api_key is no text of 1 to 500 printable characters."
            wrong.append(_Wrong("integrations", text))
        elif found.setdefault(KEYS[kind], key) != key:
            text = f"integrations[{index}].api_key: a job has one key of {kind}, not two."
            wrong.append(_Wrong("integrations", text))
    return found


def _unfit(url: str, kind: str, key: object, *, admin: bool) -> str | None:
    if carries_password(url):
        return "holds a name or a password, which would be shown; give them as api_key."
    if admin:
        return None
    if not url.startswith(("https://", "http://")):
        return f"is {url!r:.100}: a web address is expected."
    if kind in KEYS and not key:
        return f"is {url!r:.100}: give its api_key too, the server's own goes nowhere else."
    return None
