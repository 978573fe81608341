"""The engine on small random models: right tokens, fair ends, and no effect of the company."""

import json
import random
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import modiste
from modiste.nn import native
from modiste.nn.class_heads import save_heads
from modiste.nn.embedding import TextEmbedder
from modiste.prepare import render
from modiste.serve.engine import Engine
from modiste.serve.protocol import RESTART_S
from modiste.serve.scheduler import Key
from modiste.serve.sequence import (
    Embed,
    Embedded,
    Failed,
    Finished,
    FinishReason,
    Generate,
    Grammar,
    GrammarKind,
    Pooling,
    PromptLogprobs,
    Sampling,
    Score,
    Scored,
    Tokens,
)
from modiste.settings import ServeLinear
from modiste.tune import class_answers, phrases
from modiste.tune.machine import Machine
from modiste.tune.mixture import Samples
from modiste.tune.spec import parse
from modiste.tune.tuned import load

GREEDY = Sampling(temperature=0.0, max_tokens=20)
TINY = Path(modiste.__file__).parent / "bases" / "tiny"


class Bench:
    """An engine driven by hand; `told[name]` is everything one request was told."""

    def __init__(self, **settings):
        torch.set_num_threads(1)
        self.told = defaultdict(list)
        defaults = {"max_sequences": 32, "max_waiting": 64, "memory_bytes": 2**30}
        self.engine = Engine(
            **(defaults | settings), emit=lambda key, event: self.told[event.id].append(event)
        )
        self.n = 0
        self.prompt_rows = 0
        measured = self.engine.scheduler.measured

        def counted(plan, seconds):
            self.prompt_rows += sum(piece.end - piece.start for piece in plan.pieces)
            measured(plan, seconds)

        self.engine.scheduler.measured = counted

    def add(self, request):
        self.n += 1
        key = Key(1, self.n)
        self.engine.add(key, request)
        return key

    def finish(self, *, within_s=60):
        deadline = time.monotonic() + within_s
        while not self.engine.idle:
            assert time.monotonic() < deadline, self.engine.status()
            if not self.engine.step():
                time.sleep(0.002)

    def until(self, condition, *, within_s=60):
        deadline = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline, self.engine.status()
            if not self.engine.step():
                time.sleep(0.002)

    def tokens(self, name):
        return [t for event in self.told[name] if isinstance(event, Tokens) for t in event.ids]

    def end(self, name):
        *before, last = self.told[name]
        assert all(isinstance(event, Tokens | PromptLogprobs) for event in before)
        return last

    def run(self, *requests):
        for request in requests:
            self.add(request)
        self.finish()
        return [self.tokens(request.id) for request in requests]


@pytest.fixture
def bench():
    made = []

    def make(**settings):
        made.append(Bench(**settings))
        return made[-1]

    yield make
    for one in made:
        one.engine.close()


@pytest.fixture(scope="module")
def base(random_base):
    return random_base("mistral")


@pytest.fixture(scope="module")
def adapters(base, random_adapter):
    """Different ranks, scalings and targets."""
    return [
        random_adapter(base, seed=1, r=4),
        random_adapter(base, seed=2, r=16, use_rslora=True),
        random_adapter(base, seed=3, r=8, target_modules=["q_proj", "v_proj"]),
        random_adapter(base, seed=4, r=3, rank_pattern={"down_proj": 7},
                       alpha_pattern={"down_proj": 5}),
    ]  # fmt: skip


def prompt(length, seed=0):
    return tuple(random.Random(seed).choices(range(199), k=length))


def peft_model(base, adapter):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model.generation_config.eos_token_id = None
    return (PeftModel.from_pretrained(model, adapter) if adapter else model).eval()


@pytest.fixture(scope="module")
def models(base, adapters):
    return [peft_model(base, adapter) for adapter in [None, *adapters]]


def reference_greedy(model, ids, n):
    with torch.inference_mode():
        ids_ = torch.tensor([ids])
        out = model.generate(
            input_ids=ids_, attention_mask=torch.ones_like(ids_), max_new_tokens=n, do_sample=False
        )
    return out[0, len(ids) :].tolist()


def reference_logprobs(model, ids):
    with torch.inference_mode():
        logprobs = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    return [float(logprobs[i, token]) for i, token in enumerate(ids[1:])]


def test_one_batch_of_base_and_adapters_gives_the_tokens_of_transformers_and_peft(
    bench, base, adapters, models
):
    requests, expected = [], []
    for n, (model, adapter) in enumerate(zip(models, [None, *adapters], strict=True)):
        for length in (3, 64, 90):  # Less than a granule, exactly one, more than one.
            ids = prompt(length, seed=10 * n + length)
            folder = None if adapter is None else str(adapter)
            requests.append(
                Generate(f"{n}-{length}", str(base), ids, adapter=folder, sampling=GREEDY)
            )
            expected.append(reference_greedy(model, ids, 20))
    assert bench().run(*requests) == expected


def test_scores_agree_with_transformers_and_peft(bench, base, adapters, models):
    one = bench()
    cases = []
    for n, (model, adapter) in enumerate(zip(models, [None, *adapters], strict=True)):
        ids = prompt(130, seed=n)
        folder = None if adapter is None else str(adapter)
        one.add(Score(str(n), str(base), ids, adapter=folder))
        cases.append((str(n), reference_logprobs(model, ids)))
    one.add(Generate("beside", str(base), prompt(5), sampling=GREEDY))
    one.finish()
    for name, expected in cases:
        scored = one.end(name)
        assert isinstance(scored, Scored)
        # The gate's bound for float32; rounding alone stays near 1e-5 here.
        assert scored.logprobs == pytest.approx(expected, abs=1e-4)


def test_a_score_of_one_token_has_nothing_to_score(bench, base):
    one = bench()
    one.add(Score("a", str(base), (5,)))
    one.finish()
    assert one.end("a") == Scored("a", ())


def test_seeded_requests_give_the_same_tokens_alone_and_together(bench, base, adapters):
    """24 requests over four adapters and the bare base. Random weights make flat distributions, in
    which one changed bit of a logit in a few thousand draws would show."""
    rng = random.Random(7)
    folders = [None, *map(str, adapters)]
    requests = [
        Generate(
            f"{n}",
            str(base),
            prompt(rng.choice([1, 7, 63, 64, 65, 150, 200]), seed=n),
            adapter=folders[n % 5],
            sampling=Sampling(
                temperature=rng.choice([0.7, 1.0, 1.5]),
                top_p=rng.choice([0.9, 0.95, 1.0]),
                max_tokens=rng.randrange(10, 60),
                seed=rng.randrange(2**64),
                presence_penalty=rng.choice([0.0, 0.5]),
            ),
        )
        for n in range(24)
    ]
    alone = [bench().run(request)[0] for request in requests]

    assert bench().run(*requests) == alone
    staggered = bench(max_sequences=7)
    for request in reversed(requests):
        staggered.add(request)
        for _ in range(rng.randrange(4)):
            staggered.engine.step()
    staggered.finish()
    assert [staggered.tokens(request.id) for request in requests] == alone


@pytest.fixture(params=["compiled", "torch"])
def kernels(request, monkeypatch):
    if request.param == "torch":
        monkeypatch.setenv(native.VARIABLE, "off")
    native.library.cache_clear()
    if request.param == "compiled" and native.library() is None:
        pytest.skip("built without a compiler")
    yield request.param
    native.library.cache_clear()


@pytest.fixture(scope="module")
def mixture(random_base):
    return random_base("mixtral", num_local_experts=5, num_hidden_layers=2)


@pytest.fixture(scope="module")
def mixture_adapters(mixture, random_adapter):
    """On attention alone, on experts too, and on one parameter of theirs."""
    both = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
    attention = [f"{one}_proj" for one in "qkvo"]
    return [
        random_adapter(mixture, seed=1, r=4, target_modules=attention),
        random_adapter(mixture, seed=2, r=4, target_modules=attention, target_parameters=both),
        random_adapter(mixture, seed=3, r=3, target_modules=["q_proj"],
                       target_parameters=both[1:]),
    ]  # fmt: skip


def test_a_mixture_with_adapters_on_its_experts_gives_the_tokens_of_transformers_and_peft(
    bench, mixture, mixture_adapters
):
    requests, expected, scores = [], [], {}
    for n, adapter in enumerate([None, *mixture_adapters]):
        ids, folder = prompt(70, seed=n), None if adapter is None else str(adapter)
        model = peft_model(mixture, adapter)
        requests.append(Generate(f"{n}", str(mixture), ids, adapter=folder, sampling=GREEDY))
        expected.append(reference_greedy(model, ids, 20))
        requests.append(Score(f"s{n}", str(mixture), ids, adapter=folder))
        scores[f"s{n}"] = reference_logprobs(model, ids)
    one = bench()
    assert one.run(*requests)[::2] == expected
    for name, logprobs in scores.items():
        # The gate's bound for float32; rounding alone stays near 1e-5 here.
        assert one.end(name).logprobs == pytest.approx(logprobs, abs=1e-4)


@pytest.mark.parametrize("linear", [ServeLinear.FP32, ServeLinear.BF16, ServeLinear.INT8])
def test_answers_of_a_mixture_have_the_same_bytes_alone_and_together(
    bench, mixture, mixture_adapters, linear, kernels
):
    """How many rows come to an expert is up to the others; what it computes for one is not."""
    rng, folders = random.Random(5), [None, *map(str, mixture_adapters)]
    requests = [
        Generate(
            f"{n}",
            str(mixture),
            prompt(rng.choice([1, 30, 64, 100]), seed=n),
            adapter=folders[n % 4],
            sampling=Sampling(
                temperature=1.0,
                seed=rng.randrange(2**64),
                max_tokens=rng.randrange(8, 24),
                logprobs=2,
            ),
        )
        for n in range(8)
    ]
    alone = bench(linear=linear)
    for request in requests:
        alone.run(request)
    (status,) = alone.engine.status()["bases"].values()
    assert status["reproducible"]
    assert (status["kernels"] == "torch") == (kernels == "torch")
    together = bench(linear=linear)
    for request in rng.sample(requests, len(requests)):
        together.add(request)
    together.finish()
    for request in requests:
        assert together.told[request.id][:-1] == alone.told[request.id][:-1]


@pytest.fixture(scope="module")
def many_adapters(base, random_adapter, adapters):
    return [*adapters, *(random_adapter(base, seed=20 + r, r=r) for r in (1, 2, 5, 32))]


@pytest.mark.slow
@pytest.mark.parametrize("linear", [ServeLinear.FP32, ServeLinear.BF16, ServeLinear.INT8])
def test_a_hundred_seeded_requests_are_the_same_bytes_in_any_company(
    bench, base, many_adapters, linear
):
    """Tokens and log-probabilities, over eight adapters of ranks 1 to 32 and the base; alone, all
    at once, in other orders and numbers, with and without prefix blocks, and making room."""
    rng, folders = random.Random(11), [None, *map(str, many_adapters)]
    beginnings = [prompt(n, seed=n) for n in (70, 130, 192)]
    requests = []
    for n in range(100):
        own = prompt(rng.choice([1, 20, 63, 64, 65, 100]), seed=1000 + n)
        folder = folders[n % 9]
        requests.append(
            Generate(
                str(n),
                str(base),
                (*beginnings[n % 3], *own) if n % 2 else own,
                adapter=folder,
                adapter_version=folder and "v1",
                sampling=Sampling(
                    temperature=rng.choice([0.0, 0.7, 1.0, 1.5]),
                    top_p=rng.choice([0.9, 1.0]),
                    top_k=rng.choice([None, 40]),
                    min_p=rng.choice([0.0, 0.02]),
                    max_tokens=rng.randrange(5, 30),
                    seed=rng.randrange(2**64),
                    presence_penalty=rng.choice([0.0, 0.5]),
                    logprobs=rng.choice([0, 3]),
                ),
                prompt_logprobs=1 if n % 10 == 0 else None,
                owner=str(n % 4),
            )
        )

    def told(one):
        return {request.id: one.told[request.id][:-1] for request in requests}

    def tokens_of(one, request):
        return [event for event in one.told[request.id] if isinstance(event, Tokens)]

    alone = bench(linear=linear, prefix_bytes=0)
    for request in requests:
        alone.run(request)
    expected = told(alone)
    (status,) = alone.engine.status()["bases"].values()
    assert status["linear"] == linear
    for request in requests:  # With the first token, and with no other.
        told_under = [event.fingerprint for event in tokens_of(alone, request)]
        assert told_under == [status["fingerprint"], *[""] * (len(told_under) - 1)]

    for settings in ({}, {"prefix_bytes": 0}, {"max_sequences": 9}, {"max_sequences": 64}):
        crowd = bench(**({"max_waiting": 100, "linear": linear} | settings))
        order = rng.sample(requests, 100)
        for request in order:
            crowd.add(request)
            for _ in range(rng.choice([0, 0, 0, 1, 3])):
                crowd.engine.step()
        crowd.finish()
        assert told(crowd) == expected
        if settings.get("prefix_bytes") != 0:
            assert sum(crowd.end(request.id).n_cached for request in requests) > 1000


def test_scores_have_the_same_bits_alone_and_together(bench, base, adapters):
    folders = [None, *map(str, adapters)]
    requests = [
        Score(str(n), str(base), prompt(60 + 31 * n, seed=n), adapter=folders[n % 5])
        for n in range(8)
    ]

    def scores(*some):
        one = bench()
        one.run(*some, Generate("beside", str(base), prompt(9), sampling=GREEDY))
        return [one.end(request.id).logprobs for request in some]

    assert scores(*requests) == [scores(request)[0] for request in requests]


def test_logprobs_agree_with_transformers_and_come_with_the_most_likely(bench, base, models):
    one = bench()
    ids = prompt(90, seed=3)
    ask = Sampling(temperature=1.0, seed=4, max_tokens=5, logprobs=3, logit_bias={7: 3.0})
    (tokens,) = one.run(Generate("a", str(base), ids, sampling=ask, prompt_logprobs=2))
    with torch.inference_mode():
        whole = torch.tensor([[*ids, *tokens]])
        logprobs = models[0](input_ids=whole).logits[0].log_softmax(-1)
    told, *rest = one.told["a"]
    assert isinstance(told, PromptLogprobs)
    assert len(told.logprobs) == 89
    drawn = [logprob for event in rest[:-1] for logprob in event.logprobs]
    assert len(drawn) == 5
    for at, (token, logprob) in enumerate(
        zip([*ids[1:], *tokens], [*told.logprobs, *drawn], strict=True)
    ):
        n_top = 2 if at < 89 else 3
        values, best = logprobs[at].topk(n_top)
        # Float32 rounding, as for scores.
        assert logprob.logprob == pytest.approx(float(logprobs[at, token]), abs=1e-4)
        assert [value for _, value in logprob.top] == pytest.approx(values.tolist(), abs=1e-4)
        assert [token for token, _ in logprob.top] == best.tolist()


def test_prompt_logprobs_can_be_all_that_is_asked(bench, base):
    one = bench()
    ask = Sampling(temperature=0.0, max_tokens=0)
    one.run(
        Generate("a", str(base), prompt(70), sampling=ask, prompt_logprobs=0),
        Generate("one token", str(base), (5,), sampling=ask, prompt_logprobs=0),
        Score("score", str(base), prompt(70)),
    )
    told, end = one.told["a"]
    assert end == Finished("a", FinishReason.LENGTH, 0)
    assert tuple(logprob.logprob for logprob in told.logprobs) == one.end("score").logprobs
    assert one.told["one token"][0] == PromptLogprobs("one token", ())


def test_answers_follow_their_grammars_and_others_do_not_notice(bench):
    renderer = render.load(TINY)
    schema = {"type": "object", "properties": {"a": {"enum": ["x", "yy"]}}, "required": ["a"],
              "additionalProperties": False}  # fmt: skip
    ids = tuple(renderer.encode("Say something about the weather:"))
    ask = Sampling(temperature=1.0, seed=7, max_tokens=40, logprobs=1)
    free = Generate("free", str(TINY), ids, sampling=ask, stop_ids=renderer.stop_ids)
    held = Generate("held", str(TINY), ids, sampling=ask, stop_ids=renderer.stop_ids,
                    grammar=Grammar(GrammarKind.JSON_SCHEMA, json.dumps(schema)))  # fmt: skip
    alone = bench()
    alone.run(free)
    one = bench()
    _, tokens = one.run(free, held)
    assert json.loads(renderer.decode(tokens)) in [{"a": "x"}, {"a": "yy"}]
    assert one.end("held") == Finished("held", FinishReason.STOP, len(tokens))
    assert one.told["free"] == alone.told["free"]


def test_a_grammar_that_means_nothing_is_refused_by_what_is_wrong_with_it(bench):
    one = bench()
    bad = Grammar(GrammarKind.LARK, "start: nowhere")
    one.run(
        Generate("bad", str(TINY), (1, 2), sampling=GREEDY, grammar=bad),
        Generate("good", str(TINY), (1, 2), sampling=GREEDY),
    )
    assert one.end("bad").code == "invalid_request"
    assert "nowhere" in one.end("bad").message
    assert len(one.tokens("good")) == 20


def test_a_base_without_a_tokenizer_serves_everything_but_grammars(bench, base):
    one = bench()
    yes = Grammar(GrammarKind.REGEX, "yes")
    one.run(
        Generate("held", str(base), prompt(4), sampling=GREEDY, grammar=yes),
        Generate("free", str(base), prompt(4), sampling=GREEDY),
    )
    assert "holds no tokenizer" in one.end("held").message
    assert len(one.tokens("free")) == 20


def shared_prefix_requests(base, adapters):
    """Prompts that begin alike for the base and two adapters, some of them the same to the end."""
    start = prompt(150, seed=1)
    folders = [None, str(adapters[0]), str(adapters[1])]
    return [
        Generate(
            f"{name}-{n}",
            str(base),
            ids,
            adapter=folder,
            adapter_version=folder and "v1",
            sampling=Sampling(temperature=1.3, seed=5, max_tokens=25, logprobs=2),
        )
        for n, folder in enumerate(folders)
        for name, ids in {
            "same": start,
            "longer": start + prompt(60, seed=2),
            "other": start[:70] + prompt(90, seed=3),
            "edge": start[:128],
        }.items()
    ]


def test_prompts_met_before_are_copied_and_change_no_bit(bench, base, adapters):
    requests = shared_prefix_requests(base, adapters)
    without, twice = bench(prefix_bytes=0), bench()
    without.run(*requests)
    assert {without.end(request.id).n_cached for request in requests} == {0}

    twice.run(*requests)
    twice.prompt_rows = 0
    for request in requests:
        before = twice.told.pop(request.id)
        twice.run(request)
        expected = without.told[request.id]
        assert [event for event in before if isinstance(event, Tokens)] == expected[:-1]
        assert twice.told[request.id][:-1] == expected[:-1]
        # Whole pieces of 64 tokens, and never the last one.
        assert twice.end(request.id).n_cached == (len(request.ids) - 1) // 64 * 64
    n_last = sum((len(request.ids) - 1) % 64 + 1 for request in requests)
    assert twice.prompt_rows == n_last


def test_choices_of_one_prompt_compute_it_once(bench, base):
    ids = prompt(200)
    requests = [
        Generate(str(n), str(base), ids, sampling=Sampling(seed=n, max_tokens=8)) for n in range(5)
    ]
    without, one = bench(prefix_bytes=0), bench()
    assert one.run(*requests) == without.run(*requests)
    assert one.prompt_rows == 192 + 5 * 8
    assert without.prompt_rows == 5 * 200
    assert sorted(one.end(str(n)).n_cached for n in range(5)) == [0, 192, 192, 192, 192]


def test_an_adapter_of_a_new_version_or_without_one_copies_nothing(bench, base, adapters):
    one, ids, folder = bench(), prompt(200), str(adapters[0])
    for name, version in (("first", "v1"), ("again", "v1"), ("new", "v2"), ("unknown", None)):
        one.run(
            Generate(name, str(base), ids, adapter=folder, adapter_version=version, sampling=GREEDY)
        )
    cached = [one.end(name).n_cached for name in ("first", "again", "new", "unknown")]
    assert cached == [0, 192, 0, 0]


def test_prompt_logprobs_are_computed_whole_even_where_the_prompt_is_known(bench, base):
    one, ids = bench(), prompt(200)
    one.run(Generate("first", str(base), ids, sampling=GREEDY))
    ask = Generate("asks", str(base), ids, sampling=GREEDY, prompt_logprobs=0)
    one.run(ask)
    assert len(one.told["asks"][0].logprobs) == 199
    assert one.end("asks").n_cached == 0


def test_who_shares_a_prompt_goes_on_when_the_other_one_leaves(bench, base):
    one, ids = bench(), prompt(400)
    first = one.add(Generate("first", str(base), ids, sampling=GREEDY))
    one.add(Generate("second", str(base), ids, sampling=GREEDY))
    one.until(lambda: one.engine.scheduler.running)
    one.engine.abort(first)
    one.finish()
    assert (
        one.tokens("second")
        == bench(prefix_bytes=0).run(Generate("second", str(base), ids, sampling=GREEDY))[0]
    )


def test_who_must_make_room_is_told_the_same_tokens(bench, base, adapters):
    """Twelve answers in memory for three: they start, grow, make room, begin again, and nobody can
    tell."""
    requests = [
        Generate(
            str(n),
            str(base),
            prompt(4 + 5 * n, seed=n),
            adapter=[None, *map(str, adapters)][n % 5],
            adapter_version="v1",
            sampling=Sampling(seed=n, logprobs=1, presence_penalty=0.1, max_tokens=180),
            prompt_logprobs=0 if n % 3 == 0 else None,
        )
        for n in range(12)
    ]
    roomy, tight = bench(), bench()
    roomy.run(*requests)
    lanes = tight.engine._lanes
    tight.run(Generate("first", str(base), (1,), sampling=Sampling(max_tokens=1)))
    slots = lanes.get(str(base)).slots
    slots.n_free = slots.n_cells = 400
    n_made_way, make_way = 0, tight.engine.scheduler.make_way

    def counted(path):
        nonlocal n_made_way
        n_made_way += 1
        return make_way(path)

    tight.engine.scheduler.make_way = counted
    tight.run(*requests)
    assert n_made_way >= 3
    assert slots.n_free == 400
    for request in requests:
        before, after = roomy.told[request.id], tight.told[request.id]
        assert after[:-1] == before[:-1]
        assert (after[-1].reason, after[-1].n_generated) == (
            before[-1].reason, before[-1].n_generated,
        )  # fmt: skip


def test_a_full_line_makes_room_for_an_owner_who_has_less(bench, base):
    one = bench(max_sequences=1, max_waiting=2)
    for n in range(3):
        one.add(Generate(f"many{n}", str(base), prompt(4), sampling=GREEDY, owner="many"))
    one.add(Generate("few", str(base), prompt(4), sampling=GREEDY, owner="few"))
    one.add(Generate("many3", str(base), prompt(4), sampling=GREEDY, owner="many"))
    one.finish()
    refused = [name for name in one.told if isinstance(one.end(name), Failed)]
    assert sorted(refused) == ["many2", "many3"]
    assert one.end("many2").code == "busy"
    assert one.end("many2").retry_after_s >= 1
    assert len(one.tokens("few")) == 20


def test_without_a_seed_two_requests_differ(bench, base):
    ask = Sampling(temperature=1.5, max_tokens=40)
    a, b = bench().run(
        Generate("a", str(base), prompt(5), sampling=ask),
        Generate("b", str(base), prompt(5), sampling=ask),
    )
    # 40 draws with a collision chance under one half each: equal once in 2^40 runs.
    assert a != b


def test_no_stop_token_is_drawn_before_there_are_as_many_as_asked(bench, base):
    one = bench()
    (free,) = one.run(Generate("free", str(base), prompt(9), sampling=GREEDY))
    ends = frozenset(free[:3])
    for least in (0, 5):
        ask = replace(GREEDY, min_tokens=least)
        one.run(Generate(f"{least}", str(base), prompt(9), stop_ids=ends, sampling=ask))
    assert one.tokens("0") == []
    held = one.tokens("5")
    assert len(held) >= 5
    assert not ends & set(held)


def test_a_stop_token_ends_the_request_and_is_counted_but_not_shown(bench, base):
    (tokens,) = bench().run(Generate("a", str(base), prompt(9), sampling=GREEDY))
    stop = tokens[6]
    shown = tokens[: tokens.index(stop)]
    one = bench()
    ask = Generate("a", str(base), prompt(9), stop_ids=frozenset({stop}), sampling=GREEDY)
    assert one.run(ask) == [shown]
    assert one.end("a") == Finished("a", FinishReason.STOP, len(shown) + 1)


def test_max_tokens_ends_a_request_and_zero_is_possible(bench, base):
    one = bench()
    few = Sampling(temperature=0.0, max_tokens=3)
    none = Sampling(temperature=0.0, max_tokens=0)
    first, second = one.run(
        Generate("few", str(base), prompt(9), sampling=few),
        Generate("none", str(base), prompt(9), sampling=none),
    )
    assert (len(first), second) == (3, [])
    assert one.end("few") == Finished("few", FinishReason.LENGTH, 3)
    assert one.end("none") == Finished("none", FinishReason.LENGTH, 0)


def test_the_end_of_the_context_ends_a_request(bench, base):
    one = bench()
    ask = Generate("a", str(base), prompt(500), sampling=Sampling(temperature=0.0))
    (tokens,) = one.run(ask)
    assert len(tokens) == 12
    assert one.end("a") == Finished("a", FinishReason.LENGTH, 12)


def test_a_prompt_that_leaves_no_room_is_refused_with_the_numbers(bench, base):
    one = bench()
    one.run(Generate("a", str(base), prompt(512), sampling=GREEDY))
    refused = one.end("a")
    assert refused.code == "context_length_exceeded"
    assert "512 tokens" in refused.message


def test_a_token_the_base_does_not_know_is_refused(bench, base):
    one = bench()
    one.run(Generate("a", str(base), (1, 199), sampling=GREEDY))
    assert one.end("a").code == "invalid_request"
    assert "199" in one.end("a").message


def test_a_frequency_penalty_stops_repetition(bench, base):
    plain = Sampling(temperature=0.0, max_tokens=60)
    hard = Sampling(temperature=0.0, max_tokens=60, frequency_penalty=2.0, presence_penalty=2.0)
    loose, tight = bench().run(
        Generate("plain", str(base), prompt(4), sampling=plain),
        Generate("hard", str(base), prompt(4), sampling=hard),
    )
    assert len(set(tight)) > len(set(loose))


def test_an_abort_takes_effect_before_the_next_step(bench, base):
    one = bench()
    long = Sampling(temperature=0.0, max_tokens=400)
    key = one.add(Generate("a", str(base), prompt(4), sampling=long))
    one.add(Generate("b", str(base), prompt(4), sampling=GREEDY))
    one.until(lambda: len(one.tokens("a")) >= 3)
    seen = len(one.tokens("a"))
    one.engine.abort(key)
    assert one.end("a") == Finished("a", FinishReason.CANCELLED, seen)
    one.finish()
    assert len(one.tokens("a")) == seen
    assert len(one.tokens("b")) == 20
    lane = one.engine.status()["bases"][str(base)]
    assert lane["free_cells"] == lane["cells"]


def test_a_client_that_is_gone_takes_its_requests_with_it(bench, base):
    one = bench(max_sequences=1)
    for n in range(3):
        one.add(Generate(str(n), str(base), prompt(4), sampling=Sampling(max_tokens=400)))
    one.until(lambda: one.tokens("0"))
    one.engine.forget(1)
    assert one.engine.idle
    assert [one.end(str(n)).reason for n in range(3)] == [FinishReason.CANCELLED] * 3


def test_a_full_engine_refuses_and_a_place_is_free_when_it_said(bench, base):
    one = bench(max_sequences=2, max_waiting=1)
    ask = Sampling(temperature=0.0, max_tokens=450)
    for name in "abc":
        one.add(Generate(name, str(base), prompt(4), sampling=ask))
    one.until(lambda: len(one.tokens("a")) > 20)
    scheduler = one.engine.scheduler
    scheduler.step_s = 0.01  # Steps are counted here, so that a busy machine does not matter.
    n_steps = min(sequence.end - sequence.length for sequence in scheduler.running)
    one.add(Generate("d", str(base), prompt(4), sampling=ask))
    refused = one.end("d")
    assert refused.code == "busy"
    assert refused.retry_after_s == pytest.approx(n_steps * 0.01)

    for _ in range(n_steps):
        one.engine.step()
    one.add(Generate("e", str(base), prompt(4), sampling=GREEDY))
    one.finish()
    assert len(one.tokens("e")) == 20


def test_a_draining_engine_finishes_what_it_has_and_refuses_the_rest(bench, base):
    one = bench()
    one.add(Generate("a", str(base), prompt(4), sampling=GREEDY))
    one.engine.drain(60.0)
    one.add(Generate("b", str(base), prompt(4), sampling=GREEDY))
    one.finish()
    assert len(one.tokens("a")) == 20
    assert one.end("b").code == "engine_restarting"
    assert one.engine.drained


def test_a_draining_engine_says_when_the_one_after_it_should_listen(bench, base):
    one = bench()
    one.add(Generate("a", str(base), prompt(4), sampling=Sampling(temperature=0.0, max_tokens=400)))
    one.until(lambda: len(one.tokens("a")) > 20)
    scheduler = one.engine.scheduler
    scheduler.step_s = 0.01  # Steps are counted here, so that a busy machine does not matter.
    (running,) = scheduler.running
    n_steps = running.end - running.length
    one.engine.drain(60.0)
    one.add(Generate("b", str(base), prompt(4), sampling=GREEDY))
    assert one.end("b").retry_after_s == pytest.approx(n_steps * 0.01 + RESTART_S)
    one.engine.drain(1.0)
    one.add(Generate("c", str(base), prompt(4), sampling=GREEDY))
    assert one.end("c").retry_after_s == pytest.approx(1.0 + RESTART_S, abs=0.5)

    one.engine.drain(60.0)
    for _ in range(n_steps):
        assert not one.engine.drained
        one.engine.step()
    assert one.engine.drained


def test_a_broken_base_or_adapter_is_refused_by_name_and_others_go_on(bench, base, tmp_path):
    one = bench()
    one.run(
        Generate("good", str(base), prompt(4), sampling=GREEDY),
        Generate("no base", str(tmp_path / "gone"), prompt(4), sampling=GREEDY),
        Generate("no adapter", str(base), prompt(4), adapter=str(tmp_path), sampling=GREEDY),
    )
    assert len(one.tokens("good")) == 20
    assert one.end("no base").code == "base_unusable"
    assert "gone" in one.end("no base").message
    assert one.end("no adapter").code == "adapter_unusable"
    assert "adapter_config.json" in one.end("no adapter").message


def test_a_base_that_does_not_fit_says_how_much_it_needs(bench, base):
    one = bench(memory_bytes=100_000)
    one.run(Generate("a", str(base), prompt(4), sampling=GREEDY))
    assert one.end("a").code == "base_unusable"
    assert "GiB" in one.end("a").message


def test_several_bases_are_served_at_once(bench, base, random_base):
    other = random_base("qwen3", head_dim=16)
    a = Generate("a", str(base), prompt(70), sampling=GREEDY)
    b = Generate("b", str(other), prompt(70), sampling=GREEDY)
    alone = [bench().run(a)[0], bench().run(b)[0]]
    assert bench().run(a, b) == alone


def test_an_adapter_that_was_replaced_is_reread_under_its_new_version(
    bench, base, adapters, tmp_path
):
    import shutil

    folder = tmp_path / "adapter"
    one = bench()

    def ask(name, version):
        (tokens,) = one.run(
            Generate(name, str(base), prompt(9), adapter=str(folder), adapter_version=version,
                     sampling=GREEDY)
        )  # fmt: skip
        return tokens

    shutil.copytree(adapters[0], folder)
    first = ask("first", "v1")
    shutil.rmtree(folder)
    shutil.copytree(adapters[1], folder)
    assert ask("cached", "v1") == first
    assert ask("new", "v2") != first


def test_a_step_that_breaks_ends_its_requests_and_not_the_engine(bench, base, monkeypatch):
    from modiste.serve.lane import Lane

    one = bench()
    one.run(Generate("before", str(base), prompt(4), sampling=GREEDY))
    real = Lane.step

    def broken(self, plan):
        raise RuntimeError("no memory")

    monkeypatch.setattr(Lane, "step", broken)
    one.run(Generate("during", str(base), prompt(4), sampling=GREEDY))
    failed = one.end("during")
    assert isinstance(failed, Failed)
    assert failed.code == "engine_error"
    assert "no memory" in failed.message

    monkeypatch.setattr(Lane, "step", real)
    assert len(one.run(Generate("after", str(base), prompt(4), sampling=GREEDY))[0]) == 20


def test_an_adapter_that_computes_no_numbers_fails_alone(bench, base, adapters, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    broken = shutil.copytree(adapters[0], tmp_path / "broken")
    tensors = load_file(broken / "adapter_model.safetensors")
    for tensor in tensors.values():
        tensor.fill_(float("inf"))
    save_file(tensors, broken / "adapter_model.safetensors")

    good = Generate("good", str(base), prompt(70), adapter=str(adapters[0]), sampling=GREEDY)
    alone = bench().run(good)
    one = bench()
    one.add(Generate("bad", str(base), prompt(70), adapter=str(broken), sampling=GREEDY))
    one.add(Score("bad score", str(base), prompt(70), adapter=str(broken)))
    assert one.run(good) == alone
    for name in ("bad", "bad score"):
        assert one.end(name).code == "engine_error"
        assert "not numbers" in one.end(name).message
    assert one.run(Generate("good", str(base), prompt(70), sampling=GREEDY))


def test_vectors_of_a_base_are_those_of_the_embedder_whatever_shares_the_step(bench):
    """Of texts that the embedder reads in one window."""
    embedder = TextEmbedder(TINY, lambda text: list(map(int, text.split())))
    ids = [
        tuple(5 + (seed * k) % 4000 for k in range(n)) for seed, n in ((7, 200), (11, 3), (5, 64))
    ]
    engine = bench()
    busy = Generate("busy", str(TINY), (1, 9, 8), sampling=GREEDY)
    requests = [Embed(f"{n}", str(TINY), text) for n, text in enumerate(ids)]
    last = Embed("last", str(TINY), ids[0], pooling=Pooling.LAST)
    engine.run(busy, *requests, last, Score("score", str(TINY), ids[1]))
    for n, text in enumerate(ids):
        event = engine.end(f"{n}")
        assert isinstance(event, Embedded)
        expected = embedder([" ".join(map(str, text))])[0]
        # The embedder reads a window at once, the engine pieces of 64 tokens.
        assert event.vector == pytest.approx(expected / np.linalg.norm(expected), abs=1e-5)
    assert np.linalg.norm(engine.end("last").vector) == pytest.approx(1.0)
    assert engine.end("last").vector != engine.end("0").vector
    assert isinstance(engine.end("score"), Scored)


def test_texts_for_an_encoder_are_answered_beside_streams(bench, sentence_base):
    engine = bench()
    texts = [Embed(f"t{n}", str(sentence_base), (2, 5 + n, 3)) for n in range(5)]
    engine.run(Generate("g", str(TINY), (1, 9, 8), sampling=GREEDY), *texts)
    assert all(isinstance(engine.end(text.id), Embedded) for text in texts)
    assert len(engine.tokens("g")) > 0
    engine.add(Embed("late", str(sentence_base), (2, 3)))
    engine.engine.fail_all("we leave")
    assert isinstance(engine.end("late"), Failed)
    assert engine.engine.idle


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_a_classifier_says_what_training_computes_whatever_shares_the_step(
    bench, random_base, tmp_path, pooling
):
    base = random_base("mistral", num_hidden_layers=2)
    targets = [
        {"name": "a", "labels": ["x", "y", "z"], "loss_function": "single_class"},
        {"name": "b", "labels": ["u", "v"], "loss_function": "multi_class"},
    ]
    values = {"model": "m", "data": {"train": ["t"]}, "lora": {"rank": 4}, "objective": "classify"}
    spec = parse(values | {"classifier_targets": targets, "classifier": {"pooling": pooling}}).spec
    tuned = load(spec, base, Machine("cpu", "float32", 1))
    with torch.no_grad():
        tuned.learned.flat.normal_(std=0.05, generator=torch.Generator().manual_seed(1))
    tuned.learned.save(tmp_path / "adapter", base="m")
    rows = Samples.with_labels([((3, 4, 5, 6), (at % 3,)) for at in range(6)])
    learned = phrases.learn([rows], spec.classifier_targets)
    assert learned is not None
    bare_heads = class_answers.published(tuned, spec, torch.ones(5))
    heads = class_answers.calibrated(bare_heads, learned, None)
    save_heads(tmp_path / "adapter", heads)
    texts = [tuple(3 + (k * n) % 190 for k in range(1, n)) for n in (150, 2, 9)]
    folder = str(tmp_path / "adapter")
    asked = [
        Embed(f"{n}", str(base), ids, folder, "v1", pooling=Pooling.HEADS)
        for n, ids in enumerate(texts)
    ]
    engine = bench()
    bare = Embed("bare", str(base), texts[0], pooling=Pooling.HEADS)
    engine.run(Generate("g", str(base), (1, 9), sampling=GREEDY), *asked, bare)
    for n, ids in enumerate(texts):
        state = class_answers.pooled_of(tuned, spec, ids)
        expected = heads.probabilities(state[None], [ids])[0].tolist()
        # fp32 sums in two orders; texts are read in pieces of 64 tokens.
        assert engine.end(f"{n}").vector == pytest.approx(expected, abs=1e-5)
        assert sum(engine.end(f"{n}").vector[:3]) == pytest.approx(1.0)
    assert isinstance(engine.end("bare"), Failed)
