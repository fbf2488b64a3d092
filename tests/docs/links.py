"""Find dead links in Markdown: files that are not there and headings that nobody wrote.

``python -m tests.docs.links FILE_OR_DIRECTORY...`` prints one line per dead link and exits with 1 if there is one.
Addresses on the network are not visited.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """Return the anchors that the usual Markdown renderers make of the headings of ``text``."""
    headings = re.findall(r"^#+ +(.+?) *$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(pages: Iterable[Path]) -> Iterator[str]:
    """Yield one sentence per link of ``pages`` that leads nowhere."""
    for page in pages:
        text = FENCE.sub("", page.read_text(encoding="utf-8"))
        for link in (first or second for first, second in LINK.findall(text)):
            if re.match(r"[a-z]+:", link):
                continue
            name, _, anchor = link.partition("#")
            target = page.parent / name if name else page
            if not target.exists():
                yield f"{page}: {link}: there is no {target}"
            elif anchor and anchor not in anchors(target.read_text(encoding="utf-8")):
                yield f"{page}: {link}: {target} has no heading #{anchor}"


def pages_below(arguments: Iterable[str]) -> list[Path]:
    """Return the Markdown files that the arguments name or hold."""
    return [
        page
        for argument in map(Path, arguments)
        for page in (sorted(argument.rglob("*.md")) if argument.is_dir() else [argument])
    ]


if __name__ == "__main__":
    dead = list(dead_links(pages_below(sys.argv[1:])))
    sys.stdout.write("".join(f"{line}\n" for line in dead))
    sys.exit(1 if dead else 0)
