"""OpenAI's graders as they are written, checked: `string_check`, `text_similarity`, `python`,
`label_model`, `score_model` and `multi`.

Field names and meanings are OpenAI's (API reference of graders, 2025). Templates see `item`, a row,
and `sample`: `output_text`, `output_json` (null where the answer is no JSON), `output_tools`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from modiste.errors import InvalidInput
from modiste.evaluate.scorers.arithmetic import Formula
from modiste.evaluate.template import Template


def a_template(text: str) -> str:
    try:
        Template(text, param="template")
    except InvalidInput as error:
        raise ValueError(error.message) from None
    return text


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class StringCheck(Part):
    type: Literal["string_check"]
    name: str = "string_check"
    input: str
    reference: str
    operation: Literal["eq", "ne", "like", "ilike"]
    """Equal, not equal, or the input contains the reference, with or without regard to case."""

    _templates = field_validator("input", "reference")(a_template)


class Similarity(Part):
    type: Literal["text_similarity"]
    name: str = "text_similarity"
    input: str
    reference: str
    evaluation_metric: Literal[
        "fuzzy_match", "bleu", "gleu",
        "rouge_1", "rouge_2", "rouge_3", "rouge_4", "rouge_5", "rouge_l",
    ]  # fmt: skip
    """`meteor` and `cosine` are not computed here: WordNet and an embedding model decide them."""
    pass_threshold: float | None = None

    _templates = field_validator("input", "reference")(a_template)


class PythonGrader(Part):
    type: Literal["python"]
    name: str = "python"
    source: str
    """Defines `grade(sample, item)`."""
    image_tag: str | None = None
    """Of OpenAI's container; the code runs under our own Python whatever it says."""
    pass_threshold: float | None = None


def _as_parts(value: Any) -> Any:
    return value if isinstance(value, (str, list)) else [value]


class Said(Part):
    """A message to a grading model."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[str | tuple[Mapping[str, Any], ...], BeforeValidator(_as_parts)]
    type: Literal["message"] | None = None

    @model_validator(mode="after")
    def _texts_only(self) -> Said:
        a_template(self.text)
        return self

    @property
    def text(self) -> str:
        """
        Raises:
            ValueError: a part that is no text.
        """
        if isinstance(self.content, str):
            return self.content
        for part in self.content:
            if not isinstance(part.get("text"), str):
                raise ValueError(f"content has a part of type {part.get('type')!r}, expected text")
        return "\n".join(part["text"] for part in self.content)


class LabelModel(Part):
    type: Literal["label_model"]
    name: str = "label_model"
    model: str
    input: tuple[Said, ...] = Field(min_length=1)
    labels: tuple[str, ...] = Field(min_length=1)
    passing_labels: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _passing(self) -> LabelModel:
        if strange := sorted(set(self.passing_labels) - set(self.labels)):
            raise ValueError(f"passing_labels has {', '.join(strange)}, not among labels")
        return self


class ScoreModel(Part):
    type: Literal["score_model"]
    name: str = "score_model"
    model: str
    input: tuple[Said, ...] = Field(min_length=1)
    range: tuple[float, float] = (0.0, 1.0)
    pass_threshold: float | None = None
    sampling_params: Mapping[str, Any] = Field(default_factory=dict)
    """`temperature`, `top_p`, `seed`, `max_completions_tokens`; null is our default."""

    @model_validator(mode="after")
    def _wide(self) -> ScoreModel:
        if not self.range[0] < self.range[1]:
            raise ValueError(f"range is {list(self.range)}, expected the lower end first")
        return self


Single = Annotated[
    StringCheck | Similarity | PythonGrader | LabelModel | ScoreModel, Field(discriminator="type")
]


class Multi(Part):
    type: Literal["multi"]
    name: str = "multi"
    graders: Mapping[str, Single] = Field(min_length=1)
    calculate_output: str
    """Formula over the graders' names."""

    @model_validator(mode="after")
    def _computable(self) -> Multi:
        if strange := sorted(Formula(self.calculate_output).names - set(self.graders)):
            raise ValueError(f"calculate_output names {', '.join(strange)}, which is no grader")
        return self


Grader = Annotated[
    StringCheck | Similarity | PythonGrader | LabelModel | ScoreModel | Multi,
    Field(discriminator="type"),
]
