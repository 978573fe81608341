"""A base's tokenizer as GGUF keeps it: tokens, what merges into what, stop tokens, chat template.

Four kinds are read: SentencePiece files (`tokenizer.model*`), Mistral's `tekken.json`, and
`tokenizer.json` as byte-level BPE or as BPE with byte fallback, which is SentencePiece in Hugging
Face words. llama.cpp knows the rules by which texts are split before merging by name only; a rule
without a name gets the nearest one, and the note says so.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import Any

from modiste.errors import InvalidInput


class Kind(IntEnum):
    """What a token is; the numbers are GGUF's."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True)
class Vocabulary:
    model: str
    """`llama` (SentencePiece) or `gpt2` (byte-level BPE)."""
    tokens: list[bytes]
    kinds: list[int]
    scores: list[float] | None = None
    merges: list[str] | None = None
    pre: str = "default"
    bos: int | None = None
    eos: int | None = None
    unknown: int | None = None
    padding: int | None = None
    end_of_turn: int | None = None
    add_bos: bool = True
    add_space_prefix: bool = False
    template: str | None = None
    note: str = ""

    def __len__(self) -> int:
        return len(self.tokens)


SPLITTERS = {
    "llama-bpe": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
    "qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|",
    "tekken": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}",
    "gpt-2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+",
}
"""How the regular expressions begin that llama.cpp has names for."""
SINGLE_DIGITS = "smollm"
"""llama.cpp's name for GPT-2's rule with every digit apart: the nearest to rules of our own."""


def read_vocabulary(folder: Path, *, size: int) -> Vocabulary:
    """The tokenizer in `folder`, filled up to the `size` of the embeddings.

    Raises:
        InvalidInput: none of a kind that GGUF has, or it has more tokens than the embeddings.
    """
    own = sorted(folder.glob("tokenizer.model*"))
    if own:
        found = _sentencepiece(own[-1])
    elif (folder / "tokenizer.json").is_file():
        found = _tokenizer_json(folder / "tokenizer.json")
    elif (folder / "tekken.json").is_file():
        found = _tekken(folder / "tekken.json")
    else:
        raise InvalidInput(
            f"{folder}: no tokenizer there (tokenizer.json, tokenizer.model* or tekken.json), "
            "without which a GGUF file cannot be used"
        )
    if len(found) > size:
        raise InvalidInput(
            f"{folder}: the tokenizer has {len(found)} tokens and the model {size} embeddings; "
            "`modiste models extend-vocab` gives it more"
        )
    n_missing = size - len(found)
    filled = replace(
        found,
        tokens=found.tokens + [f"[PAD{len(found) + i}]".encode() for i in range(n_missing)],
        kinds=found.kinds + [int(Kind.UNUSED)] * n_missing,
        scores=None if found.scores is None else found.scores + [-1e4] * n_missing,
    )
    return _with_settings(filled, folder)


def _sentencepiece(path: Path) -> Vocabulary:
    from sentencepiece import SentencePieceProcessor

    model = SentencePieceProcessor(model_file=str(path))
    kinds = []
    for i in range(model.vocab_size()):
        if model.IsUnknown(i):
            kinds.append(Kind.UNKNOWN)
        elif model.IsControl(i):
            kinds.append(Kind.CONTROL)
        elif model.IsUnused(i):
            kinds.append(Kind.UNUSED)
        elif model.IsByte(i):
            kinds.append(Kind.BYTE)
        else:
            kinds.append(Kind.NORMAL)
    return Vocabulary(
        model="llama",
        tokens=[model.IdToPiece(i).encode() for i in range(model.vocab_size())],
        kinds=[int(kind) for kind in kinds],
        scores=[model.GetScore(i) for i in range(model.vocab_size())],
        bos=model.bos_id(),
        eos=model.eos_id(),
        unknown=model.unk_id(),
        padding=model.pad_id() if model.pad_id() >= 0 else None,
        add_space_prefix=model.encode("a", out_type=str)[0].startswith("\u2581"),
    )


def _tokenizer_json(path: Path) -> Vocabulary:
    content = json.loads(path.read_text(encoding="utf-8"))
    model = content["model"]
    if model.get("type") != "BPE":
        raise InvalidInput(
            f"{path}: a tokenizer of type {model.get('type')!r}; GGUF files are written with BPE "
            "and SentencePiece"
        )
    added = {entry["id"]: entry for entry in content.get("added_tokens") or []}
    names = {number: text for text, number in model["vocab"].items()}
    names |= {number: entry["content"] for number, entry in added.items()}
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    tokens, kinds = [], []
    for number in range(max(names) + 1):
        text = names.get(number, f"[PAD{number}]")
        tokens.append(text.encode())
        kinds.append(int(_kind(number, text, names, added, fallback=model.get("byte_fallback"))))
    unknown = model["vocab"].get(model.get("unk_token")) if model.get("unk_token") else None
    bytes_bpe = "ByteLevel" in json.dumps([content.get("pre_tokenizer"), content.get("decoder")])
    if bytes_bpe:
        pre, note = _splitter(content.get("pre_tokenizer"))
        return Vocabulary("gpt2", tokens, kinds, merges=merges, pre=pre, unknown=unknown, note=note)
    if not model.get("byte_fallback"):
        raise InvalidInput(f"{path}: BPE without bytes, which llama.cpp cannot read")
    rank: dict[str, int] = {}
    for place, pair in enumerate(merges):
        rank.setdefault(pair.replace(" ", ""), place)
    scores = [-float(rank.get(token.decode(), len(merges))) for token in tokens]
    prefix = json.dumps([content.get("normalizer"), content.get("pre_tokenizer")])
    return Vocabulary(
        "llama",
        tokens,
        kinds,
        scores=scores,
        unknown=unknown,
        add_space_prefix='"Prepend"' in prefix
        or '"prepend_scheme": "first"' in prefix
        or '"prepend_scheme": "always"' in prefix,
    )


def _kind(
    number: int,
    text: str,
    names: Mapping[int, str],
    added: Mapping[int, Mapping[str, Any]],
    *,
    fallback: bool | None,
) -> Kind:
    if number not in names:
        return Kind.UNUSED
    if number in added:
        if text == "<unk>":
            return Kind.UNKNOWN
        return Kind.CONTROL if added[number].get("special") else Kind.USER_DEFINED
    if fallback and len(text) == 6 and text.startswith("<0x") and text.endswith(">"):
        return Kind.BYTE
    return Kind.NORMAL


def _splitter(pre_tokenizer: Any) -> tuple[str, str]:
    """llama.cpp's name for the rule, and what to say about it."""
    told = json.dumps(pre_tokenizer)
    for name, start in SPLITTERS.items():
        if json.dumps(start)[1:-1] in told:
            return name, ""
    if '"Split"' not in told and '"use_regex": false' not in told:
        return ("smollm" if '"Digits"' in told else "gpt-2"), ""
    return SINGLE_DIGITS, (
        f"llama.cpp has no name for this tokenizer's way to split texts; {SINGLE_DIGITS!r} is the "
        "nearest, and runs of several spaces may become other tokens there"
    )


def _tekken(path: Path) -> Vocabulary:
    content = json.loads(path.read_text(encoding="utf-8"))
    config = content["config"]
    n_special = config["default_num_special_tokens"]
    n_text = config["default_vocab_size"] - n_special
    special = {int(each["rank"]): each["token_str"] for each in content.get("special_tokens") or ()}
    if not special:
        first = ("<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]")
        more = ("[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CALLS]")
        special = dict(enumerate((*first, *more)))
    pieces = [base64.b64decode(each["token_bytes"]) for each in content["vocab"][:n_text]]
    letters = _letters()

    def written(piece: bytes) -> str:
        return "".join(letters[byte] for byte in piece)

    ranks = {piece: rank for rank, piece in enumerate(pieces)}
    merges = [
        " ".join(written(part) for part in _parts(piece, ranks))
        for piece in pieces
        if len(piece) > 1
    ]
    names = [special.get(i, f"<SPECIAL_{i}>") for i in range(n_special)]
    return Vocabulary(
        model="gpt2",
        tokens=[name.encode() for name in names] + [written(piece).encode() for piece in pieces],
        kinds=[int(Kind.CONTROL)] * n_special + [int(Kind.NORMAL)] * len(pieces),
        merges=merges,
        pre="tekken",
        bos=1,
        eos=2,
        unknown=0,
    )


def _parts(piece: bytes, ranks: Mapping[bytes, int]) -> tuple[bytes, bytes]:
    """The two tokens that merge into `piece` last: BPE on its bytes, ranks below its own."""
    parts = [bytes([byte]) for byte in piece]
    limit = ranks[piece]
    while len(parts) > 2:
        pairs = [ranks.get(parts[i] + parts[i + 1], limit) for i in range(len(parts) - 1)]
        best = min(range(len(pairs)), key=lambda i: pairs[i])
        if pairs[best] >= limit:
            raise InvalidInput(f"tekken.json: token {piece!r} cannot be made of others")
        parts[best : best + 2] = [parts[best] + parts[best + 1]]
    return parts[0], parts[1]


def _letters() -> dict[int, str]:
    """GPT-2's way to write bytes as letters."""
    plain = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    letters = {byte: chr(byte) for byte in plain}
    for byte in range(256):
        if byte not in letters:
            letters[byte] = chr(256 + len(letters) - len(plain))
    return letters


def _with_settings(vocabulary: Vocabulary, folder: Path) -> Vocabulary:
    """Stop tokens, beginning and template as the folder's other files say."""
    settings = _json(folder / "tokenizer_config.json")
    generation, config = _json(folder / "generation_config.json"), _json(folder / "config.json")
    ids = {token.decode(): number for number, token in enumerate(vocabulary.tokens)}

    def named(key: str, otherwise: int | None) -> int | None:
        value = settings.get(f"{key}_token")
        text = value.get("content") if isinstance(value, dict) else value
        number = config.get(f"{key}_token_id")
        return (
            ids.get(text, otherwise) if text else (otherwise if otherwise is not None else number)
        )

    stops = _numbers(generation.get("eos_token_id")) + _numbers(config.get("eos_token_id"))
    eos = named("eos", vocabulary.eos)
    if not isinstance(eos, int):
        eos = stops[0] if stops else None
    others = [stop for stop in dict.fromkeys(stops) if stop != eos]
    template = _template(folder, settings)
    add_bos = settings.get("add_bos_token")
    if add_bos is None:
        add_bos = vocabulary.model == "llama" or vocabulary.pre == "tekken" or _adds_bos(folder)
    note = vocabulary.note
    if template is None:
        note = "; ".join(part for part in (note, "the base has no chat template to put in") if part)
    return replace(
        vocabulary,
        bos=named("bos", vocabulary.bos),
        eos=eos,
        padding=named("pad", vocabulary.padding),
        end_of_turn=others[0] if others else None,
        add_bos=bool(add_bos),
        template=template,
        note=note,
    )


def _adds_bos(folder: Path) -> bool:
    content = _json(folder / "tokenizer.json")
    return "SpecialToken" in json.dumps(content.get("post_processor"))


def _template(folder: Path, settings: Mapping[str, Any]) -> str | None:
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    stated = settings.get("chat_template")
    if isinstance(stated, list):
        stated = next((each["template"] for each in stated if each.get("name") == "default"), None)
    return stated if isinstance(stated, str) else None


def _numbers(value: Any) -> list[int]:
    values: Iterable[Any] = value if isinstance(value, list) else [value]
    return [number for number in values if isinstance(number, int)]


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    value = json.loads(path.read_text(encoding="utf-8"))
    return value if isinstance(value, dict) else {}
