"""Texts with their middle at the end: which, where cut, and what of them is trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from modiste.errors import InvalidInput
from modiste.prepare import render
from modiste.prepare.fim import Fim, text_samples
from modiste.prepare.render import Renderer
from modiste.prepare.render_mistral import MistralRenderer
from modiste.prepare.rendered import Rendered
from modiste.types import Example, SampleType

from .conftest import TINY, WHEEL

FILES = ["mistral_instruct_tokenizer_240323.model.v3", "tekken_240911.json"]


@pytest.fixture(scope="module", params=FILES)
def renderer(request: pytest.FixtureRequest) -> Renderer:
    return MistralRenderer(WHEEL / request.param)


def row(text: str) -> Example:
    return Example(line=1, sample_type=SampleType.PRETRAIN, text=text)


def samples(text: str, renderer: Renderer, ratio: float, **more: int) -> list[Rendered]:
    fim = Fim(ratio, more.pop("seed", 0))
    return text_samples(row(text), renderer, fim, max_length=more.get("max_length"))


def is_turned(sample: Rendered, renderer: Renderer) -> bool:
    assert renderer.fim is not None
    return bool(renderer.fim.marks & set(sample.ids))


def parts(sample: Rendered, renderer: Renderer) -> tuple[str, str]:
    """What stands behind the gap, and what leads up to it with the gap filled."""
    names = [renderer.token_name(token) for token in sample.ids]
    assert names[:2] == ["<s>", "[SUFFIX]"]
    at = names.index("[PREFIX]")
    assert sample.ids[-1] == renderer.eos_id
    return renderer.decode(sample.ids[2:at]), renderer.decode(sample.ids[at + 1 : -1])


def test_a_turned_text_says_the_same_in_another_order(renderer: Renderer) -> None:
    for number in range(40):
        text = f"The {number}th line of a poem\nthat nobody wrote, {'and more ' * (number % 5)}"
        (sample,) = samples(text, renderer, 1.0)
        behind, before = parts(sample, renderer)
        # SentencePiece drops one space where a decoded text begins.
        assert (before + behind).replace(" ", "") == text.replace(" ", "")
        assert text.endswith(behind)


def test_all_but_the_first_token_and_the_marks_are_trained(renderer: Renderer) -> None:
    (sample,) = samples("one two three four five six seven", renderer, 1.0)
    assert renderer.fim is not None
    untrained = [token for token, on in zip(*sample, strict=True) if not on]
    assert sorted(untrained) == sorted([renderer.bos_id or 0, *renderer.fim.marks])


def test_the_share_is_the_ratio_and_the_rest_stays_as_it_was(renderer: Renderer) -> None:
    texts = [f"text number {number} of four hundred" for number in range(400)]
    turned = [samples(text, renderer, 0.5)[0] for text in texts]
    share = sum(is_turned(sample, renderer) for sample in turned) / 400
    # Standard deviation 0.025: outside these bounds with odds of 6e-5.
    assert 0.4 < share < 0.6
    for text, sample in zip(texts, turned, strict=True):
        if not is_turned(sample, renderer):
            assert [sample] == renderer.training_samples(row(text))


def test_a_ratio_of_nought_or_one_knows_no_exception(renderer: Renderer) -> None:
    texts = [f"text number {number}" for number in range(50)]
    assert not any(is_turned(samples(text, renderer, 0.0)[0], renderer) for text in texts)
    assert all(is_turned(samples(text, renderer, 1.0)[0], renderer) for text in texts)


def test_the_cuts_depend_on_seed_and_text_alone(renderer: Renderer) -> None:
    text = "a text of some length, long enough to be cut in many places"
    assert samples(text, renderer, 1.0) == samples(text, renderer, 1.0)
    others = {tuple(samples(text, renderer, 1.0, seed=seed)[0].ids) for seed in range(20)}
    assert len(others) > 15


def test_long_texts_are_cut_first_and_nothing_is_lost(renderer: Renderer) -> None:
    text = " ".join(f"word{number}" for number in range(600))
    found = samples(text, renderer, 1.0, max_length=128)
    assert len(found) > 10
    assert all(sample.n_tokens <= 128 for sample in found)
    assert sum(is_turned(sample, renderer) for sample in found) >= len(found) - 1
    said = ""
    for sample in found:
        if is_turned(sample, renderer):
            behind, before = parts(sample, renderer)
            said += before + behind
        else:
            said += renderer.decode(sample.ids)
    assert said.replace(" ", "") == text.replace(" ", "")


def test_letters_of_several_tokens_are_never_torn(renderer: Renderer) -> None:
    text = "日本語の文章です。" * 40 + "🜚🜛🜜" * 30
    for sample in samples(text, renderer, 1.0, max_length=64):
        if is_turned(sample, renderer):
            assert "\ufffd" not in "".join(parts(sample, renderer))


@pytest.mark.parametrize("text", ["", "a", "ab"])
def test_texts_of_no_length_stay_as_they_are(renderer: Renderer, text: str) -> None:
    assert samples(text, renderer, 1.0) == renderer.training_samples(row(text))


def test_a_base_without_the_marks_is_refused_with_what_to_do() -> None:
    with pytest.raises(InvalidInput, match=r"fim_ratio is 0\.5, but .* set it to 0") as raised:
        samples("text", render.load(TINY), 0.5)
    assert raised.value.error_code == "fim_unknown"


def test_lone_surrogates_do_not_stop_the_drawing(renderer: Renderer, tmp_path: Path) -> None:
    """JSON can spell them; what the tokenizer makes of them is its own business."""
    from modiste.prepare.fim import _drawn

    assert _drawn("\ud800", Fim(1.0, 0))
