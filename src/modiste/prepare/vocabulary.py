"""A `tokenizer.json` whose control tokens no text can spell.

`tokenizers` finds control tokens by their text, so a user who writes `[INST]` would get one. Here
every control token is renamed, at load, to its name between two copies of a random number of 128
bits; ids stay. A template's own control tokens are then put in by `Vocabulary.control`, and
anything else is text. Renaming keeps one call per text, so whatever tokenizers does around control
tokens (stripping spaces, prefixes of the first word) happens exactly as in transformers.

Added tokens that are not marked `special` (such as Qwen's `<think>`) are ordinary vocabulary: they
show up in decoded text and may be written by anyone.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from modiste.errors import InvalidInput
from modiste.prepare.chat import remembered
from modiste.prepare.detokenize import byte_level_alphabet, sentencepiece_bytes


class Vocabulary:
    def __init__(self, path: Path) -> None:
        """
        Raises:
            InvalidInput: the file is no tokenizer.json, or of a kind that cannot be spelt in bytes.
        """
        try:
            definition = json.loads(path.read_text(encoding="utf-8"))
            added = definition["added_tokens"]
            self._specials: dict[str, int] = {t["content"]: t["id"] for t in added if t["special"]}
            self._names = {token_id: name for name, token_id in self._specials.items()}
            self._key = _number()
            self._hide = _number()
            self._tokenizer = Tokenizer.from_str(json.dumps(self._renamed(definition)))
        except Exception as error:  # tokenizers raises bare Exceptions
            raise InvalidInput(
                f"{path} cannot be read as a tokenizer: {error}. Copy it again from the model's "
                "repository",
                code="tokenizer_unreadable",
            ) from error
        for name, token_id in self._specials.items():
            if self._tokenizer.token_to_id(self._new_name(name)) != token_id:
                raise InvalidInput(
                    f"{path}: control token {name} is not where the file says (id {token_id})",
                    code="tokenizer_unreadable",
                )
        names = sorted(map(re.escape, self._specials), key=len, reverse=True)
        self._any_special = re.compile("|".join(names) or r"(?!)")
        self._heads = tuple({name[:at] for name in self._specials for at in range(1, len(name))})
        self._tails = tuple({name[at:] for name in self._specials for at in range(1, len(name))})
        self._controls = (
            re.compile(f"{self._key}({'|'.join(names)}){self._key}")
            if names and _parts_stand_alone(definition)
            else None
        )
        """Finds control tokens where the texts between them may be encoded one by one."""
        self._remembered = remembered(self._encode)
        plain = {t["id"]: t["content"] for t in added if not t["special"]}
        self.spelling = self._spell(plain, path)
        self.strip_first_space = _strips_first_space(definition.get("decoder") or {})

    def id_of(self, name: str) -> int | None:
        """The id of a control token, or of any other token by its exact spelling."""
        found: int | None = self._specials.get(name, self._tokenizer.token_to_id(name))
        return found

    def name_of(self, token_id: int) -> str | None:
        """What a control token is called; None for text."""
        return self._names.get(token_id)

    def encode(self, text: str) -> list[int]:
        """Text, and the control tokens that `control` put into it."""
        if self._controls is None:
            return self._encode(text)
        ids: list[int] = []
        for at, part in enumerate(self._controls.split(text)):
            if at % 2:
                ids.append(self._specials[part])
            elif part:
                ids += self._remembered(part)
        return ids

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def hide(self, value: Any) -> Any:
        """Mark what could read as a control token in foreign strings, however deep they lie.

        Marks end up in a rendered template and are removed again by `control`.
        """
        if isinstance(value, str):
            return self._hidden(value)
        if isinstance(value, Mapping):
            return {self.hide(key): self.hide(child) for key, child in value.items()}
        if isinstance(value, list | tuple):
            return [self.hide(child) for child in value]
        return value

    def control(self, rendered: str) -> str:
        """A rendered template, ready to encode: its control tokens renamed, the marks removed."""
        marked = self._any_special.sub(lambda found: self._new_name(found.group()), rendered)
        return marked.replace(self._hide, "")

    def control_token(self, token_id: int) -> str:
        """The text that encodes to this control token."""
        name = next(name for name, known in self._specials.items() if known == token_id)
        return self._new_name(name)

    def _hidden(self, text: str) -> str:
        text = self._any_special.sub(lambda m: m.group()[0] + self._hide + m.group()[1:], text)
        if text.startswith(self._tails):
            text = self._hide + text
        if text.endswith(self._heads):
            text += self._hide
        return text

    def _new_name(self, name: str) -> str:
        return f"{self._key}{name}{self._key}"

    def _renamed(self, definition: dict[str, Any]) -> dict[str, Any]:
        """The same tokenizer without post-processing, padding or truncation, specials renamed."""
        renamed = {**definition, "post_processor": None, "padding": None, "truncation": None}
        renamed["added_tokens"] = [
            {**token, "content": self._named(token["content"])}
            for token in definition["added_tokens"]
        ]
        model = dict(definition["model"])
        if isinstance(model["vocab"], dict):
            model["vocab"] = {self._named(piece): at for piece, at in model["vocab"].items()}
        else:
            model["vocab"] = [[self._named(piece), score] for piece, score in model["vocab"]]
        if model.get("unk_token"):
            model["unk_token"] = self._named(model["unk_token"])
        return {**renamed, "model": model}

    def _named(self, piece: str) -> str:
        return self._new_name(piece) if piece in self._specials else piece

    def _spell(self, plain: Mapping[int, str], path: Path) -> list[bytes]:
        decoder = _decoder_parts(json.loads(self._tokenizer.to_str()).get("decoder") or {})
        kinds = {part["type"] for part in decoder}
        silent = set(self._specials.values())
        alphabet = byte_level_alphabet()
        if "ByteLevel" not in kinds and not kinds & {"ByteFallback", "Metaspace"}:
            raise InvalidInput(
                f"{path}: decoder {sorted(kinds)} is not byte-level, SentencePiece or Metaspace; "
                "this kind of tokenizer is not supported",
                code="tokenizer_unsupported",
            )
        spelling = []
        for token_id in range(self._tokenizer.get_vocab_size(with_added_tokens=True)):
            piece = self._tokenizer.id_to_token(token_id)
            if piece is None or token_id in silent:
                spelling.append(b"")
            elif token_id in plain:
                spelling.append(plain[token_id].encode())
            elif "ByteLevel" in kinds:
                spelling.append(_byte_level_bytes(piece, alphabet))
            else:
                spelling.append(sentencepiece_bytes(piece))
        return spelling


def _parts_stand_alone(definition: Mapping[str, Any]) -> bool:
    """Whether a text between control tokens has the same ids wherever it stands.

    Control tokens are cut out first, and what is left is normalised and encoded part by part. So
    it does unless added tokens look at their neighbours, or the first part is treated as such.
    """
    normalizer = definition.get("normalizer") or {"type": None}
    return (
        normalizer["type"] in (None, "NFC")
        and _looks_at_no_position(definition.get("pre_tokenizer") or {"type": None})
        and not any(
            token["lstrip"] or token["rstrip"] or token["single_word"] or token["normalized"]
            for token in definition["added_tokens"]
            if token["special"] or token["single_word"]
        )
    )


def _looks_at_no_position(step: Mapping[str, Any]) -> bool:
    if step["type"] == "Sequence":
        return all(_looks_at_no_position(child) for child in step["pretokenizers"])
    if step["type"] == "ByteLevel":
        return not step["add_prefix_space"]
    return step["type"] in ("Split", "Digits")


def _number() -> str:
    """Digits only: they survive every JSON, HTML or upper-case filter of a template."""
    return f"{secrets.randbits(128):039d}"


def _byte_level_bytes(piece: str, alphabet: Mapping[str, int]) -> bytes:
    if all(letter in alphabet for letter in piece):
        return bytes(alphabet[letter] for letter in piece)
    return piece.encode()


def _decoder_parts(decoder: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    if decoder.get("type") == "Sequence":
        return [part for child in decoder["decoders"] for part in _decoder_parts(child)]
    return [decoder] if decoder else []


def _strips_first_space(decoder: Mapping[str, Any]) -> bool:
    parts = _decoder_parts(decoder)
    return any(
        (part["type"] == "Strip" and part.get("content") == " " and part.get("start", 0) > 0)
        or (part["type"] == "Metaspace" and part.get("prepend_scheme", "always") != "never")
        for part in parts
    )
