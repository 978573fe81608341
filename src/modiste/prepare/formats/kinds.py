"""The formats a row can have, by the names people know them by."""

from __future__ import annotations

from enum import StrEnum


class Format(StrEnum):
    CHAT = "chat"
    """`messages` as Mistral and OpenAI write them."""
    TEXT = "text"
    """Plain text to continue training on."""
    CLASSIFIER = "classifier"
    """`text` or `messages` with `labels`."""
    PREFERENCE = "preference"
    """OpenAI's `input, preferred_output, non_preferred_output`, TRL's `prompt, chosen, rejected`,
    and ShareGPT conversations with `chosen` and `rejected`."""
    SHAREGPT = "sharegpt"
    ALPACA = "alpaca"
    PROMPT_COMPLETION = "prompt-completion"
    CHAT_TABLE = "chat-table"
    """One message per row: a role, a text, and what tells where a chat begins."""
    COLUMNS = "columns"
    """Anything else, by templates over its columns."""
