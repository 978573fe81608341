"""Texts for sentence-embedding models: batched by length, a batch per step of the engine.

They wait apart from the sequences of decoders, whose streams a batch holds up for no longer than
`STEP_TOKENS` take. Every request ends in one `Embedded` or `Failed`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path

from modiste.errors import InvalidInput
from modiste.nn import encoder_files
from modiste.nn.encoder import Encoder
from modiste.serve.scheduler import Key
from modiste.serve.sequence import Embed, Embedded, Event, Failed, FailureCode
from modiste.serve.shelf import Shelf

log = logging.getLogger(__name__)
STEP_TOKENS = 2048
"""Padding included."""
MAX_WAITING = 4096
RETRY_S = 2.0


class Encoding:
    """Owned by the engine's thread."""

    def __init__(
        self,
        *,
        memory_bytes: int,
        pool: Executor,
        emit: Callable[[Key, Event], None],
        wake: Callable[[], None],
    ) -> None:
        self._emit = emit
        self._waiting: dict[Key, Embed] = {}
        self._encoders: Shelf[str, Encoder] = Shelf(
            lambda path: Encoder(Path(path)),
            size_bytes=lambda path: 2 * _weights_bytes(Path(path)),
            limit_bytes=memory_bytes,
            pool=pool,
            on_loaded=wake,
        )

    def takes(self, request: object) -> bool:
        """Whether it is a text for an encoder."""
        return isinstance(request, Embed) and encoder_files.is_encoder(Path(request.base))

    @property
    def keys(self) -> list[Key]:
        return list(self._waiting)

    def add(self, key: Key, request: Embed) -> None:
        if len(self._waiting) >= MAX_WAITING:
            text = f"{MAX_WAITING} texts wait for an embedding already"
            self._emit(key, Failed(request.id, FailureCode.BUSY, text, RETRY_S))
        else:
            self._waiting[key] = request

    def abort(self, key: Key) -> None:
        self._waiting.pop(key, None)

    def fail_all(self, message: str, *, retry_after_s: float) -> None:
        for key, request in self._waiting.items():
            failed = Failed(request.id, FailureCode.RESTARTING, message, retry_after_s)
            self._emit(key, failed)
        self._waiting.clear()

    def step(self) -> bool:
        """One batch of the first model that is loaded. False: nothing could run."""
        for base in dict.fromkeys(request.base for request in self._waiting.values()):
            mine = [key for key, request in self._waiting.items() if request.base == base]
            try:
                encoder = self._encoders.get(base)
                if encoder is None:
                    continue
                mine = self._batch(mine, encoder.info.max_tokens)
                texts = [self._waiting[key].ids for key in mine]
                vectors = encoder(texts).tolist() if texts else []
            except InvalidInput as error:
                self._fail(mine, FailureCode.BASE, error.message)
                return True
            except Exception as error:  # One model's trouble must not end the engine; all are told.
                log.exception("a batch of embeddings of %s failed", base)
                self._fail(mine, FailureCode.INTERNAL, f"the engine failed: {error}")
                return True
            for key, vector in zip(mine, vectors, strict=True):
                self._emit(key, Embedded(self._waiting.pop(key).id, tuple(vector)))
            return True
        return False

    def _batch(self, keys: list[Key], max_tokens: int) -> list[Key]:
        """The first to come, and others that fit into the step beside it, in their order."""
        too_long = [key for key in keys if len(self._waiting[key].ids) > max_tokens]
        if too_long:
            self._fail(too_long, FailureCode.TOO_LONG, f"a text has at most {max_tokens} tokens")
        batch: list[Key] = []
        longest = 0
        for key in keys:
            if key not in self._waiting:
                continue
            wider = max(longest, len(self._waiting[key].ids))
            if batch and wider * (len(batch) + 1) > STEP_TOKENS:
                break
            batch.append(key)
            longest = wider
        return batch

    def _fail(self, keys: list[Key], code: str, message: str) -> None:
        for key in keys:
            if (request := self._waiting.pop(key, None)) is not None:
                self._emit(key, Failed(request.id, code, message))


def _weights_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))
