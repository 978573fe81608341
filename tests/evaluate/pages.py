"""What every page of a report has to be."""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = {"meta", "br", "line"}
SCRIPT = "<script>alert(1)</script>"


class Tags(HTMLParser):
    """Whether tags close in the order they were opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def checked(page: str) -> Tags:
    """A page that is whole and reaches for nothing."""
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert not {"script", "img", "link", "iframe", "form"} & set(tags.seen)
    assert not re.findall(r"""(?:src|href)=["']?(?!#)""", page)
    return tags
