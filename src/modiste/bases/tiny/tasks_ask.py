"""Toy tasks that ask: find a value, choose a label, answer from a context, write JSON or SQL.

Labels are always named in the question and drawn anew each time, some of them made-up words, so
that the model learns to read the labels rather than to remember them. No label set here is that of
an example task of the package.
"""

# ruff: noqa: S608 - the SQL below is text to learn from; nothing runs it

import json
import random
from collections.abc import Sequence

from modiste.bases.tiny.shaped import (
    CITIES,
    COLOURS,
    DAYS,
    FIELDS,
    FIRST_NAMES,
    THINGS,
    code,
    made_up_word,
    name,
    number,
    record,
    words,
)
from modiste.bases.tiny.tasks_text import NUMBER_WORDS, Exchange, Source, Task, phrase

MONTHS = words("January February March April May June July August September October November")
OPPOSITES = words(
    "hot cold big small up down left right day night open closed fast slow old new wet dry full "
    "empty hard soft high low good bad light dark early late rich poor strong weak long short"
)
KINDS = {
    "animal": words("dog cat horse cow goat rabbit lion tiger wolf bear fox sheep mouse duck frog"),
    "fruit": words("apple pear plum grape lemon peach cherry melon fig banana mango berry"),
    "vehicle": words("car train bus ship boat truck bicycle plane tram wagon ferry"),
    "colour": COLOURS,
    "tool": words("hammer saw drill spade axe needle knife ladder brush pliers rake"),
    "clothing": words("hat coat shirt sock shoe glove scarf dress jacket belt boot"),
    "food": words("bread cheese soup rice butter pasta cake egg salad pie stew"),
    "city": CITIES,
    "day": DAYS,
    "name": FIRST_NAMES,
}
# Statements and requests in equal parts; {n} is a name, {c} a city, {d} a day, {t} a thing.
TOPICS = {
    "sports": "The team won the match in the last minute.|{n} ran the race in record time.|Our "
    "goalkeeper saved two shots on {d}.|{n} scored three goals against {c}.|The coach chose new "
    "players for {d}.|Who won the match in {c}?|Can you tell me when the race starts?|I want to "
    "join the football team in {c}.|Did {n} beat the champion on {d}?",
    "weather": "It will rain on {d}.|The wind was cold in {c}.|Snow fell all night in {c}.|A warm "
    "and sunny {d} is expected.|Thick fog covered {c}.|Will it snow in {c} on {d}?|Should {n} take "
    "an umbrella to {c}?|How hot is it in {c} today?|I need to know if a storm is coming.",
    "music": "The band played a new song in {c}.|{n} sings in the choir on {d}.|{n} tuned the "
    "violin before the concert.|The drummer was too loud.|I learned a tune on the piano.|Please "
    "play a song by {n}.|When is the concert in {c}?|How do I tune my violin?|I would like to "
    "hear the new album by {n}.",
    "cooking": "Boil the soup for ten minutes.|Add salt and butter to the pan.|{n} baked bread on "
    "{d}.|Cut the onions and fry them.|The stew needs more pepper.|How long should I boil an egg?|"
    "Can you give me a recipe for soup?|What spice goes with {n}'s stew?|I burned the cake again.",
    "travel": "We took the train to {c}.|Our plane to {c} leaves on {d}.|{n} hiked over the "
    "mountain.|The hotel in {c} was near the sea.|{n} packed a bag for {c}.|How do I get to {c} "
    "by train?|Can you find me a hotel in {c}?|I want to fly to {c} on {d}.|Is the road to {c} "
    "open?",
    "school": "The teacher gave us homework on {d}.|Pupils read the book aloud.|The exam was hard."
    "|{n} studies history in {c}.|The class learned to count.|When is the exam?|Can {n} help me "
    "with my homework?|I forgot my book in the classroom.|Which lesson do we have on {d}?",
    "animals": "The cat slept by the fire.|A horse ran across the field.|The dog of {n} barked all "
    "night.|Birds built a nest in the tree.|The cow gave fresh milk.|What do rabbits eat?|How old "
    "is the dog of {n}?|My cat does not want to eat.|Where do bears sleep in winter?",
    "garden": "The roses bloom in May.|{n} planted seeds on {d}.|Water the flowers every morning."
    "|The apple tree needs pruning.|Weeds grew along the path.|When should I plant the seeds?|How "
    "often do I water the roses?|My flowers are dry.|{n} wants to cut the hedge on {d}.",
    "home": "The {t} stands in the kitchen.|{n} painted the wall on {d}.|The roof leaks again.|We "
    "bought a new {t} for the bedroom.|The window does not close.|Who can repair my roof?|Where "
    "should I put the {t}?|{n} swept the floor.|I would like to paint the door.",
}
GOOD = "wonderful lovely great excellent happy pleasant delightful brilliant kind charming"
BAD = "terrible awful sad boring ugly nasty horrible dreadful poor disappointing"
SUBJECTS = words("film book meal garden song room story play house journey concert picture")


def classify_word(rng: random.Random, source: Source) -> Exchange:
    labels = rng.sample(sorted(KINDS), rng.randint(2, 5))
    answer = rng.choice(labels)
    forms = (
        "Which kind is {x}: {l}?",
        "Classify {x} as one of: {l}.",
        "Is {x} one of these: {l}? Answer with the label only.",
        "Labels: {l}\nWord: {x}\nLabel:",
    )
    question = phrase(rng, forms, x=rng.choice(KINDS[answer]), l=", ".join(labels))
    return Exchange("classify_word", question, answer)


def classify_topic(rng: random.Random, source: Source) -> Exchange:
    labels = rng.sample(sorted(TOPICS), rng.randint(2, 6))
    answer = rng.choice(labels)
    forms = (
        "What is this text about? Choose one of {l}.\n\n{x}",
        "Classify the text into one of these labels: {l}.\n\nText: {x}",
        "Text: {x}\nTopic ({l}):",
        "{x}\n\nWhich topic fits: {l}?",
        "Answer with one label only ({l}): {x}",
    )
    question = phrase(rng, forms, x=about(rng, answer), l=", ".join(labels))
    return Exchange("classify_topic", question, answer)


def about(rng: random.Random, topic: str) -> str:
    sentence = rng.choice(TOPICS[topic].split("|"))
    slots = {
        "n": name(rng),
        "c": rng.choice(CITIES),
        "d": rng.choice(DAYS),
        "t": rng.choice(THINGS),
    }
    return sentence.format(**slots)


def sentiment(rng: random.Random, source: Source) -> Exchange:
    good = rng.random() < 0.5
    word = rng.choice(words(GOOD if good else BAD))
    labels = rng.choice((("positive", "negative"), ("good", "bad"), ("happy", "unhappy")))
    text = rng.choice(("The {s} was {w}.", "What a {w} {s}!", "I found the {s} {w}.")).format(
        s=rng.choice(SUBJECTS), w=word
    )
    shown = list(labels) if rng.random() < 0.5 else list(reversed(labels))
    forms = (
        "Is this {a} or {b}? {x}",
        "Label the text as {a} or {b}: {x}",
        "{x}\n\nAnswer {a} or {b}.",
    )
    question = phrase(rng, forms, a=shown[0], b=shown[1], x=text)
    return Exchange("sentiment", question, labels[0] if good else labels[1])


def invented_labels(rng: random.Random, source: Source) -> Exchange:
    """A rule given in the question, with labels that mean nothing: reading is the only way."""
    kinds = rng.sample(sorted(KINDS), 2)
    labels = [made_up_word(rng), made_up_word(rng)]
    at = rng.randrange(2)
    question = (
        f"Answer {labels[0]} for a {kinds[0]} and {labels[1]} for a {kinds[1]}. "
        f"Word: {rng.choice(KINDS[kinds[at]])}"
    )
    return Exchange("invented_labels", question, labels[at])


def find_value(rng: random.Random, source: Source) -> Exchange:
    who, city, day = name(rng), rng.choice(CITIES), rng.choice(DAYS)
    thing, colour = rng.choice(THINGS), rng.choice(COLOURS)
    count, mark = str(rng.randint(2, 999)), code(rng)
    text = rng.choice(
        (
            f"{who} bought a {colour} {thing} in {city} on {day} for {count} dollars, code {mark}.",
            f"On {day}, {who} from {city} sold {count} pieces of a {colour} {thing} ({mark}).",
            f"Order {mark}: {count} times the {colour} {thing} for {who}, sent to {city} on {day}.",
            f"My name is {who} and I live in {city}. On {day} I lost my {colour} {thing}. "
            f"The code is {mark} and the number is {count}.",
        )
    )
    field, found = rng.choice(
        (
            ("name", who),
            ("city", city),
            ("day", day),
            ("colour", colour),
            ("thing", thing),
            ("code", mark),
            ("number", count),
        )
    )
    forms = (
        "Find the {f}: {x}",
        "What is the {f} in this text? {x}",
        "Extract the {f}.\n\n{x}",
        "{x}\n\nWhat is the {f}?",
    )
    return Exchange(f"find_{field}", phrase(rng, forms, f=field, x=text), found)


def who_has_what(rng: random.Random, source: Source) -> Exchange:
    people = list(dict.fromkeys(name(rng) for _ in range(rng.randint(2, 4))))
    has = {person: f"{rng.choice(COLOURS)} {rng.choice(THINGS)}" for person in people}
    facts = " ".join(f"{person} has a {what}." for person, what in has.items())
    kind = rng.choice(("what", "who", "unknown"))
    person = rng.choice(people)
    if kind == "what":
        return Exchange("what_has", f"{facts} What does {person} have?", f"A {has[person]}.")
    if kind == "who":
        answer = next(other for other in people if has[other] == has[person])
        return Exchange("who_has", f"{facts} Who has a {has[person]}?", f"{answer}.")
    stranger = made_up_word(rng).capitalize()
    return Exchange("unknown", f"{facts} What does {stranger} have?", "I do not know.")


def to_json(rng: random.Random, source: Source) -> Exchange:
    fields = rng.sample(FIELDS, rng.randint(1, 4))
    row = record(rng, fields)
    lines = "\n".join(f"{key}: {text}" for key, text in row.items())
    inline = ", ".join(f"{key} is {text}" for key, text in row.items())
    forms = (
        "Write as JSON:\n{x}",
        "Make a JSON object: {y}",
        "Turn this into JSON: {y}",
        "Give JSON with the keys {k}.\n\n{x}",
    )
    question = phrase(rng, forms, x=lines, y=inline, k=", ".join(fields))
    return Exchange("to_json", question, json.dumps(row))


def from_json(rng: random.Random, source: Source) -> Exchange:
    fields = rng.sample(FIELDS, rng.randint(2, 4))
    row = record(rng, fields)
    field = rng.choice(fields)
    forms = ("What is the {f} in {x}?", "{x}\nGive the {f}.", "Read the {f} from this JSON: {x}")
    return Exchange("from_json", phrase(rng, forms, f=field, x=json.dumps(row)), row[field])


def to_sql(rng: random.Random, source: Source) -> Exchange:
    table = rng.choice(words("people items orders books rooms teams trips shops"))
    columns = rng.sample(FIELDS, rng.randint(2, 5))
    asked, where = rng.sample(columns, 2)
    wanted = record(rng, [where])[where]
    kind = rng.choice(("select", "count", "all"))
    schema = f"Table {table}({', '.join(columns)}). "
    if kind == "count":
        question = f"{schema}Write SQL: how many {table} have {where} {wanted}?"
        return Exchange(
            "to_sql", question, f"SELECT COUNT(*) FROM {table} WHERE {where} = '{wanted}'"
        )
    if kind == "all":
        question = f"{schema}Write SQL: list the {asked} of all {table}."
        return Exchange("to_sql", question, f"SELECT {asked} FROM {table}")
    question = f"{schema}Write SQL: what is the {asked} where the {where} is {wanted}?"
    return Exchange("to_sql", question, f"SELECT {asked} FROM {table} WHERE {where} = '{wanted}'")


def compare(rng: random.Random, source: Source) -> Exchange:
    a, b = rng.sample(range(1, 100), 2)
    kind = rng.choice(("larger", "yes_no", "largest", "add"))
    if kind == "larger":
        return Exchange(kind, f"Which is larger, {a} or {b}?", str(max(a, b)))
    if kind == "yes_no":
        return Exchange("compare", f"Is {a} greater than {b}?", "Yes" if a > b else "No")
    if kind == "largest":
        numbers = rng.sample(range(1, 100), rng.randint(3, 5))
        which, answer = rng.choice((("largest", max(numbers)), ("smallest", min(numbers))))
        shown = ", ".join(map(str, numbers))
        return Exchange(kind, f"What is the {which} number in {shown}?", str(answer))
    a, b = rng.randint(0, 9), rng.randint(0, 9)
    form = rng.choice(("What is {a} + {b}?", "{a} + {b} =", "Add {a} and {b}."))
    return Exchange("add", form.format(a=a, b=b), str(a + b))


def small_facts(rng: random.Random, source: Source) -> Exchange:
    kind = rng.choice(("after", "before", "opposite", "word", "digit", "kind"))
    if kind in ("after", "before"):
        series, called = rng.choice(((DAYS, "day"), (MONTHS, "month")))
        at = rng.randrange(len(series) - 1)
        first, second = series[at], series[at + 1]
        given, answer = (first, second) if kind == "after" else (second, first)
        return Exchange("calendar", f"Which {called} comes {kind} {given}?", answer)
    if kind == "opposite":
        at = rng.randrange(len(OPPOSITES))
        forms = ("What is the opposite of {x}?", "Opposite of {x}?")
        return Exchange(kind, phrase(rng, forms, x=OPPOSITES[at]), OPPOSITES[at ^ 1])
    if kind == "kind":
        label = rng.choice(sorted(KINDS))
        right = rng.random() < 0.5
        shown = label if right else rng.choice([other for other in KINDS if other != label])
        item = rng.choice(KINDS[label])
        if not right and item in KINDS[shown]:
            right = True
        return Exchange("is_kind", f"Is {item} a {shown}?", "Yes" if right else "No")
    at = rng.randrange(len(NUMBER_WORDS))
    if kind == "word":
        return Exchange("number_word", f"Write {at} as a word.", NUMBER_WORDS[at])
    return Exchange("number_digit", f"Write {NUMBER_WORDS[at]} as a number.", str(at))


def greet_someone(rng: random.Random, source: Source) -> Exchange:
    who, amount = name(rng), number(rng)
    question, answer = rng.choice(
        (
            (f"Write a greeting to {who}.", f"Hello, {who}!"),
            (f"Say goodbye to {who}.", f"Goodbye, {who}!"),
            (f"Thank {who}.", f"Thank you, {who}!"),
            (f"Wish {who} a good day.", f"Have a good day, {who}!"),
            (f"Ask {who} for the number {amount}.", f"{who}, please give me the number {amount}."),
        )
    )
    return Exchange("greet_someone", question, answer)


ASK_TASKS: Sequence[Task] = (
    classify_word,
    classify_topic,
    classify_topic,
    sentiment,
    invented_labels,
    find_value,
    find_value,
    who_has_what,
    who_has_what,
    to_json,
    from_json,
    to_sql,
    compare,
    small_facts,
    greet_someone,
)
