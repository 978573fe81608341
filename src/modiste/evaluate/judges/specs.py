"""A judge from a file: one of the kinds, with everything that is wrong said at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, RootModel

from modiste.evaluate.judges.forms import ArenaHardSpec, MtBenchPairSpec, RubricPairSpec
from modiste.evaluate.judges.pairwise import PairwiseSpec
from modiste.evaluate.judges.panel import PanelSpec
from modiste.evaluate.judges.pointwise import MtBenchSingleSpec, RubricSpec
from modiste.prepare.checked import checked
from modiste.prepare.yaml_file import read_mapping

AnyJudgeSpec = Annotated[
    PairwiseSpec
    | MtBenchPairSpec
    | RubricPairSpec
    | ArenaHardSpec
    | RubricSpec
    | MtBenchSingleSpec
    | PanelSpec,
    Field(discriminator="kind"),
]


class _Judge(RootModel[AnyJudgeSpec]):
    pass


def parse_judge(config: Mapping[str, Any], *, where: str = "judge") -> AnyJudgeSpec:
    """
    Raises:
        InvalidInput: with every field that is wrong.
    """
    return checked(_Judge, dict(config), file=where).root


def read_judge(path: Path) -> AnyJudgeSpec:
    """A judge of a YAML file; relative paths within it are relative to it.

    Raises:
        InvalidInput: as `parse_judge`, or no YAML.
    """
    config = read_mapping(path, expected="a judge: kind, model, criteria, …")
    if isinstance(prompts := config.get("prompts"), str):
        config["prompts"] = str(path.parent / prompts)
    config.setdefault("name", path.stem)
    return parse_judge(config, where=str(path))
