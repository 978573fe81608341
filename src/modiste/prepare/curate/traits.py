"""What a text looks like by rules anyone can check: its structure, its tone, how hard it reads.

Rules see marks, not meaning: a polite text is one that says please in one of a few languages. They
are for shares over many texts, where a mistake in one does not count.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from modiste.types import Example, Role

_COMMANDS = """
    add analyse analyze answer arrange assess brainstorm build calculate categorise categorize
    change check choose cite classify combine compare complete compose compute construct
    continue convert correct count create critique define delete describe design determine
    develop discuss draft edit elaborate enumerate estimate evaluate examine expand explain
    explore extract fill find fix format generate give group help identify illustrate imagine
    implement improve insert invent judge justify label list make match modify name offer order
    organise organize outline paraphrase perform pick plan predict prepare present print produce
    propose provide rank rate read recommend reformulate remove rephrase replace restate return
    review revise rewrite score select separate show shorten simplify solve sort split state
    suggest summarise summarize take tell think transform translate turn use verify visualise
    visualize write schreibe schreib erkläre erklär übersetze fasse nenne gib finde erstelle
    beschreibe vergleiche écris écrivez explique expliquez traduis traduisez résume résumez
    donne donnez décris décrivez escribe explica traduce resume dame describe enumera crea
    scrivi spiega traduci riassumi dammi descrivi elenca
"""
COMMANDS = frozenset(_COMMANDS.split())
_ASKING = """
    what who whom whose which when where why how is are was were do does did can could will
    would should shall may has have had am wer wie was wo wann warum welche welcher welches ist
    sind kann kannst können qui que quoi quel quelle quels où quand comment pourquoi est-ce qué
    quién cómo dónde cuándo cuál chi che cosa come dove quando perché quale
"""
_QUESTIONS = frozenset(_ASKING.split())
_POLITE = re.compile(
    r"\b(please|thanks?|thank you|kindly|could you|would you|bitte|danke|könnten sie|merci|"
    r"s'il (?:vous|te) pla[iî]t|pourriez|por favor|gracias|podr[ií]a|per favore|grazie)\b"
)
_URGENT = re.compile(
    r"\b(asap|urgent(?:ly)?|immediately|right now|hurry|deadline|emergency|dringend|sofort|"
    r"eilig|au plus vite|urgence|urgente|subito|cuanto antes)\b"
)
_INFORMAL = re.compile(
    r"\b(hey|hi|yo|lol|omg|gonna|wanna|gotta|kinda|dunno|ya|yeah|nope|u|ur|pls|plz|thx|btw|idk|"
    r"ain't|y'all|dude|bro|cool|awesome|hallo|salut|coucou|hola|ciao)\b|[\U0001f300-\U0001faff☀-➿]"
    r"|[:;]-?[)(DP]"
)
_FORMAL = re.compile(
    r"\b(dear (?:sir|madam|mr|ms|mrs)|sincerely|hereby|pursuant|herewith|furthermore|regarding|"
    r"sehr geehrte|hiermit|mit freundlichen|madame|monsieur|veuillez|cordialement|estimad[oa]|"
    r"atentamente|egregio|gentile|distinti saluti)\b"
)
_UPSET = re.compile(
    r"\b(does ?n[o']t work|not working|still not|never works?|annoy(?:ed|ing)|frustrat\w+|angry|"
    r"terrible|worst|useless|ridiculous|unacceptable|complain\w*|refund|broken|hate|stupid|damn|"
    r"shit|fuck\w*|idiot\w*|crap|funktioniert nicht|nervt|ärgerlich|inacceptable|marche pas|"
    r"no funciona|inaceptable|non funziona|inaccettabile)\b"
)
_LISTED = re.compile(r"^\s*(?:[-*•]|\d{1,2}[.)]|[a-z][.)])\s+\S", re.MULTILINE)
_CODE = re.compile(
    r"```|^\s*(?:def|class) \w+.*:\s*$|^\s*(?:import [\w.]+|from [\w.]+ import .+)\s*$|^\s*#inc"
    r"|\bfunction ?\w*\(|\b(?:const|let|var) \w+ ?=|\breturn [^.;\n]*;|\)\s*\{\s*$|;\s*\n.*;\s*$"
    r"|\bSELECT\b.+\bFROM\b|\bINSERT INTO\b|\bCREATE TABLE\b|<\?php|</(?:html|div|p|span|script)>",
    re.MULTILINE,
)
_HEADING = re.compile(r"^#{1,6} \S|^\*\*[^*\n]+\*\*\s*$", re.MULTILINE)
_SENTENCE_END = re.compile(r"[.!?。！？؟]+(?:\s|$)|\n+|[。！？]")
_FIRST_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_MANY_WORDS = 150
_FEW_WORDS = 3
_LONGEST_CELL = 30

PROMPT_SHAPES = (
    "question", "command", "statement", "several parts", "list", "table", "code", "long context",
)  # fmt: skip
ANSWER_SHAPES = (
    "a few words", "sentence", "paragraphs", "list", "table", "code", "JSON", "headings",
)  # fmt: skip
CHAT_SHAPES = ("one turn", "dialogue", "system prompt", "tools")
TONES = ("polite", "informal", "formal", "urgent", "emphatic", "upset", "neutral")
READING = ("very easy", "easy", "medium", "hard", "very hard")
_LIX = (25, 35, 45, 55)


def _has_table(text: str) -> bool:
    """Three lines in a row with as many bars, tabs or commas as each other, at least two."""
    if text.count("\n") < 2:
        return False
    before, run = (0, ""), 0
    for line in text.splitlines():
        cut = next((c for c in "|\t," if line.count(c) > 1), "")
        shape = (line.count(cut), cut) if cut else (0, "")
        if cut == "," and max(map(len, line.split(","))) > _LONGEST_CELL:
            shape = (0, "")
        run = run + 1 if shape == before and shape[0] else 1
        before = shape
        if run > 2 and shape[0]:
            return True
    return False


def prompt_shapes(text: str) -> list[str]:
    """Which of `PROMPT_SHAPES` a request has; several at once."""
    first = _FIRST_WORD.search(text)
    opening = first.group().lower() if first else ""
    n_questions = text.count("?") + text.count("？") + text.count("؟")
    n_listed = len(_LISTED.findall(text))
    is_code = _CODE.search(text) is not None
    if is_code and first and first.group().isupper():  # `CREATE TABLE` asks nobody
        opening = ""
    found = {
        "question": n_questions > 0 or opening in _QUESTIONS,
        "command": opening in COMMANDS or _asks_to(text),
        "several parts": n_questions > 1 or n_listed > 1,
        "list": n_listed > 1,
        "table": _has_table(text),
        "code": is_code,
        "long context": len(text.split()) > _MANY_WORDS,
    }
    found["statement"] = not (found["question"] or found["command"])
    return [shape for shape in PROMPT_SHAPES if found[shape]]


def _asks_to(text: str) -> bool:
    """`Please write …`, and an instruction after a pasted text."""
    sentences = [part for part in _SENTENCE_END.split(text) if part.strip()]
    for sentence in (*sentences[:2], *sentences[-1:]):
        words = [w.lower() for w in _FIRST_WORD.findall(sentence)[:3] if not w.isupper()]
        if words and (
            words[0] in COMMANDS or (_POLITE.search(" ".join(words[:2])) and COMMANDS & {*words})
        ):
            return True
    return False


def answer_shapes(text: str) -> list[str]:
    """Which of `ANSWER_SHAPES` an answer has."""
    stripped = text.strip()
    n_words = len(stripped.split())
    found = {
        "a few words": 0 < n_words <= _FEW_WORDS,
        "list": len(_LISTED.findall(text)) > 1,
        "table": _has_table(text),
        "code": _CODE.search(text) is not None,
        "JSON": stripped[:1] in ("{", "[") and stripped[-1:] in ("}", "]"),
        "headings": _HEADING.search(text) is not None,
        "paragraphs": "\n\n" in stripped,
    }
    found["sentence"] = n_words > _FEW_WORDS and not any(found.values())
    return [shape for shape in ANSWER_SHAPES if found[shape]]


def chat_shapes(example: Example) -> list[str]:
    n_turns = sum(message.role is Role.ASSISTANT for message in example.messages)
    found = {
        "one turn": n_turns <= 1,
        "dialogue": n_turns > 1,
        "system prompt": any(message.role is Role.SYSTEM for message in example.messages),
        "tools": bool(example.tools) or any(m.tool_calls for m in example.messages),
    }
    return [shape for shape in CHAT_SHAPES if found[shape]]


def tones(text: str) -> list[str]:
    """Which of `TONES` a text has marks of."""
    lowered = text.lower()
    shouted = [word for word in text.split() if len(word) > 3 and word.isalpha() and word.isupper()]
    found = {
        "polite": _POLITE.search(lowered) is not None,
        "informal": _INFORMAL.search(lowered) is not None,
        "formal": _FORMAL.search(lowered) is not None,
        "urgent": _URGENT.search(lowered) is not None,
        "emphatic": "!!" in text or "?!" in text or 2 <= len(shouted) > len(text.split()) / 4,
        "upset": _UPSET.search(lowered) is not None,
    }
    found["neutral"] = not any(found.values())
    return [tone for tone in TONES if found[tone]]


def reading(text: str) -> str | None:
    """How hard a text reads (Björnsson's LIX, made for any language with spaces); None without."""
    words: Sequence[str] = _FIRST_WORD.findall(text)
    if not words:
        return None
    n_sentences = max(1, sum(1 for part in _SENTENCE_END.split(text) if part.strip()))
    long = sum(len(word) > 6 for word in words)
    lix = len(words) / n_sentences + 100 * long / len(words)
    return READING[sum(lix >= edge for edge in _LIX)]


def length_bin(n_words: int) -> str:
    """Doubling bins: `0`, `1`, `2-3`, `4-7`, …"""
    if n_words < 2:
        return str(n_words)
    low = 1 << (n_words.bit_length() - 1)
    return f"{low}-{2 * low - 1}"
