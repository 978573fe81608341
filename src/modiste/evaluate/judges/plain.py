"""An answer without its Markdown: the same words, and nothing that only makes them look better."""

from __future__ import annotations

import re

FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
LINE = re.compile(r"^ {0,3}(?:#{1,6}[ \t]+|>[ \t]?)+")
BULLET = re.compile(r"^([ \t]*)[*+-][ \t]+(?:\[[ xX]\][ \t]+)?")
RULE = re.compile(r"^ {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$")
TABLE_RULE = re.compile(r"^[ \t]*\|?(?:[ \t]*:?-{3,}:?[ \t]*\|)+(?:[ \t]*:?-{3,}:?[ \t]*)?$")
LINK = re.compile(r"!?\[([^\]\n]+)\]\(([^)\s]+)(?:\s+\"[^\"\n]*\")?\)")
EMPHASIS = re.compile(r"(?<![\w*])(\*{1,3})(?=\S)([^*\n]+?)(?<=\S)\1(?![\w*])")
UNDERLINE = re.compile(r"(?<!\w)(_{1,3})(?=\S)([^_\n]+?)(?<=\S)\1(?!\w)")
CODE = re.compile(r"(`+)([^`\n]+?)\1")


def without_markdown(text: str) -> str:
    """Headings, bullets, emphasis, quotes, rules, tables and code marks gone; the words stay.

    What stands in a fenced block stays as it is; an address stays behind the words of its link.
    """
    lines: list[str] = []
    fence = ""
    for line in text.split("\n"):
        mark = FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence) and not line.strip(" `~"):
                fence = ""
            else:
                lines.append(line)
        elif mark:
            fence = mark[1]
        elif not RULE.match(line) and not TABLE_RULE.match(line):
            lines.append(_line(line))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")


def _line(line: str) -> str:
    line = LINE.sub("", line)
    line = BULLET.sub(r"\1", line)
    if line.lstrip().startswith("|") and line.rstrip().endswith("|"):
        line = "  ".join(cell.strip() for cell in line.strip().strip("|").split("|"))
    line = LINK.sub(lambda found: f"{found[1]} ({found[2]})", line)
    parts = CODE.split(line)
    # Three pieces for each code span: what stands before it, its ticks, its text.
    for at in range(0, len(parts), 3):
        parts[at] = UNDERLINE.sub(r"\2", EMPHASIS.sub(r"\2", parts[at]))
        if at + 1 < len(parts):
            parts[at + 1] = ""
    return "".join(parts)
