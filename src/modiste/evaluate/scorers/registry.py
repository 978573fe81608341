"""Every kind of scorer there is: what a suite's entries become, or all that is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, RootModel

from modiste.evaluate.judges.pointwise import MtBenchSingleSpec, RubricSpec
from modiste.evaluate.judges.rubric_panel import RubricPanelSpec
from modiste.evaluate.rag.faithfulness import FaithfulnessSpec
from modiste.evaluate.rag.relevancy import AnswerRelevancySpec
from modiste.evaluate.rag.retrieval import ContextPrecisionSpec, ContextRecallSpec
from modiste.evaluate.scorer import Scorer
from modiste.evaluate.scorers.attack import AttackSpec
from modiste.evaluate.scorers.classification import ClassificationSpec
from modiste.evaluate.scorers.json_match import JsonMatchSpec
from modiste.evaluate.scorers.json_schema import JsonSchemaSpec
from modiste.evaluate.scorers.load import CostSpec, LatencySpec, TokensSpec
from modiste.evaluate.scorers.multiple_choice import MultipleChoiceSpec
from modiste.evaluate.scorers.numeric import NumericSpec
from modiste.evaluate.scorers.openai_grader import OpenAISpec
from modiste.evaluate.scorers.perplexity import PerplexitySpec
from modiste.evaluate.scorers.python_function import PythonSpec
from modiste.evaluate.scorers.refusal import RefusalSpec
from modiste.evaluate.scorers.regex import RegexSpec
from modiste.evaluate.scorers.sql_match import SqlMatchSpec
from modiste.evaluate.scorers.text_match import ExactSpec, IncludesSpec
from modiste.evaluate.scorers.text_similarity import TextSimilaritySpec
from modiste.evaluate.scorers.tool_call import ToolCallSpec
from modiste.prepare.checked import checked


def _as_entry(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


ScorerSpec = Annotated[
    Annotated[
        ExactSpec
        | IncludesSpec
        | RegexSpec
        | NumericSpec
        | JsonMatchSpec
        | JsonSchemaSpec
        | ToolCallSpec
        | ClassificationSpec
        | MultipleChoiceSpec
        | SqlMatchSpec
        | PythonSpec
        | OpenAISpec
        | PerplexitySpec
        | LatencySpec
        | TokensSpec
        | CostSpec
        | TextSimilaritySpec
        | AttackSpec
        | RefusalSpec
        | RubricSpec
        | MtBenchSingleSpec
        | RubricPanelSpec
        | FaithfulnessSpec
        | AnswerRelevancySpec
        | ContextPrecisionSpec
        | ContextRecallSpec,
        Field(discriminator="kind"),
    ],
    BeforeValidator(_as_entry),
]
"""One entry of `scorers:`; a bare word is a kind with its defaults."""


class _Entries(RootModel[tuple[ScorerSpec, ...]]):
    pass


def parse(entries: Sequence[Any], *, file: str = "scorers") -> tuple[Scorer, ...]:
    """
    Raises:
        InvalidInput: every unknown kind or option with the nearest known one, every bad value.
    """
    return tuple(spec.build() for spec in checked(_Entries, list(entries), file=file).root)
