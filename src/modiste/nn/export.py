"""A tuned model out of here: base and adapter become a folder that other tools load.

`export` writes one form whole or not at all, then reads it back the way its users will and compares
logits with base and adapter as they were trained. What could not be compared is said, never passed
over. It never touches the base or the adapter.
"""

from __future__ import annotations

import io
import json
import logging
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import torch
from transformers import PreTrainedModel

from modiste.errors import ExportFailed, InvalidInput
from modiste.nn import model_card, proof
from modiste.nn.adapter_io import CONFIG, WEIGHTS
from modiste.nn.changes import Change, head_dim, plain, read_changes, save_peft_folder
from modiste.nn.loading import load_base
from modiste.nn.merge import (
    TOKENIZERS,
    Merged,
    copy_beside,
    write_consolidated,
    write_hugging_face,
)
from modiste.nn.mistral_adapter import is_mistral_adapter, load_mistral, save_mistral
from modiste.nn.model_card import Facts
from modiste.nn.proof import Apart, Unproven, Verified
from modiste.nn.tensor_files import TensorFiles

__all__ = ["Exported", "Facts", "Form", "Verified", "export"]


class Form(StrEnum):
    PEFT = "peft"
    """Adapter as PEFT, transformers and vLLM load it."""
    MISTRAL = "mistral"
    """Adapter as mistral-finetune writes it: lora.safetensors, params.json, tokenizer."""
    MERGED = "merged"
    """Whole model in Hugging Face layout."""
    MERGED_MISTRAL = "merged-mistral"
    """Whole model in Mistral's consolidated layout."""
    GGUF = "gguf"
    """Whole model in one file for llama.cpp and what builds on it."""


@dataclass(frozen=True)
class Exported:
    form: Form
    files: tuple[Path, ...]
    verified: Verified | None
    """None when nothing was compared; `note` says why."""
    note: str


@dataclass(frozen=True)
class Source:
    """What is exported, opened."""

    base: Path
    files: TensorFiles
    adapter: Path | None
    changes: Mapping[str, Change]
    numbers: str
    """What GGUF stores matrices in."""


def export(
    form: Form | str,
    *,
    base: Path,
    adapter: Path | None,
    into: Path,
    verify: bool = True,
    prompts: Sequence[Sequence[int]] = (),
    facts: Facts | None = None,
    gguf_numbers: str = "f16",
) -> Exported:
    """Write `form` of base and adapter into the new folder `into`.

    Args:
        base: folder of the base, Hugging Face or Mistral layout.
        adapter: PEFT folder, or Mistral layout (folder with lora.safetensors and params.json);
            None when `base` itself is the tuned model (full fine-tuning).
        prompts: token ids to compare logits on; drawn at random when there are none.
        facts: what the model card says beyond the files.
        gguf_numbers: `f32`, `f16`, `bf16` or `q8_0`.

    Raises:
        InvalidInput: `into` is not empty, or base and adapter do not fit or cannot take the form.
        ExportFailed: the files written compute something else; where they lie is said.
    """
    form = _form(form)
    base, into = Path(base), Path(into)
    source = _open(form, base, adapter, gguf_numbers)
    partial = _new_folder(into)
    try:
        written, advice = FORMS[form].write(source, partial)
        proven = _prove(form, source, partial, prompts) if verify else Unproven("not asked for")
    except BaseException:  # gigabytes under a hidden name are found by nobody
        shutil.rmtree(partial, ignore_errors=True)
        raise
    if isinstance(proven, Apart):
        kept = _keep_failed(partial, into)
        raise ExportFailed(
            f"The export to {form} is wrong: {proven.reason}. The files lie in {kept}; do not use "
            "them. This is a fault of the software, not of your model: please report it."
        )
    verified = proven if isinstance(proven, Verified) else None
    note = str(proven) if isinstance(proven, Verified) else f"not verified: {proven.reason}"
    card = model_card.text(facts or _facts(source), form=str(form), proof=note)
    (partial / model_card.NAME).write_text(card, encoding="utf-8")
    if into.is_dir():
        into.rmdir()
    partial.rename(into)
    names = [path.relative_to(partial) for path in (*written, partial / model_card.NAME)]
    said = "; ".join(part for part in (note, advice) if part)
    return Exported(form, tuple(into / name for name in names), verified, said)


def _form(name: Form | str) -> Form:
    try:
        return Form(name)
    except ValueError:
        raise InvalidInput(f"form is {str(name)!r}, expected {', '.join(Form)}") from None


def _open(form: Form, base: Path, adapter: Path | None, numbers: str) -> Source:
    files = TensorFiles(base)
    if adapter is None and form in (Form.PEFT, Form.MISTRAL):
        raise InvalidInput(
            f"{base} is a whole model without an adapter; export it as merged, merged-mistral or "
            "gguf"
        )
    changes = {} if adapter is None else read_changes(Path(adapter), files.config)
    return Source(base, files, None if adapter is None else Path(adapter), changes, numbers)


def _new_folder(into: Path) -> Path:
    """Where the files are written until they are whole."""
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise InvalidInput(f"{into} is there already; give a new folder")
    partial = into.with_name(f".{into.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise InvalidInput(f"{into}: cannot be written: {error.strerror}") from None
    return partial


def _keep_failed(partial: Path, into: Path) -> Path:
    failed = into.with_name(f"{into.name}.failed")
    shutil.rmtree(failed, ignore_errors=True)
    return partial.rename(failed)


def _prove(
    form: Form, source: Source, folder: Path, prompts: Sequence[Sequence[int]]
) -> Verified | Apart | Unproven:
    if reason := proof.room_for(source.files.info):
        return Unproven(reason)
    missing = FORMS[form].cannot_read()
    if missing:
        return Unproven(missing)
    with _libraries_quiet():
        wanted = proof.reference(
            source.base, source.changes, intend=FORMS[form].intend(source), prompts=prompts
        )
        found = FORMS[form].logits(source, folder, wanted.prompts)
    return proof.compare(wanted, found, read_by=FORMS[form].read_by())


@contextmanager
def _libraries_quiet() -> Iterator[None]:
    """Without bitsandbytes' regret, when PEFT imports it, that a kernel is not installed which
    nothing here uses, and without what transformers will change some day."""
    kernels = logging.getLogger("bitsandbytes.backends.cpu.ops")
    level = kernels.level
    kernels.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        kernels.setLevel(level)


def _facts(source: Source) -> Facts:
    """What the files themselves say."""
    named = None
    if source.adapter is not None and not is_mistral_adapter(source.adapter):
        named = _named_base(source.adapter)
    return Facts(name=(source.adapter or source.base).name, base=named or source.base.name)


def _named_base(adapter: Path) -> str | None:
    config = json.loads((adapter / CONFIG).read_text(encoding="utf-8"))
    named = config.get("base_model_name_or_path")
    return Path(str(named)).name if named and Path(str(named)).is_absolute() else named


class Written(NamedTuple):
    files: Sequence[Path]
    advice: str = ""
    """What the user should know about them."""


@dataclass(frozen=True)
class _Form:
    """How a form is written, and how it is read by those who will use it."""

    write: Callable[[Source, Path], Written]
    logits: Callable[[Source, Path, list[list[int]]], proof.Logits]
    intend: Callable[[Source], proof.Intend | None]
    """The weights it should hold; None where they are those that were trained."""
    read_by: Callable[[], str]
    cannot_read: Callable[[], str | None] = lambda: None


def _write_peft(source: Source, into: Path) -> Written:
    adapter = source.adapter or Path()
    if not is_mistral_adapter(adapter):
        return Written(copy_beside(adapter, into, (CONFIG, WEIGHTS)))
    return Written(save_peft_folder(into, source.changes, base=source.base.name))


def _peft_logits(source: Source, folder: Path, prompts: list[list[int]]) -> proof.Logits:
    # PEFT's imports and transformers' renamings print what concerns nobody here.
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        from peft import PeftModel

        model = load_base(source.base, dtype=torch.float32).model
        adapted = PeftModel.from_pretrained(model, folder)
    return proof.logits_of(adapted, prompts)


def _write_mistral(source: Source, into: Path) -> Written:
    layers, config = plain(source.changes), source.files.config
    written = save_mistral(into, layers, config=config, dtype=source.files.dtype)
    copied = copy_beside(source.base, into, TOKENIZERS)
    return Written([*written, *copied], _no_tokenizer(source))


def _mistral_logits(source: Source, folder: Path, prompts: list[list[int]]) -> proof.Logits:
    model = load_base(source.base, dtype=torch.float32).model
    layers = load_mistral(folder, head_dim=head_dim(source.files.config))
    proof.apply(model, {name: Change(*layer) for name, layer in layers.items()})
    return proof.logits_of(model, prompts)


def _write_merged(source: Source, into: Path) -> Written:
    return Written(write_hugging_face(Merged(source.files, source.changes), source.base, into))


def _write_merged_mistral(source: Source, into: Path) -> Written:
    merged = Merged(source.files, source.changes)
    return Written(write_consolidated(merged, source.base, into), _no_tokenizer(source))


def _model_logits(source: Source, folder: Path, prompts: list[list[int]]) -> proof.Logits:
    return proof.logits_of(load_base(folder, dtype=torch.float32).model, prompts)


def _write_gguf(source: Source, into: Path) -> Written:
    from modiste.nn import gguf_file

    merged = Merged(source.files, source.changes)
    path = into / f"{(source.adapter or source.base).name}-{source.numbers}.gguf"
    advice = gguf_file.write(merged, source.base, path, numbers=source.numbers)
    return Written([path], advice)


def _gguf_logits(source: Source, folder: Path, prompts: list[list[int]]) -> proof.Logits:
    from modiste.nn import gguf_file

    (path,) = folder.glob("*.gguf")
    return proof.logits_of(gguf_file.load(path, like=source.files.config), prompts)


def _no_tokenizer(source: Source) -> str:
    if any(any(source.base.glob(pattern)) for pattern in TOKENIZERS[:2]):
        return ""
    return (
        "the base has no tokenizer.model or tekken.json, which mistral-inference needs beside it; "
        "tokenizer.json is there for others"
    )


def _transformers() -> str:
    return proof.reader("transformers") or "transformers"


def _rounded_adapter(source: Source) -> proof.Intend:
    """A and B in the base's dtype, as mistral-inference wants them."""

    def intend(model: PreTrainedModel, changes: Mapping[str, Change]) -> None:
        dtype = source.files.dtype
        rounded = {
            name: c._replace(A_RI=c.A_RI.to(dtype), B_OR=c.B_OR.to(dtype))
            for name, c in changes.items()
        }
        proof.apply(model, rounded)

    return intend


def _rounded_sums(source: Source) -> proof.Intend:
    """What was changed, rounded as the base stores it."""

    def intend(model: PreTrainedModel, changes: Mapping[str, Change]) -> None:
        for name, weight in proof.merge(model, changes).items():
            weight.copy_(weight.to(source.files.places[f"{name}.weight"].dtype))

    return intend


def _rounded_matrices(source: Source) -> proof.Intend:
    """Every matrix in GGUF's numbers."""
    from modiste.nn import gguf_file

    def intend(model: PreTrainedModel, changes: Mapping[str, Change]) -> None:
        proof.merge(model, changes)
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.data.copy_(gguf_file.rounded(parameter.data, source.numbers))

    return intend


FORMS: Mapping[Form, _Form] = {
    Form.PEFT: _Form(
        write=_write_peft,
        logits=_peft_logits,
        intend=lambda source: None,
        read_by=lambda: proof.reader("peft") or "PEFT",
        cannot_read=lambda: (
            None if proof.reader("peft") else "PEFT is not installed (`pip install peft`)"
        ),
    ),
    Form.MISTRAL: _Form(
        write=_write_mistral,
        logits=_mistral_logits,
        intend=_rounded_adapter,
        read_by=lambda: "Modiste's reader of this layout",
    ),
    Form.MERGED: _Form(
        write=_write_merged, logits=_model_logits, intend=_rounded_sums, read_by=_transformers
    ),
    Form.MERGED_MISTRAL: _Form(
        write=_write_merged_mistral,
        logits=_model_logits,
        intend=_rounded_sums,
        read_by=lambda: f"Modiste's reader of this layout and {_transformers()}",
    ),
    Form.GGUF: _Form(
        write=_write_gguf,
        logits=_gguf_logits,
        intend=_rounded_matrices,
        read_by=lambda: f"{proof.reader('gguf')} and {_transformers()}",
    ),
}
