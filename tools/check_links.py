"""Check the links inside a built site: every page, picture and anchor that a page refers to exists.

    python tools/check_links.py docs/_build/html

Addresses on the network are not requested.
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The anchors and the references of one page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = {""}
        self.references: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect what the tag names and what it refers to."""
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.anchors.add(value)
            elif name in ("href", "src", "poster") and value:
                self.references.append(value)


def broken_links(root: Path) -> list[str]:
    """Return one line per reference whose file or anchor does not exist."""
    pages = {path: Page(path.read_text("utf-8")) for path in sorted(root.rglob("*.html"))}
    broken = []
    for path, page in pages.items():
        for reference in page.references:
            parts = urlsplit(reference)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            known = pages.get(target)
            if not target.exists() or (known and unquote(parts.fragment) not in known.anchors):
                broken.append(f"{path.relative_to(root)}: {reference}")
    return broken


if __name__ == "__main__":
    folder = Path(sys.argv[1]).resolve()
    if not folder.is_dir():
        sys.exit(f"folder must be a built site, got {folder}. Run: make docs")
    found = broken_links(folder)
    print("\n".join(found) or f"all links inside {folder.name} lead to a page and an anchor")
    sys.exit(bool(found))
