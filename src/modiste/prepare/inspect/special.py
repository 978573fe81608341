"""Special tokens inside text: what remains of a chat template when data was exported as a string.

Text never becomes a control token here, so such a row trains; but the model learns to write
`<|im_end|>` letter by letter, and a user sees it. Known are the markers of the common templates;
a renderer's own can be given.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from modiste.prepare.inspect.remark import Inspector, Passage, Remark

KNOWN = (
    r"<\|(?:im_start|im_end|im_sep|endoftext|endofprompt|end_of_text|begin_of_text|start_header_id"
    r"|end_header_id|eot_id|eom_id|python_tag|system|user|assistant|end|observation|tool|call"
    r"|start|channel|message|return|fim_prefix|fim_middle|fim_suffix|pad|startoftext|prompter"
    r"|endofturn|eot|header_start|header_end|START_OF_TURN_TOKEN|END_OF_TURN_TOKEN"
    r"|USER_TOKEN|CHATBOT_TOKEN|SYSTEM_TOKEN)\|>",
    r"<｜(?:begin▁of▁sentence|end▁of▁sentence|User|Assistant|tool▁[a-z▁]+)｜>",
    r"\[/?(?:INST|AVAILABLE_TOOLS|TOOL_RESULTS|TOOL_CONTENT|SYSTEM_PROMPT|MODEL_SETTINGS)\]",
    r"\[(?:TOOL_CALLS|ARGS|CALL_ID|PREFIX|SUFFIX|MIDDLE|IMG_BREAK|IMG_END|BEGIN_AUDIO)\]",
    r"<</?SYS>>",
    r"<(?:start_of_turn|end_of_turn|BOS_TOKEN|EOS_TOKEN|pad|unk)>",
    # `<s>` is also HTML for struck text; the end marker is what exports leave behind.
    r"</s>\Z|</s><s>|<s>\[INST\]|<s>(?!.*</s>)",
)  # fmt: skip

HINT = "take it out: the chat format is added by the renderer, text holds none of it"


def heads(special_tokens: Iterable[str]) -> set[str]:
    """The letters that special tokens begin with, the known ones among them."""
    return {token[0] for token in special_tokens if token} | {"<", "["}


def inspector(special_tokens: Iterable[str] = ()) -> Inspector:
    """Args:
    special_tokens: further ones, those of the renderer that will be used.
    """
    own = [re.escape(token) for token in sorted(set(special_tokens), key=len, reverse=True)]
    pattern = re.compile("|".join([*own, *KNOWN]))
    firsts = tuple(heads(special_tokens))

    def inspect(passages: Sequence[Passage]) -> Iterator[Remark]:
        for path, text, _, _ in passages:
            if not any(head in text for head in firsts):
                continue
            if found := pattern.search(text):
                said = f"{path} holds the special token {found[0]} as text"
                yield Remark(path, "special_token_in_text", said, found[0], HINT)

    return inspect
