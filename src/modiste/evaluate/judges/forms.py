"""Judges that write prose and a verdict in brackets: as MT-Bench has them, Arena-Hard, Prometheus.

The words are ours. Whoever needs MT-Bench's own gives the path of FastChat's `judge_prompts.jsonl`,
which is then used as it is, without fences; the path's hash is part of the judge's identity. A
conversation of two answers is judged by its prompts for two turns, which it is written for.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from modiste.errors import InvalidInput
from modiste.evaluate.items import Prompt
from modiste.evaluate.judges import prompting
from modiste.evaluate.judges.judge import PairFields, Points, Said, SideBySide, both
from modiste.evaluate.judges.pairs import Pair
from modiste.evaluate.judges.reading import Read, Unreadable, bracket_reader
from modiste.evaluate.judges.spec import Material
from modiste.types import Message, Role

STRONG = 3
"""Arena-Hard counts a strong verdict as so many games."""
PAIR_POINTS = {"A": (1.0, 0.0), "B": (0.0, 1.0), "C": (0.5, 0.5)}
ARENA_POINTS = {
    "A>>B": (float(STRONG), 0.0),
    "A>B": (1.0, 0.0),
    "A=B": (0.0, 0.0),
    "B>A": (0.0, 1.0),
    "B>>A": (0.0, float(STRONG)),
}


class MtBenchPairSpec(PairFields):
    kind: Literal["mt_bench_pair"]
    name: str = "mt_bench_pair"
    prompts: str | None = None
    """Path of FastChat's `judge_prompts.jsonl`, whose `pair-v2` and (with a reference)
    `pair-math-v1` are used then, and for two answers their `-multi-turn`."""

    def judge(self) -> BracketJudge:
        return BracketJudge(self, "mt_bench_pair", self.prompts)


class ArenaHardSpec(PairFields):
    kind: Literal["arena_hard"]
    name: str = "arena_hard"
    max_tokens: int = 4096

    def judge(self) -> BracketJudge:
        return BracketJudge(self, "arena_hard", None)


class RubricPairSpec(PairFields):
    """The relative form of models tuned as judges in the manner of Prometheus: never a tie."""

    kind: Literal["rubric_pair"]
    name: str = "rubric_pair"
    criterion: str = "which answer serves whoever asked better"
    """What is compared, in one sentence."""
    role: str = "a strict and fair examiner"

    def judge(self) -> BracketJudge:
        words = {"criterion": self.criterion, "role": self.role}
        return BracketJudge(self, "rubric_result_pair", None, words)


class BracketJudge(SideBySide):
    """`[[A]]`, five steps from `[[A>>B]]` to `[[B>>A]]`, or `[RESULT] A`."""

    def __init__(
        self,
        spec: PairFields,
        pack: str,
        prompts: str | None,
        words: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """
        Args:
            words: what the author of the judge wrote, by its name in the prompt.
        """
        self._pack, self._words = pack, words
        self._own = prompting.load(pack)
        self._theirs = None if prompts is None else fastchat(prompts)
        config = {
            **spec.model_dump(mode="json", exclude={"name", "prompts"}),
            "prompts": self._theirs.sha256 if self._theirs else {self._own.name: self._own.sha256},
        }
        most = float(STRONG) if pack == "arena_hard" else 1.0
        super().__init__(spec, config, (0.0, most))

    def check(self, material: Material, pair: Pair) -> None:
        if self._theirs is not None:
            sides = (Said(pair.a, pair.earlier_a), Said(pair.b, pair.earlier_b))
            self._theirs.compared(material, *sides)

    def prompt(self, material: Material, first: Said, second: Said, extra: Any, nth: int) -> Prompt:
        if self._theirs is not None:
            return self.spec.prompt(self._theirs.compared(material, first, second), nth=nth)
        shown = {**material.shown(), **both(first, second)}
        return self.spec.prompt(prompting.fill(self._own, shown, draw=None, **self._words), nth=nth)

    def reader(self) -> Read[Points]:
        return READERS[self._pack]()


def pair_reader() -> Read[Points]:
    read_letter = bracket_reader(r"\[\[([ABC])\]\]", "[[A]], [[B]] or [[C]]")

    def read(text: str) -> Points:
        return Points(*PAIR_POINTS[read_letter(text)], reason=text.strip())

    return read


def arena_reader() -> Read[Points]:
    read_step = bracket_reader(
        r"\[\[(A>>B|A>B|A=B|B>A|B>>A)\]\]", "[[A>>B]], [[A>B]], [[A=B]], [[B>A]] or [[B>>A]]"
    )

    def read(text: str) -> Points:
        step = read_step(text)
        strong = STRONG if ">>" in step else 1
        return Points(*ARENA_POINTS[step], reason=text.strip(), weight=strong)

    return read


def result_reader() -> Read[Points]:
    read_letter = bracket_reader(r"\[RESULT\]\s*\(?([AB])\b", "[RESULT] and A or B")

    def read(text: str) -> Points:
        return Points(*PAIR_POINTS[read_letter(text)], reason=text.strip())

    return read


READERS = {
    "mt_bench_pair": pair_reader,
    "arena_hard": arena_reader,
    "rubric_result_pair": result_reader,
}


def rating_reader(lowest: int = 1, highest: int = 10) -> Read[float]:
    """Reads the last `[[7]]` of a text."""
    read_number = bracket_reader(r"\[\[(\d+(?:\.\d+)?)\]\]", "Rating: [[5]]")

    def read(text: str) -> float:
        value = float(read_number(text))
        if not lowest <= value <= highest:
            raise Unreadable(f"{value:g} is not between {lowest} and {highest}")
        return value

    return read


class Theirs(NamedTuple):
    """Prompts of FastChat, by name."""

    sha256: str
    prompts: Mapping[str, tuple[str, str]]
    """System and user text, with holes such as `{question}`."""

    def compared(self, material: Material, first: Said, second: Said) -> tuple[Message, ...]:
        """
        Raises:
            InvalidInput: as `asked`.
        """
        kind = "pair-v2" if material.reference is None else "pair-math-v1"
        return self.asked(kind, material, {"answer_a": first, "answer_b": second})

    def asked(
        self, kind: str, material: Material, answers: Mapping[str, Said]
    ) -> tuple[Message, ...]:
        """The prompt for one answer each, or for two.

        Args:
            kind: its name for one answer.
            answers: by the hole that they fill.

        Raises:
            InvalidInput: more than two answers, or not a reference for each of the two.
        """
        n = {len(said.earlier) + 1 for said in answers.values()}
        if n == {1}:
            data = {"question": material.request, "ref_answer_1": material.reference or ""}
            return self.messages(kind, data | {hole: said.text for hole, said in answers.items()})
        if n != {2}:
            raise InvalidInput(
                f"FastChat's prompts are for one answer or two, and this conversation has {max(n)};"
                " leave prompts out",
                param="prompts",
            )
        if material.references and len(material.references) != 2:
            raise InvalidInput(
                f"reference gives {len(material.references)} text, and {kind}-multi-turn wants one "
                "for each of two answers: a field of the row that is a list of two",
                param="reference",
            )
        question = next(iter(answers.values())).earlier[0].question
        data = {"question_1": question, "question_2": material.request}
        data |= {f"ref_answer_{at}": text for at, text in enumerate(material.references, 1)}
        for hole, said in answers.items():
            data |= {f"{hole}_1": said.earlier[0].answer, f"{hole}_2": said.text}
        return self.messages(f"{kind}-multi-turn", data)

    def messages(self, name: str, data: Mapping[str, str]) -> tuple[Message, ...]:
        """Holes are filled at once, so that a hole within an answer stays text."""
        system, template = self.prompts[name]
        user = re.sub(r"\{(\w+)\}", lambda hole: data.get(hole[1], hole[0]), template)
        return (Message(Role.SYSTEM, system), Message(Role.USER, user))


def fastchat(path: str) -> Theirs:
    """
    Raises:
        InvalidInput: unreadable, or not that file.
    """
    try:
        content = Path(path).read_bytes()
        rows = [json.loads(line) for line in content.splitlines() if line.strip()]
        prompts = {row["name"]: (row["system_prompt"], row["prompt_template"]) for row in rows}
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror}", param="prompts") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInput(
            f"{path} is not FastChat's judge_prompts.jsonl ({type(error).__name__}: {error}); its "
            "lines have name, system_prompt and prompt_template",
            param="prompts",
        ) from None
    one = ("pair-v2", "pair-math-v1", "single-v1", "single-math-v1")
    needed = {*one, *(f"{name}-multi-turn" for name in one)}
    if missing := sorted(needed - set(prompts)):
        raise InvalidInput(f"{path} lacks the prompts {', '.join(missing)}", param="prompts")
    return Theirs(hashlib.sha256(content).hexdigest()[:16], prompts)
