"""Generated text that rewards copying: records, tables, lists and quotations of made-up values.

A model of this size learns grammar from books long before it learns to repeat a rare name or a
number. Every document here states values once and then states them again in another shape, so the
only way to a low loss on the second half is to copy. Nothing here is a fact about the world.
"""

import json
import random
from collections.abc import Callable, Sequence


def words(text: str) -> list[str]:
    return text.split()


_ONSETS = words("b c d f g h j k l m n p r s t v w z br cr dr fr gr pl pr sl st tr th sh ch kl sk")
_VOWELS = words("a e i o u ai ea ei oa ou ee oo")
_CODAS = ["", "", "", "n", "r", "l", "s", "t", "m", "nd", "rt", "ck", "ll", "x", "th"]
FIRST_NAMES = words(
    "Anna Ben Clara David Elena Frank Grace Henry Iris Jack Karen Leo Maria Nora Oscar Paula "
    "Quentin Rosa Samuel Tina Ursula Victor Wendy Xavier Yusuf Zoe Alice Bruno Carmen Diego Emma "
    "Felix Gina Hugo Ida James Kofi Laura Marco Nadia Olga Peter Ravi Sofia Tom Uma Vera Walter "
    "Amara Chen Fatima Jonas Lin Mei Omar Priya Rachel Sven Tariq Yara"
)
THINGS = words(
    "apple bread candle door egg fish garden hammer island jacket kettle lamp mirror needle "
    "orange pencil quilt river shoe table umbrella violin window yarn zebra basket clock drum "
    "engine feather glove hat ink jar key ladder map nest oven piano ring spoon tent vase wheel "
    "book chair desk flower goat horse knife lemon money onion paper rabbit stone tree wagon "
    "bottle carpet"
)
COLOURS = words("red green blue yellow black white brown grey purple orange pink silver")
CITIES = words(
    "Paris London Rome Madrid Berlin Vienna Oslo Lisbon Dublin Athens Cairo Lima Quito Tokyo Delhi "
    "Boston Chicago Denver Dallas Sydney Toronto Havana Nairobi Geneva Prague Warsaw Milan Lyon"
)
FIELDS = words("name city colour number code item price day owner size note street room team")
DAYS = words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")


def made_up_word(rng: random.Random) -> str:
    parts = [rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS)]
    parts += [rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(rng.choice((0, 1, 1, 2)))]
    return "".join(reversed(parts))


def name(rng: random.Random) -> str:
    first = rng.choice(FIRST_NAMES)
    if rng.random() < 0.4:
        first = made_up_word(rng).capitalize()
    return f"{first} {made_up_word(rng).capitalize()}" if rng.random() < 0.5 else first


def number(rng: random.Random) -> str:
    return str(rng.randrange(10 ** rng.choice((1, 2, 2, 3, 3, 4, 5, 6))))


def code(rng: random.Random) -> str:
    letters = "".join(rng.choice("ABCDEFGHJKLMNPQRSTUVWXYZ") for _ in range(rng.choice((1, 2, 3))))
    return f"{letters}{rng.choice(('', '-', '-'))}{rng.randrange(10, 9_999)}"


def value(rng: random.Random) -> str:
    kinds: Sequence[Callable[[random.Random], str]] = (
        name,
        number,
        code,
        made_up_word,
        lambda r: r.choice(THINGS),
        lambda r: r.choice(CITIES),
        lambda r: f"{r.choice(COLOURS)} {r.choice(THINGS)}",
    )
    return rng.choice(kinds)(rng)


def record(rng: random.Random, fields: Sequence[str]) -> dict[str, str]:
    by_field: dict[str, Callable[[random.Random], str]] = {
        "name": name,
        "owner": name,
        "city": lambda r: r.choice(CITIES),
        "colour": lambda r: r.choice(COLOURS),
        "number": number,
        "price": number,
        "code": code,
        "item": lambda r: r.choice(THINGS),
        "day": lambda r: r.choice(DAYS),
    }
    return {field: by_field.get(field, value)(rng) for field in fields}


def shaped_document(rng: random.Random) -> str:
    makers = (_records, _table_then_json, _list_again, _quotation, _lookup, _spelling)
    return rng.choice(makers)(rng)


def _records(rng: random.Random) -> str:
    fields = rng.sample(FIELDS, rng.randint(2, 4))
    rows = [record(rng, fields) for _ in range(rng.randint(1, 4))]
    plain = "\n\n".join("\n".join(f"{k}: {v}" for k, v in row.items()) for row in rows)
    again = "\n".join(json.dumps(row) for row in rows)
    return f"{plain}\n\n{again}" if rng.random() < 0.6 else f"{again}\n\n{plain}"


def _table_then_json(rng: random.Random) -> str:
    fields = rng.sample(FIELDS, rng.randint(2, 4))
    rows = [record(rng, fields) for _ in range(rng.randint(2, 5))]
    head = "| " + " | ".join(fields) + " |\n|" + " --- |" * len(fields)
    table = "\n".join("| " + " | ".join(row.values()) + " |" for row in rows)
    return f"{head}\n{table}\n\n{json.dumps(rows)}"


def _list_again(rng: random.Random) -> str:
    items = [value(rng) for _ in range(rng.randint(3, 7))]
    bullets = "\n".join(f"- {item}" for item in items)
    shape = rng.choice(("commas", "numbers", "reverse", "json", "upper"))
    if shape == "commas":
        return f"{bullets}\n\nIn one line: {', '.join(items)}."
    if shape == "numbers":
        numbered = "\n".join(f"{at}. {item}" for at, item in enumerate(items, 1))
        return f"{bullets}\n\nNumbered:\n{numbered}"
    if shape == "reverse":
        return f"In order: {', '.join(items)}.\nIn reverse: {', '.join(reversed(items))}."
    if shape == "json":
        return f"{', '.join(items)}\n{json.dumps(items)}"
    return f"{', '.join(items)}\n{', '.join(items).upper()}"


def _quotation(rng: random.Random) -> str:
    who, what = name(rng), " ".join(made_up_word(rng) for _ in range(rng.randint(2, 5)))
    return (
        f'{who} said: "{what}." The clerk wrote down "{what}" and read it back. '
        f'"{what}?" "Yes," said {who}, "{what}."'
    )


def _lookup(rng: random.Random) -> str:
    people = list(dict.fromkeys(name(rng) for _ in range(rng.randint(3, 6))))
    has = {person: value(rng) for person in people}
    verb = rng.choice(("has", "wants", "bought", "found"))
    facts = " ".join(f"{person} {verb} {what}." for person, what in has.items())
    order = rng.sample(people, len(people))
    return f"{facts}\n" + "\n".join(f"{person} → {has[person]}" for person in order)


def _spelling(rng: random.Random) -> str:
    words = [rng.choice((made_up_word, name, code))(rng) for _ in range(rng.randint(2, 4))]
    return "\n".join(f"{word}: {' '.join(word.replace(' ', ''))}: {word}" for word in words)
