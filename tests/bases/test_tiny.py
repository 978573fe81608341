"""The base that ships: its size, its layout, its chat format, and that it learned something."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

import modiste.bases.tiny
from modiste.bases.tiny.chats import Renderer, make_chat
from modiste.bases.tiny.corpus import find_data, read_corpus
from modiste.bases.tiny.export import LIMIT_BYTES, load_exported
from modiste.bases.tiny.instruct import IGNORED, encode
from modiste.bases.tiny.measure import bits_per_byte, exact_answers
from modiste.bases.tiny.model import DENSE_LIMIT, HeadLoss, Shape, TinyMistral
from modiste.bases.tiny.muon import orthogonal
from modiste.bases.tiny.pretrain import (
    Optimizer,
    Plan,
    Streams,
    load_checkpoint,
    pretrain,
    rows_of,
)
from modiste.bases.tiny.shaped import shaped_document
from modiste.bases.tiny.tasks_text import Source
from modiste.bases.tiny.tokenizer import CONTROL_TOKENS, VOCABULARY, load_tokenizer

FOLDER = Path(modiste.bases.tiny.__file__).parent
SOURCE = Source(
    sentences=["The cat doesn't like rain.", "A small boat crossed the river slowly."],
    passages=[("It was late.", "They went home.")],
)
SMALL = Shape(vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=2)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return load_tokenizer(FOLDER)


@pytest.fixture(scope="module")
def base() -> TinyMistral:
    return load_exported(FOLDER)


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(FOLDER / "chat_template.jinja")


class TestFolder:
    def test_weights_stay_below_the_limit(self) -> None:
        assert (FOLDER / "model.safetensors").stat().st_size <= LIMIT_BYTES

    def test_transformers_loads_it_and_computes_the_same_logits(self, base: TinyMistral) -> None:
        from transformers import AutoModelForCausalLM

        theirs = AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32).eval()
        assert type(theirs).__name__ == "MistralForCausalLM"
        assert theirs.config.sliding_window is None
        generator = torch.Generator().manual_seed(0)
        # One length on each side of the switch between the two attention paths.
        for length in (70, DENSE_LIMIT + 30):
            ids = torch.randint(0, VOCABULARY, (2, length), generator=generator)
            with torch.no_grad():
                ours, reference = base.logits(ids), theirs(ids).logits
            # fp32 sums in another order; the largest difference seen was 2e-5 at logits up to 20.
            torch.testing.assert_close(ours, reference, atol=2e-4, rtol=1e-4)

    def test_transformers_reads_the_same_tokens_and_the_same_chat(
        self, tokenizer: Tokenizer, renderer: Renderer
    ) -> None:
        from transformers import AutoTokenizer

        theirs = AutoTokenizer.from_pretrained(FOLDER)
        text = 'Order "AB-17": 3 × café.\n\tDone'
        assert theirs(text).input_ids == tokenizer.encode(text, add_special_tokens=False).ids
        assert (theirs.bos_token_id, theirs.eos_token_id, theirs.pad_token_id) == (1, 2, 12)
        for chat in _chats(40):
            shown = theirs.apply_chat_template(
                chat.messages, tools=chat.tools or None, tokenize=False, add_generation_prompt=True
            )
            assert shown == renderer.text(chat.messages, chat.tools)

    def test_the_card_says_what_it_is_not_and_where_it_comes_from(self) -> None:
        card = (FOLDER / "MODEL_CARD.md").read_text(encoding="utf-8")
        for needed in (
            "test-size",
            "cannot",
            "CC0",
            "public domain",
            "bits per byte",
            "Apache-2.0",
        ):
            assert needed in card


class TestTokenizer:
    def test_control_tokens_are_single_ids_in_mistral_order(self, tokenizer: Tokenizer) -> None:
        for index, token in enumerate(CONTROL_TOKENS):
            assert tokenizer.token_to_id(token) == index
            assert tokenizer.encode(token, add_special_tokens=False).ids == [index]
        assert tokenizer.get_vocab_size() == VOCABULARY

    @given(st.text())
    @example("naïve — 東京 🎉\r\n\t\x00 \u200d e\u0301")
    @example("  12  345   ")
    @settings(max_examples=200, deadline=None)
    def test_any_text_comes_back_unchanged(self, text: str) -> None:
        tokenizer = load_tokenizer(FOLDER)
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        if not any(token in text for token in CONTROL_TOKENS):
            assert tokenizer.decode(ids, skip_special_tokens=False) == text

    def test_digits_stand_alone(self, tokenizer: Tokenizer) -> None:
        tokens = tokenizer.encode("in 1984, 12.50", add_special_tokens=False).tokens
        assert [t for t in tokens if any(c.isdigit() for c in t)] == list("19841250")


class TestTemplate:
    CONVERSATION: tuple[dict[str, Any], ...] = (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather in “Oslo” & <Rome>?"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"id": "000000001", "function": {"name": "w", "arguments": {"city": "Oslo"}}},
                {"id": "000000002", "function": {"name": "w", "arguments": '{"city": "Rome"}'}},
            ],
        },
        {"role": "tool", "tool_call_id": "000000001", "content": "3"},
        {"role": "tool", "tool_call_id": "000000002", "content": "9"},
        {"role": "assistant", "content": "3 and 9."},
        {"role": "user", "content": [{"type": "text", "text": "Thanks"}]},
        {"role": "assistant", "content": "You are welcome."},
    )
    TOOLS = ({"type": "function", "function": {"name": "w", "parameters": {"type": "object"}}},)

    def test_the_whole_format_at_a_glance(self, renderer: Renderer) -> None:
        # Order and control tokens as in Mistral's v7 format, without spaces between parts.
        assert renderer.text(self.CONVERSATION, self.TOOLS) == (
            "<s>[SYSTEM_PROMPT]Be brief.[/SYSTEM_PROMPT]"
            '[AVAILABLE_TOOLS][{"type": "function", "function": {"name": "w", "parameters": '
            '{"type": "object"}}}][/AVAILABLE_TOOLS]'
            "[INST]Weather in “Oslo” & <Rome>?[/INST]"
            '[TOOL_CALLS][{"name": "w", "arguments": {"city": "Oslo"}, "id": "000000001"}, '
            '{"name": "w", "arguments": {"city": "Rome"}, "id": "000000002"}]</s>'
            '[TOOL_RESULTS]{"content": "3", "call_id": "000000001"}[/TOOL_RESULTS]'
            '[TOOL_RESULTS]{"content": "9", "call_id": "000000002"}[/TOOL_RESULTS]'
            "3 and 9.</s>[INST]Thanks[/INST]You are welcome.</s>"
        )

    def test_every_prefix_of_a_conversation_renders_to_a_prefix(self, renderer: Renderer) -> None:
        whole = renderer.text(self.CONVERSATION, self.TOOLS)
        for n in range(len(self.CONVERSATION)):
            assert whole.startswith(renderer.text(self.CONVERSATION[:n], self.TOOLS))

    def test_generated_chats_train_on_the_assistant_and_its_end_only(
        self, renderer: Renderer, tokenizer: Tokenizer
    ) -> None:
        for chat in _chats(200):
            targets = encode(chat, renderer, tokenizer).targets
            trained = tokenizer.decode([t for t in targets if t != IGNORED], False)
            answers = [m for m in chat.messages if m["role"] == "assistant"]
            assert trained.count("</s>") == len(answers)
            assert "[INST]" not in trained
            for answer in answers:
                assert answer["content"] in trained


class TestTraining:
    def test_head_loss_equals_cross_entropy_with_its_gradients(self) -> None:
        generator = torch.Generator().manual_seed(1)
        x = torch.randn(700, 16, generator=generator, requires_grad=True)
        weight = torch.randn(50, 16, generator=generator, requires_grad=True)
        targets = torch.randint(0, 50, (700,), generator=generator)
        expected = torch.nn.functional.cross_entropy(x @ weight.T, targets)
        expected_grads = torch.autograd.grad(expected, (x, weight))
        loss = HeadLoss.apply(x, weight, targets)
        torch.testing.assert_close(loss, expected, atol=1e-5, rtol=1e-5)
        for ours, theirs in zip(
            torch.autograd.grad(loss, (x, weight)), expected_grads, strict=True
        ):
            torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-4)

    @pytest.mark.parametrize("shape", [(3, 16, 16), (2, 40, 16), (2, 16, 40)])
    def test_muon_updates_are_nearly_orthogonal(self, shape: tuple[int, ...]) -> None:
        batch = torch.randn(shape, generator=torch.Generator().manual_seed(2))
        # Five steps with these coefficients aim at the band around 1 and not at 1 itself.
        values = torch.linalg.svdvals(orthogonal(batch).float())
        assert values.min() > 0.3
        assert values.max() < 1.4

    def test_a_resumed_run_ends_where_an_unbroken_one_does(
        self, tmp_path: Path, tokenizer: Tokenizer
    ) -> None:
        import numpy as np

        rng = random.Random(0)
        text = "".join(f"<s>{shaped_document(rng)}</s>" for _ in range(60))
        stream = np.array(tokenizer.encode(text, add_special_tokens=False).ids, dtype=np.uint16)
        streams = Streams(stream, stream, stream)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # sums over threads may differ in their last bits
        try:
            ends = []
            for folder, stops in ((tmp_path / "whole", (4,)), (tmp_path / "broken", (2, 4))):
                folder.mkdir()
                for stop in stops:
                    model = TinyMistral(SMALL, seed=0)
                    plan = Plan(steps=4, decay_steps=1, checkpoint_every=2)
                    shortened = Plan(steps=stop, decay_steps=1, checkpoint_every=2)
                    seen: list[float] = []
                    pretrain(
                        model,
                        streams,
                        plan if stop == 4 else _stopping(shortened, plan),
                        folder,
                        lambda progress, seen=seen: seen.append(progress.loss),
                    )
                ends.append(model.state_dict())
        finally:
            torch.set_num_threads(threads)
        for name, tensor in ends[0].items():
            torch.testing.assert_close(ends[1][name], tensor, atol=0, rtol=0)

    def test_a_fresh_folder_starts_at_step_zero(self, tmp_path: Path) -> None:
        model = TinyMistral(SMALL, seed=0)
        assert load_checkpoint(tmp_path, model, Optimizer(model)) == (0, 0.0)

    def test_a_round_reads_every_row_once(self) -> None:
        import numpy as np

        stream = np.arange(1_000, dtype=np.uint16)
        per_round = (len(stream) - 1) // 10 - 1
        firsts = [int(rows_of(stream, 1, 10, seed=0, step=s)[0][0]) for s in range(per_round)]
        assert len(set(firsts)) == per_round


class TestLearned:
    def test_held_out_books_cost_fewer_bits_than_the_card_allows(
        self, base: TinyMistral, tokenizer: Tokenizer
    ) -> None:
        data = find_data()
        if data is None:
            pytest.skip("no j_corpus_* found through MODISTE_DATA or at ../shared/data")
        pieces = [text[:4_000] for text in read_corpus(data, 0).valid[::6]]
        assert bits_per_byte(base, tokenizer, pieces) < BITS_PER_BYTE_BOUND

    def test_some_unseen_chats_are_answered_exactly(
        self, base: TinyMistral, tokenizer: Tokenizer, renderer: Renderer
    ) -> None:
        rng = random.Random(77)
        chats = [encode(make_chat(rng, SOURCE), renderer, tokenizer) for _ in range(150)]
        scores = exact_answers(base, chats).values()
        share = sum(score.n_exact for score in scores) / sum(score.n for score in scores)
        assert share > EXACT_BOUND

    def test_it_greets_and_stops(self, base: TinyMistral, tokenizer: Tokenizer) -> None:
        ids = tokenizer.encode("<s>[INST]Hello![/INST]", add_special_tokens=False).ids
        answer: list[int] = []
        while len(answer) < 20 and 2 not in answer:
            with torch.no_grad():
                logits = base.logits(torch.tensor([ids + answer]))
            answer.append(int(logits[0, -1].argmax()))
        assert tokenizer.decode(answer) == "Hello! How can I help you?"


# The shipped weights reach 1.696 on these pieces (eight chapter starts; 1.611 on whole books).
BITS_PER_BYTE_BOUND = 1.72
# They answer 0.207 of these fixed 150 chats exactly.
EXACT_BOUND = 0.15


def _chats(n: int) -> list[Any]:
    rng = random.Random(5)
    return [make_chat(rng, SOURCE) for _ in range(n)]


def _stopping(short: Plan, like: Plan) -> Plan:
    """`like`, cut off early: the same learning rates and phases, fewer steps."""

    class Cut(Plan):
        def lr_factor(self, step: int) -> float:
            return like.lr_factor(step)

        def phase(self, step: int) -> Any:
            return like.phase(step)

    return Cut(**json.loads(json.dumps(short.__dict__)))
