"""A preference row as the two conversations it stands for: one question, the answer preferred and
the one that is not.

What the assistant said before, in the question, is context of both and trained in neither.
"""

from __future__ import annotations

from dataclasses import replace

from modiste.types import Example, Role, SampleType


def conversations(example: Example) -> list[tuple[str, Example]]:
    """`chosen` and `rejected`, each as a chat; any other row as it is, without a name."""
    if example.sample_type is not SampleType.PREFERENCE:
        return [("", example)]
    asked = tuple(replace(m, weight=0) if m.role is Role.ASSISTANT else m for m in example.messages)
    return [
        (
            name,
            replace(
                example,
                sample_type=SampleType.INSTRUCT,
                messages=(*asked, *answer),
                chosen=(),
                rejected=(),
            ),
        )
        for name, answer in (("chosen", example.chosen), ("rejected", example.rejected))
    ]
