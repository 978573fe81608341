"""Sentence-embedding models as folders: BERT, RoBERTa, MPNet and kin in Hugging Face layout, with
sentence-transformers' modules beside them. Read from their JSON, without torch.

A folder without `modules.json` is pooled by the mean and brought to length 1. What the modules ask
for beyond pooling and length (dense layers, prompts of their own) is refused by name: vectors that
are computed in part are vectors of another model.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from modiste.errors import InvalidInput

ENCODERS = frozenset(
    {
        "albert", "bert", "camembert", "deberta-v2", "distilbert", "electra", "mpnet",
        "nomic_bert", "roberta", "xlm-roberta",
    }
)  # fmt: skip
COUNT_FROM_PADDING = frozenset({"camembert", "mpnet", "roberta", "xlm-roberta"})
"""Their positions begin behind the padding token's, so two of them are never used."""
MODES = {
    "cls": "pooling_mode_cls_token",
    "mean": "pooling_mode_mean_tokens",
    "max": "pooling_mode_max_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}


class EncoderInfo(NamedTuple):
    hidden_size: int
    max_tokens: int
    """Of one text, the tokens around it included."""
    pooling: str
    """`cls`, `mean`, `max` or `lasttoken`."""
    normalises: bool


def is_encoder(folder: Path) -> bool:
    """Whether the folder's model makes embeddings and no text."""
    config = folder / "config.json"
    changed = config.stat().st_mtime_ns if config.is_file() else 0
    return bool(changed) and _is_encoder(config, changed)


def read(folder: Path) -> EncoderInfo:
    """
    Raises:
        InvalidInput: files are missing, or the folder asks for more than is computed here.
    """
    missing = [name for name in ("config.json", "tokenizer.json") if not (folder / name).is_file()]
    if not any(folder.glob("*.safetensors")):
        missing.append("*.safetensors")
    if missing:
        raise InvalidInput(f"{folder}: {' and '.join(missing)} missing; copy the whole folder")
    config = _json(folder / "config.json")
    hidden = config.get("hidden_size") or config.get("dim")
    if not isinstance(hidden, int):
        raise InvalidInput(f"{folder}/config.json: hidden_size is missing")
    pooling, normalises = _modules(folder)
    return EncoderInfo(hidden, _max_tokens(folder, config), pooling, normalises)


def _modules(folder: Path) -> tuple[str, bool]:
    if not (folder / "modules.json").is_file():
        return "mean", True
    pooling, normalises = "", False
    for module in _json(folder / "modules.json"):
        kind = str(module.get("type", "")).rpartition(".")[2]
        if kind == "Pooling":
            pooling = _pooling(folder / str(module.get("path", "")) / "config.json")
        elif kind == "Normalize":
            normalises = True
        elif kind != "Transformer":
            raise InvalidInput(
                f"{folder}/modules.json: {kind} is not computed here, only Transformer, Pooling "
                "and Normalize are; use a model without it"
            )
    if not pooling:
        raise InvalidInput(f"{folder}/modules.json: no Pooling module says how texts are pooled")
    return pooling, normalises


def _pooling(path: Path) -> str:
    config = _json(path)
    named = config.get("pooling_mode")
    chosen = [named] if isinstance(named, str) else []
    chosen += [
        key.removeprefix("pooling_mode_")
        for key, value in config.items()
        if key.startswith("pooling_mode_") and value is True
    ]
    known = {flag.removeprefix("pooling_mode_"): mode for mode, flag in MODES.items()}
    modes = {known.get(mode, mode) for mode in chosen}
    if len(modes) != 1 or not modes <= set(MODES):
        said = ", ".join(sorted(modes)) or "none"
        raise InvalidInput(f"{path}: pooling is {said}; one of {', '.join(MODES)} is computed here")
    return modes.pop()


def _max_tokens(folder: Path, config: dict[str, Any]) -> int:
    sentence = folder / "sentence_bert_config.json"
    said = _json(sentence).get("max_seq_length") if sentence.is_file() else None
    positions = config.get("max_position_embeddings") or 512
    if config.get("model_type") in COUNT_FROM_PADDING:
        positions -= 2
    return min(said, positions) if isinstance(said, int) else int(positions)


@lru_cache(maxsize=256)
def _is_encoder(config: Path, changed: int) -> bool:
    try:
        return _json(config).get("model_type") in ENCODERS
    except InvalidInput:
        return False


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path}: cannot be read: {error}") from None
