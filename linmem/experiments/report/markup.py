"""Parts of a report: Markdown and figures as self-contained, accessible HTML.

A table gets a caption, headers with a scope, and a frame that scrolls horizontally, so that the page does not. A figure
is embedded in the page, with the description that `linmem.reporting.output.figure` stores in its metadata.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from markdown_it.token import Token

HEAD = 12  # characters above which a column header may wrap
LONG = 34  # characters above which a cell may wrap
_MARKS = str.maketrans("", "", "*_`")
CAPTION = 200  # characters below which a paragraph is the caption of the table that follows


class Picture(NamedTuple):
    """An embedded figure: its source as a data URI, its description, and its size in pixels."""

    source: str
    words: str
    width: int
    height: int


def html(markdown: str, name: str, level: int = 3) -> str:
    """Convert Markdown to HTML; `name` labels tables without a caption, `level` is the level of the first heading.

    Raises
    ------
    ImportError
        markdown-it-py is not installed.
    """
    try:
        from markdown_it import MarkdownIt
    except ImportError:
        raise ImportError(
            "the report requires markdown-it-py. Install it with pip install 'linear-memory-networks[report]'."
        ) from None
    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")  # a picture could be fetched
    tokens = reader.parse(markdown)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + level - 1)}"
    return str(reader.renderer.render(list(_framed(tokens, name)), reader.options, {}))


def picture(path: Path, name: str) -> Picture:
    """Read a PNG; without a description in its metadata, `name` refers to the table with its numbers."""
    from PIL import Image

    with Image.open(path) as image:
        (width, height), words = image.size, str(image.info.get("Description") or f"{name}, as in the table")
    return Picture("data:image/png;base64," + base64.b64encode(path.read_bytes()).decode(), words, width, height)


def _framed(tokens: Sequence[Token], name: str) -> Iterator[Token]:
    """Put each table into a scrollable frame; a short paragraph before the table becomes its caption."""
    from markdown_it.token import Token

    i, tables = 0, 0
    while i < len(tokens):
        named = [token.type for token in tokens[i : i + 4 : 3]] == ["paragraph_open", "table_open"]
        words = [tokens[i + 1]] if named and len(tokens[i + 1].content) <= CAPTION else []
        if not words and tokens[i].type != "table_open":
            yield tokens[i]
            i += 1
            continue
        start = i + 3 if words else i
        end = next(j for j in range(start, len(tokens)) if tokens[j].type == "table_close")
        tables += 1
        label = words[0].content.translate(_MARKS).strip(": ") if words else f"{name}, table {tables}"
        attrs: dict[str, str | int | float] = {"class": "frame", "role": "region", "tabindex": "0", "aria-label": label}
        yield from (Token("frame_open", "div", 1, attrs=attrs, block=True), tokens[start])
        if words:
            yield from (Token("caption_open", "caption", 1), *words, Token("caption_close", "caption", -1, block=True))
        yield from _with_headers(tokens[start + 1 : end + 1])
        yield Token("frame_close", "div", -1, block=True)
        i = end + 1


def _with_headers(table: Sequence[Token]) -> Sequence[Token]:
    """Give the headers of columns and rows a scope; align columns with long text left and let them wrap."""
    cells, column = [], 0
    for i, token in enumerate(table):
        column = 0 if token.type == "tr_open" else column
        if token.type in ("th_open", "td_open"):
            cells.append((column, i))
            column += 1
    long = {column for column, i in cells if table[i].type == "td_open" and len(table[i + 1].content) > LONG}
    for column, i in cells:
        if table[i].type == "th_open":
            table[i].attrSet("scope", "col")
            if len(table[i + 1].content) > HEAD:
                table[i].attrSet("class", "wrap")
        elif column == 0:
            table[i].tag = table[i + 2].tag = "th"
            table[i].attrSet("scope", "row")
        if column in long:
            table[i].attrs.pop("style", None)
            table[i].attrJoin("class", "long")
    return table
