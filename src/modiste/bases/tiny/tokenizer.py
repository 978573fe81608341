"""The tiny base's tokenizer: byte-level BPE of 4,096 with the control tokens of Mistral's formats.

Any Unicode text survives encode → decode unchanged: the alphabet holds all 256 bytes and nothing is
normalised. Digits are always single tokens, so that a number can be copied digit by digit.
"""

from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

VOCABULARY = 4_096
CONTEXT = 2_048

UNK, BOS, EOS, PAD = "<unk>", "<s>", "</s>", "<pad>"
# The position in this list is the token's id; the first ten are those of Mistral's v3 tokenizer.
CONTROL_TOKENS = (
    UNK,
    BOS,
    EOS,
    "[INST]",
    "[/INST]",
    "[TOOL_CALLS]",
    "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]",
    "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]",
    "[SYSTEM_PROMPT]",
    "[/SYSTEM_PROMPT]",
    PAD,
    "[control_13]",
    "[control_14]",
    "[control_15]",
)

# GPT-2's split with two changes: a digit stands alone, and a space before a digit too.
_SPLIT = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def train_tokenizer(texts: Iterable[str]) -> Tokenizer:
    tokenizer = Tokenizer(BPE(unk_token=None, byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[AddedToken(token, special=True) for token in CONTROL_TOKENS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    for index, token in enumerate(CONTROL_TOKENS):
        if tokenizer.token_to_id(token) != index:
            raise AssertionError(f"{token} has id {tokenizer.token_to_id(token)}, expected {index}")
    return tokenizer


def tokenizer_config() -> dict[str, object]:
    """What transformers needs beside tokenizer.json; the template lies in its own file."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "unk_token": UNK,
        "pad_token": PAD,
        "additional_special_tokens": [t for t in CONTROL_TOKENS if t not in (UNK, BOS, EOS, PAD)],
        "model_max_length": CONTEXT,
        "padding_side": "right",
        "clean_up_tokenization_spaces": False,
        "add_bos_token": False,
        "add_eos_token": False,
    }


def load_tokenizer(folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(folder / "tokenizer.json"))
