"""From what the parser read to HTML in which nothing runs, loads or hides."""

import re
from collections import Counter
from html import escape

import nh3
from markdown_it.token import Token

from webapp.rendering import maths
from webapp.rendering.bounds import elements, within
from webapp.rendering.colours import WHOLE, coloured
from webapp.rendering.pieces import PIECE, parts, pieces, weight

PART = 8000  # characters of HTML that are laid out together, in a text that is longer
PIECE_OPEN = "<span class=piece>"
DIRECTED = "dir=auto"
BLOCKS = {
    "paragraph_open": f"<p {DIRECTED}>",
    "paragraph_close": "</p>",
    "bullet_list_open": "<ul>",
    "bullet_list_close": "</ul>",
    "ordered_list_open": "<ol>",
    "ordered_list_close": "</ol>",
    "blockquote_open": "<blockquote>",
    "blockquote_close": "</blockquote>",
    "table_open": "<div class=wide><table>",
    "table_close": "</table></div>",
    "hr": "<hr>",
}
SPANS = {
    "em_open": "<em>", "em_close": "</em>", "strong_open": "<strong>",
    "strong_close": "</strong>", "s_open": "<del>", "s_close": "</del>",
}  # fmt: skip
HTML = {
    "a", "bdi", "blockquote", "br", "code", "del", "div", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr",
    "li", "ol", "p", "pre", "span", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
DIR, CLASS = {"dir"}, {"class"}
ATTRIBUTES = {
    "a": {"href", "target", "referrerpolicy"},
    "bdi": {"class", "data-host"},
    "li": {"dir", "value"},
    "ol": {"start"},
    "td": DIR | CLASS,
    "th": DIR | CLASS,
    **dict.fromkeys(("h1", "h2", "h3", "h4", "h5", "h6", "p"), DIR),
    **dict.fromkeys(("div", "pre", "span"), CLASS),
    **maths.ALLOWED,
}
SAFE = nh3.Cleaner(
    tags=HTML | maths.TAGS,
    attributes=ATTRIBUTES,
    url_schemes={"https", "mailto"},
    link_rel="noopener noreferrer nofollow",
)
ALIGNED = {"text-align:right": "r", "text-align:center": "c"}


class Writer:
    """Writes one text's tokens; notes what it shows, and which markers it shows as something else."""

    def __init__(self, source: str) -> None:
        self.lines = source.split("\n")
        self.parts: list[str] = []
        self.shown: list[str] = []
        self.markers: Counter[str] = Counter()
        self.coloured = 0
        self.weighs: int | None = None  # of the piece that is written, in a long line
        self.numbers: list[int] = []  # the next number of each open list
        self.elements = self.counted = 0  # elements in so many of the parts

    def html(self, tokens: list[Token]) -> str:
        """All of it, clean."""
        blocks: list[str] = []
        for token in tokens:
            self._block(token)
            self._count()
            if token.level == 0 and token.nesting <= 0:
                blocks.append("".join(self.parts))
                self.parts.clear()
                self.counted = 0
        made = SAFE.clean("".join(_in_parts(blocks)))
        within(elements(made))
        return made

    def _count(self) -> None:
        """Go no further than a rendering may hold."""
        new = "".join(self.parts[self.counted :])
        self.elements = within(self.elements + elements(new))
        self.counted = len(self.parts)

    def _block(self, token: Token) -> None:
        writes = getattr(self, f"_{token.type}", None)
        if token.hidden:
            self.shown.append("\n")
        elif writes is not None:
            writes(token)
        else:
            self.parts.append(BLOCKS.get(token.type) or _tag(token))

    def _say(self, text: str) -> None:
        self.parts.append(escape(text))
        self.shown.append(text)

    def _inline(self, token: Token) -> None:
        self.weighs = 0 if weight(token.content) > 2 * PIECE else None
        self.parts.append("" if self.weighs is None else PIECE_OPEN)
        for child in token.children or []:
            self._make_room(child)
            if (writes := getattr(self, f"_{child.type}", None)) is not None:
                writes(child)
            else:
                self.parts.append(SPANS[child.type])
                self.markers.update(child.markup)
            self._count()
        self.parts.append("" if self.weighs is None else "</span>")
        self.weighs = None
        self.shown.append("\n")

    def _make_room(self, token: Token) -> None:
        """Begin a new piece of a long line before what is not within another element."""
        if self.weighs is None:
            return
        weighs = len(token.info) + weight(token.content)
        if token.type != "text" and not token.level and token.nesting >= 0:
            self._cut(weighs)
        elif token.type != "text" or token.level:
            self.weighs += weighs

    def _cut(self, weighs: int) -> None:
        if self.weighs and self.weighs + weighs > PIECE:
            self.parts.append(f"</span>{PIECE_OPEN}")
            self.weighs = 0
        self.weighs = (self.weighs or 0) + weighs

    def _text(self, token: Token) -> None:
        if self.weighs is None or token.level:
            self._say(token.content)
            return
        for part in parts(token.content):
            self._cut(weight(part))
            self._say(part)

    def _code_inline(self, token: Token) -> None:
        self.parts.append("<code>")
        self._say(token.content)
        self.parts.append("</code>")
        self.markers.update(token.markup * 2)

    def _maths(self, token: Token) -> None:
        self.parts.append(token.info)
        self.shown.append(token.content)

    def _link_open(self, token: Token) -> None:
        href = escape(str(token.attrs["href"]))
        self.parts.append(f'<a href="{href}" target=_blank referrerpolicy=no-referrer>')
        self.markers.update("<" if token.markup else "[")

    def _link_close(self, token: Token) -> None:
        self.parts.append("</a>")
        self.markers.update(">" if token.markup else "]")
        if token.content or token.info:
            host = f' data-host="{escape(token.info)}"' if token.info else ""
            self.parts.append(f" <bdi class=to{host}>")
            self._say(token.content)
            self.parts.append("</bdi>")

    def _heading_open(self, token: Token) -> None:
        self.parts.append(f"<{token.tag} {DIRECTED}>")
        self.markers.update(token.markup)

    def _hr(self, token: Token) -> None:
        self.parts.append("<hr>")
        self.markers.update(self._lines_of(token))

    def _blockquote_open(self, token: Token) -> None:
        self.parts.append("<blockquote>")
        self.markers[">"] += self._lines_of(token).count("\n") + 1

    def _ordered_list_open(self, token: Token) -> None:
        start = int(token.attrs.get("start", 1))
        self.numbers.append(start)
        self.parts.append("<ol>" if start == 1 else f"<ol start={start}>")

    def _ordered_list_close(self, token: Token) -> None:
        self.numbers.pop()
        self.parts.append("</ol>")

    def _list_item_open(self, token: Token) -> None:
        if not token.info:
            self.parts.append(f"<li {DIRECTED}>")
            self.markers.update(token.markup)
            return
        number = int(token.info)
        value = "" if number == self.numbers[-1] else f" value={number}"
        self.numbers[-1] = number + 1
        self.parts.append(f"<li{value} {DIRECTED}><span class=n>")
        self._say(f"{token.info}{token.markup}")
        self.parts.append("</span><div>")

    def _list_item_close(self, token: Token) -> None:
        self.parts.append("</li>" if token.markup in "-+*" else "</div></li>")

    def _fence(self, token: Token) -> None:
        self.markers.update(token.markup * 2)
        if info := token.info.strip(" \t"):
            self.parts.append("<div class=lang>")
            self._say(info)
            self.parts.append("</div>")
        self.shown.append("\n")
        self._code(token.content, (token.info.split() or [""])[0])

    def _code_block(self, token: Token) -> None:
        self._code(token.content, "")

    def _code(self, code: str, language: str) -> None:
        self.parts.append("<pre><code>")
        tokens = None
        if language and self.coloured + len(code) <= WHOLE:
            self.coloured += len(code)
            tokens = coloured(code.rstrip("\n"), language)
        for kind, text in tokens or _plain(code.rstrip("\n")):
            self.parts.append(f"<span class={kind}>" if kind else "")
            self._say(text)
            self.parts.append("</span>" if kind else "")
        self.parts.append("</code></pre>")
        self.shown.append("\n")

    def _table_open(self, token: Token) -> None:
        self.parts.append(BLOCKS["table_open"])
        lines = self._lines_of(token)
        self.markers["|"] += lines.count("|")
        self.markers.update(re.findall("[-:]", lines.split("\n")[1]))

    def _th_open(self, token: Token) -> None:
        aligned = ALIGNED.get(str(token.attrs.get("style")))
        named = f" class={aligned}" if aligned else ""
        self.parts.append(f"<{token.tag} {DIRECTED}{named}>")

    _td_open = _th_open

    def _lines_of(self, token: Token) -> str:
        first, last = token.map or (0, 0)
        return "\n".join(self.lines[first:last])


def _plain(code: str) -> list[tuple[str, str]]:
    """Code without colours, in pieces where it is long."""
    if weight(code) <= 2 * PIECE:
        return [("", code)]
    return [("piece", each) for each in pieces(code)]


def _tag(token: Token) -> str:
    return f"<{'/' if token.nesting < 0 else ''}{token.tag}>"


def _in_parts(blocks: list[str]) -> list[str]:
    """The blocks, of a long text in parts that a browser lays out one by one."""
    if sum(map(len, blocks)) <= 2 * PART:
        return blocks
    parts, size = ["<div class=part>"], 0
    for block in blocks:
        if size > PART:
            parts.append("</div><div class=part>")
            size = 0
        parts.append(block)
        size += len(block)
    return [*parts, "</div>"]
