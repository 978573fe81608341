"""Toy tasks on a given text or list: repeat it, pick from it, count it, change its shape.

A task draws one question and the only answer that is right. The texts are CC0 prompt sentences of
Common Voice and made-up words; nothing here comes from a benchmark or from a user's task.
"""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from modiste.bases.tiny.shaped import (
    COLOURS,
    THINGS,
    code,
    made_up_word,
    name,
    number,
    value,
    words,
)

ORDINALS = words("first second third fourth fifth")
NUMBER_WORDS = words("zero one two three four five six seven eight nine ten eleven twelve")


@dataclass(frozen=True)
class Exchange:
    """One question with its answer; `task` names the maker, for scores by task."""

    task: str
    question: str
    answer: str


@dataclass(frozen=True)
class Source:
    """What questions are made of besides made-up words."""

    sentences: Sequence[str]
    passages: Sequence[tuple[str, str]]  # a paragraph and the one that follows it

    def sentence(self, rng: random.Random) -> str:
        return rng.choice(self.sentences)


Task = Callable[[random.Random, Source], Exchange]


def phrase(rng: random.Random, forms: Sequence[str], **slots: str) -> str:
    """One wording of several, its slots filled; sometimes more polite than it needs to be."""
    text = rng.choice(forms).format(**slots)
    if rng.random() < 0.12:
        text = f"Please {text[0].lower()}{text[1:]}"
    return text


def echo(rng: random.Random, source: Source) -> Exchange:
    text = rng.choice(
        (
            source.sentence(rng),
            source.sentence(rng),
            value(rng),
            " ".join(made_up_word(rng) for _ in range(rng.randint(1, 5))),
            f"{name(rng)} {number(rng)} {code(rng)}",
        )
    )
    forms = (
        "Repeat: {x}",
        "Repeat this: {x}",
        "Say: {x}",
        "Echo: {x}",
        'Say "{x}"',
        "Copy this text: {x}",
        "Write this again: {x}",
        "Repeat after me: {x}",
        "Print exactly this: {x}",
        'Repeat the text between quotes: "{x}"',
    )
    return Exchange("echo", phrase(rng, forms, x=text), text)


def say_times(rng: random.Random, source: Source) -> Exchange:
    text, times = rng.choice((made_up_word, name, value))(rng), rng.randint(2, 5)
    forms = ("Say {x} {n} times.", "Repeat {x} {n} times.", 'Write "{x}" {n} times.')
    question = phrase(rng, forms, x=text, n=rng.choice((str(times), NUMBER_WORDS[times])))
    return Exchange("say_times", question, " ".join([text] * times))


def nth_word(rng: random.Random, source: Source) -> Exchange:
    sentence = source.sentence(rng)
    parts = [part.strip(".,!?;:\"'") for part in sentence.split()]
    at = rng.randrange(min(len(parts), 4))
    which, answer = ORDINALS[at], parts[at]
    if rng.random() < 0.3:
        which, answer = "last", parts[-1]
    forms = (
        "What is the {w} word of: {x}",
        'What is the {w} word in "{x}"?',
        "Give the {w} word of this sentence: {x}",
        "Write only the {w} word: {x}",
    )
    return Exchange("nth_word", phrase(rng, forms, w=which, x=sentence), answer)


def count(rng: random.Random, source: Source) -> Exchange:
    items = _items(rng, 2, 8)
    forms = (
        "How many items are in this list: {x}?",
        "Count the items: {x}",
        "How many things do I name? {x}",
        "How many words are there: {y}",
    )
    question = phrase(rng, forms, x=", ".join(items), y=" ".join(items))
    return Exchange("count", question, str(len(items)))


def change_case(rng: random.Random, source: Source) -> Exchange:
    text = rng.choice((source.sentence(rng), name(rng), value(rng), made_up_word(rng)))
    if rng.random() < 0.6:
        forms = ("Write in uppercase: {x}", "Uppercase: {x}", 'Write "{x}" in capital letters.')
        return Exchange("uppercase", phrase(rng, forms, x=text), text.upper())
    forms = ("Write in lowercase: {x}", "Lowercase: {x}", 'Write "{x}" in small letters.')
    return Exchange("lowercase", phrase(rng, forms, x=text), text.lower())


def reorder(rng: random.Random, source: Source) -> Exchange:
    kind = rng.choice(("reverse", "sort", "sort_numbers"))
    if kind == "sort_numbers":
        numbers = rng.sample(range(1, 100), rng.randint(3, 5))
        by_size = ("Sort these numbers: {x}", "Put in order from small to large: {x}")
        question = phrase(rng, by_size, x=", ".join(map(str, numbers)))
        return Exchange(kind, question, ", ".join(map(str, sorted(numbers))))
    items = _items(rng, 3, 5)
    if kind == "sort":
        sorting = ("Sort alphabetically: {x}", "Sort these words from A to Z: {x}")
        return Exchange(kind, phrase(rng, sorting, x=", ".join(items)), ", ".join(sorted(items)))
    forms = ("Reverse this list: {x}", "Reverse the order: {x}", "Write the list backwards: {x}")
    return Exchange(kind, phrase(rng, forms, x=", ".join(items)), ", ".join(reversed(items)))


def reshape(rng: random.Random, source: Source) -> Exchange:
    items = [value(rng) for _ in range(rng.randint(2, 5))]
    shapes: Sequence[tuple[str, Sequence[str], str]] = (
        (
            "bullets",
            ("Make a bullet list: {x}", "Write as bullets: {x}", "List with dashes: {x}"),
            "\n".join(f"- {item}" for item in items),
        ),
        (
            "numbered",
            ("Make a numbered list: {x}", "Number these: {x}"),
            "\n".join(f"{at}. {item}" for at, item in enumerate(items, 1)),
        ),
        (
            "json_list",
            ("Make a JSON list: {x}", "Write as JSON: {x}", "Turn into a JSON array: {x}"),
            json.dumps(items),
        ),
        (
            "join_and",
            ('Join with "and": {x}', 'Put "and" between these: {x}'),
            " and ".join(items),
        ),
    )
    kind, forms, answer = rng.choice(shapes)
    return Exchange(kind, phrase(rng, forms, x=", ".join(items)), answer)


def pick_item(rng: random.Random, source: Source) -> Exchange:
    items = _items(rng, 3, 5)
    at = rng.randrange(len(items))
    which = "last" if at == len(items) - 1 else ORDINALS[at]
    forms = ("What is the {w} item: {x}", "Give me the {w} one: {x}", "Which item is {w}? {x}")
    return Exchange("pick_item", phrase(rng, forms, w=which, x=", ".join(items)), items[at])


def is_in_list(rng: random.Random, source: Source) -> Exchange:
    items = _items(rng, 3, 6)
    inside = rng.random() < 0.5
    asked = rng.choice(items) if inside else _other(rng, items)
    forms = (
        "Is {a} in this list: {x}?",
        "Does the list contain {a}? {x}",
        "Yes or no: is {a} among {x}?",
    )
    question = phrase(rng, forms, a=asked, x=", ".join(items))
    return Exchange("is_in_list", question, "Yes" if inside else "No")


def replace_word(rng: random.Random, source: Source) -> Exchange:
    items = _items(rng, 3, 6)
    old, new = rng.choice(items), _other(rng, items)
    forms = ("Replace {a} with {b}: {x}", "Change {a} to {b} in: {x}", "Put {b} for {a}: {x}")
    answer = ", ".join(new if item == old else item for item in items)
    return Exchange("replace_word", phrase(rng, forms, a=old, b=new, x=", ".join(items)), answer)


def remove_word(rng: random.Random, source: Source) -> Exchange:
    items = _items(rng, 3, 6)
    gone = rng.choice(items)
    forms = ("Remove {a} from: {x}", "Take {a} out of this list: {x}", "Leave out {a}: {x}")
    answer = ", ".join(item for item in items if item != gone)
    return Exchange("remove_word", phrase(rng, forms, a=gone, x=", ".join(items)), answer)


def wrap(rng: random.Random, source: Source) -> Exchange:
    text = rng.choice((value(rng), source.sentence(rng)))
    left, right, called = rng.choice(
        (('"', '"', "quotes"), ("(", ")", "brackets"), ("**", "**", "bold marks"), ("<", ">", "<>"))
    )
    question = phrase(rng, ("Put {c} around: {x}", "Write in {c}: {x}"), c=called, x=text)
    return Exchange("wrap", question, f"{left}{text}{right}")


def spell(rng: random.Random, source: Source) -> Exchange:
    word = rng.choice((made_up_word(rng), rng.choice(THINGS), rng.choice(COLOURS)))
    if rng.random() < 0.5:
        question = phrase(rng, ("Spell {x}.", "Spell the word {x}.", "Spell: {x}"), x=word)
        return Exchange("spell", question, " ".join(word))
    forms = ("What is the first letter of {x}?", "Give the first letter of {x}.")
    return Exchange("first_letter", phrase(rng, forms, x=word), word[0])


_LONG_FORMS = {
    "can't": "cannot",
    "don't": "do not",
    "doesn't": "does not",
    "didn't": "did not",
    "isn't": "is not",
    "wasn't": "was not",
    "won't": "will not",
    "I'm": "I am",
    "I've": "I have",
    "I'll": "I will",
    "you're": "you are",
    "we're": "we are",
    "they're": "they are",
    "it's": "it is",
}


def expand(rng: random.Random, source: Source) -> Exchange:
    """A sentence with a contraction, looked for among a few draws; an echo when none has one."""
    for _ in range(200):
        sentence = source.sentence(rng)
        short = [word for word in sentence.split() if word in _LONG_FORMS]
        if short:
            answer = " ".join(_LONG_FORMS.get(word, word) for word in sentence.split())
            forms = ("Write without short forms: {x}", "Expand the contractions: {x}")
            return Exchange("expand", phrase(rng, forms, x=sentence), answer)
    return echo(rng, source)


def go_on(rng: random.Random, source: Source) -> Exchange:
    given, following = rng.choice(source.passages)
    forms = (
        "Continue this text:\n\n{x}",
        "What comes next?\n\n{x}",
        "Go on with the story:\n\n{x}",
    )
    return Exchange("go_on", phrase(rng, forms, x=given), following)


def sentence_about(rng: random.Random, source: Source) -> Exchange:
    sentence = source.sentence(rng)
    topics = [
        word.strip(".,!?\"'") for word in sentence.split() if len(word) > 4 and word.islower()
    ]
    if not topics:
        return echo(rng, source)
    forms = ("Write a sentence about {x}.", 'Use "{x}" in a sentence.', "Say something with {x}.")
    return Exchange("sentence_about", phrase(rng, forms, x=rng.choice(topics)), sentence)


def _items(rng: random.Random, least: int, most: int) -> list[str]:
    draws: Sequence[Callable[[random.Random], str]] = (
        lambda r: r.choice(THINGS),
        lambda r: r.choice(COLOURS),
        made_up_word,
        name,
    )
    draw, wanted = rng.choice(draws), rng.randint(least, most)
    items: dict[str, None] = {}
    while len(items) < wanted:
        items[draw(rng)] = None
    return list(items)


def _other(rng: random.Random, items: Sequence[str]) -> str:
    while True:
        word = rng.choice((rng.choice(THINGS), made_up_word(rng), name(rng)))
        if word not in items:
            return word


TEXT_TASKS: Sequence[Task] = (
    echo,
    echo,
    say_times,
    nth_word,
    count,
    change_case,
    reorder,
    reshape,
    pick_item,
    is_in_list,
    replace_word,
    remove_word,
    wrap,
    spell,
    expand,
    go_on,
    sentence_about,
)
