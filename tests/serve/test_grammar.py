"""Grammars are compiled against a base's own tokenizer and say which tokens may come next."""

import json
import shutil
from pathlib import Path

import mistral_common
import numpy as np
import pytest

import modiste
from modiste.errors import InvalidInput
from modiste.prepare import render
from modiste.serve.constraint import Constraint, take
from modiste.serve.grammar import Compiler
from modiste.serve.sequence import Grammar, GrammarKind

TINY = Path(modiste.__file__).parent / "bases" / "tiny"
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 8}, "n": {"type": "integer"}},
    "required": ["city", "n"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def renderer():
    return render.load(TINY)


class InProcess:
    """Keeps matches as the process beside an engine does, without the process."""

    def __init__(self, base):
        self._compiler, self._matches, self.dropped = Compiler(base), [], []

    def compile(self, kind, text, **rest):
        grammar = Grammar(kind, text, **rest)
        self._matches.append(self._compiler.compile(grammar))
        number, place = len(self._matches) - 1, self._matches[-1].place
        return Constraint(self, number, place, after=grammar.after)

    def take(self, moves):
        for constraint, token in moves:
            self._matches[constraint.number].take(token)
            constraint.move(self._matches[constraint.number].place)

    def settle(self):
        """Nothing is ever on its way."""


@pytest.fixture(scope="module")
def compile_():
    return InProcess(TINY).compile


def follow(constraint, renderer, *, seed, n_most=200):
    """A random answer that the grammar allows: its text, and whether it ended as one may."""
    rng, ids = np.random.default_rng(seed), []
    while not constraint.complete and len(ids) < n_most:
        allowed = constraint.allowed(renderer.vocab_size, renderer.stop_ids)
        token = int(rng.choice(np.flatnonzero(allowed)))
        if token in renderer.stop_ids:
            return renderer.decode(ids), True
        ids.append(token)
        take([(constraint, token)])
        assert not constraint.problem
    return renderer.decode(ids), constraint.complete


@pytest.mark.parametrize("seed", range(5))
def test_any_answer_a_schema_allows_is_json_that_fits_it(compile_, renderer, seed):
    constraint = compile_(GrammarKind.JSON_SCHEMA, json.dumps(SCHEMA))
    text, ended = follow(constraint, renderer, seed=seed, n_most=400)
    if ended:
        answer = json.loads(text)
        assert set(answer) == {"city", "n"}
        assert len(answer["city"]) <= 8
        assert isinstance(answer["n"], int)
    else:  # A number has no longest form; what is there is the beginning of an answer.
        assert text.lstrip().startswith("{")


def test_a_finished_answer_is_complete_and_an_unfinished_one_may_not_end(compile_, renderer):
    constraint = compile_(GrammarKind.REGEX, "yes|no")
    (stop,) = renderer.stop_ids
    assert not constraint.allowed(renderer.vocab_size, renderer.stop_ids)[stop]
    for token in renderer.encode("yes"):
        assert not constraint.complete
        assert constraint.allowed(renderer.vocab_size, renderer.stop_ids)[token]
        take([(constraint, token)])
    assert constraint.complete


def test_an_answer_that_may_end_or_go_on_allows_every_stop_token(compile_, renderer):
    constraint = compile_(GrammarKind.REGEX, "a+")
    take([(constraint, renderer.encode("a")[0])])
    assert not constraint.complete
    allowed = constraint.allowed(renderer.vocab_size, {2, 7, 999_999})
    assert allowed[2]
    assert allowed[7]
    assert not constraint.allowed(renderer.vocab_size, ())[2]


def test_lark_names_control_tokens_by_id_and_text_never_spells_one(compile_, renderer):
    calls = next(i for i in range(renderer.vocab_size) if renderer.token_name(i) == "[TOOL_CALLS]")
    named = compile_(GrammarKind.LARK, f'start: <[{calls}]> "x"')
    assert np.flatnonzero(named.allowed(renderer.vocab_size, ())).tolist() == [calls]
    spelt = compile_(GrammarKind.LARK, 'start: "[TOOL_CALLS]"')
    assert not spelt.allowed(renderer.vocab_size, ())[calls]


def test_a_grammar_may_wait_for_a_token(compile_, renderer):
    constraint = compile_(GrammarKind.REGEX, "b", after=5)
    for token in (*renderer.encode("any words"), 5):
        assert constraint.allowed(renderer.vocab_size, renderer.stop_ids) is None
        assert not constraint.complete
        take([(constraint, token)])
    assert np.flatnonzero(constraint.allowed(renderer.vocab_size, ())).tolist() == [
        renderer.encode("b")[0]
    ]


def test_tokens_beyond_the_tokenizer_are_never_allowed(compile_, renderer):
    constraint = compile_(GrammarKind.REGEX, "(.|\n)*")
    allowed = constraint.allowed(renderer.vocab_size + 40, renderer.stop_ids)
    assert len(allowed) == renderer.vocab_size + 40
    assert not allowed[renderer.vocab_size :].any()


@pytest.mark.parametrize(("kind", "text", "told"), [
    (GrammarKind.JSON_SCHEMA, '{"type": "objet"}', "objet"),
    (GrammarKind.JSON_SCHEMA, "{", "not JSON"),
    (GrammarKind.JSON_SCHEMA, "[" * 100_000, "not JSON"),
    (GrammarKind.JSON_SCHEMA, "[]", "list"),
    (GrammarKind.LARK, "start: foo", "foo"),
    (GrammarKind.REGEX, "(", "regex"),
])  # fmt: skip
def test_what_is_no_grammar_is_refused_with_what_is_wrong(compile_, kind, text, told):
    with pytest.raises(InvalidInput, match=told) as caught:
        compile_(kind, text)
    assert caught.value.error_code == "invalid_request"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("mistral_instruct_tokenizer_240323.model.v3", "tokenizer.model.v3"),
        pytest.param("tekken_240911.json", "tekken.json", marks=pytest.mark.slow),
    ],
)
def test_mistrals_own_tokenizers_write_what_they_would_write_anyway(source, name, tmp_path):
    """SentencePiece begins every text with a space, which is no part of the answer."""
    shutil.copy(Path(mistral_common.__file__).parent / "data" / source, tmp_path / name)
    renderer = render.load(tmp_path)
    schema = json.dumps({"enum": ["Grüße", "日本"]})
    constraint = InProcess(tmp_path).compile(GrammarKind.JSON_SCHEMA, schema)
    for token in renderer.encode('"日本"'):
        assert constraint.allowed(renderer.vocab_size, renderer.stop_ids)[token]
        take([(constraint, token)])
    assert constraint.complete


def test_an_answer_goes_on_behind_what_has_begun_it(compile_, renderer):
    constraint = compile_(GrammarKind.JSON_SCHEMA, json.dumps(SCHEMA), begun='{"city": "Ou')
    text, _ = follow(constraint, renderer, seed=1, n_most=400)
    assert json.loads('{"city": "Ou' + text)["city"].startswith("Ou")


def test_an_answer_that_is_whole_already_may_only_end(compile_, renderer):
    constraint = compile_(GrammarKind.REGEX, "yes|no", begun="no")
    assert constraint.complete
    allowed = constraint.allowed(renderer.vocab_size, renderer.stop_ids)
    assert set(np.flatnonzero(allowed).tolist()) == set(renderer.stop_ids)


@pytest.mark.parametrize("begun", ['{"town": "', '{"city": "much too long', "Sure: {", '{"n": 1x'])
def test_a_beginning_that_no_answer_has_is_refused(compile_, begun):
    with pytest.raises(InvalidInput, match="no answer of the form") as caught:
        compile_(GrammarKind.JSON_SCHEMA, json.dumps(SCHEMA), begun=begun)
    assert caught.value.param == "messages"
