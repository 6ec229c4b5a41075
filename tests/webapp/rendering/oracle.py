"""What a page shows against what was written: one walk over the HTML as a browser reads it.

Knows nothing of how it was made. Every character of the source must be met in order, as text of the page or
as the marker of the element that stands at that place; white space within a line too.
"""

import re
from html.parser import HTMLParser

MARKS = {"strong": "**", "em": "*", "del": "~~"}
INLINE = {"a", "code", "bdi", "span", "math", *MARKS}
BY = {
    "th": "cell",
    "td": "cell",
    **dict.fromkeys(MARKS, "mark"),
    **{f"h{n}": "heading" for n in range(1, 7)},
}
TEX = [(r"\(", r"\)"), (r"\[", r"\]"), ("$$", "$$"), ("$", "$")]
VOID = {"hr", "br"}
FENCE = re.compile(r"(`{3,}|~{3,})[ \t]*")
GAP = re.compile(r"[ \t\n]*")
RULE = re.compile(r"([-*_])[ \t]*(?:\1[ \t]*){2,}")
TABLE_RULE = re.compile(r"[ \t]*\|?[ \t:|-]+")


class Unshown(AssertionError):
    """A character that is not where the page says."""


class Walk(HTMLParser):
    """Follows a page's elements and texts through the source."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.source, self.at = source, 0
        self.open: list[tuple[str, str, str]] = []  # tag, class, its marker
        self.loose = True  # white space may be passed: a block or a marker has just been met
        self.links: list[str] = []
        self.starts: list[int] = []  # the numbers that the elements give
        self.fence = ""

    def expect(self, pattern: str, what: str) -> str:
        found = re.compile(pattern).match(self.source, self.at)
        if found is None:
            raise Unshown(f"{what}: {pattern} is not at {self.source[self.at : self.at + 40]!r}")
        self.at = found.end()
        return found[0]

    def gap(self) -> None:
        """White space and the `>` of quotes between blocks."""
        while True:
            self.at = GAP.match(self.source, self.at).end()
            if not (self.depth("blockquote") and self.source.startswith(">", self.at)):
                return
            self.at += 1

    def depth(self, *tags: str) -> int:
        return sum(tag in tags for tag, _, _ in self.open)

    def inner(self):
        """Whether lists or quotes put something before this line."""
        return self.depth("blockquote", "li", "td", "th", "h1", "h2", "h3", "h4", "h5", "h6")

    def handle_starttag(self, tag, attrs):
        if not self.depth("math"):
            given = dict(attrs)
            if tag in INLINE - {"span"} and self.loose and not self.depth("pre"):
                self.begin()
            mark = (
                getattr(self, f"start_{BY.get(tag, tag)}", lambda tag, given: "")(tag, given) or ""
            )
            self.loose = self.loose or tag not in INLINE
        else:
            mark, given = "", {}
        if tag not in VOID:
            self.open.append((tag, given.get("class") or "", mark))

    def start_mark(self, tag, given):
        return self.expect(re.escape(MARKS[tag]), tag)

    def start_code(self, tag, given):
        return "" if self.depth("pre") else self.expect("`+", tag)

    def start_a(self, tag, given):
        self.links.append(given["href"])
        return self.expect(r"[\[<]", tag)

    def start_heading(self, tag, given):
        self.gap()
        self.expect("#" * int(tag[1]) + "(?!#)", tag)

    def start_hr(self, tag, given):
        self.gap()
        self.expect(RULE.pattern, tag)

    def start_ol(self, tag, given):
        self.starts.append(int(given.get("start", 1)))

    def start_li(self, tag, given):
        self.gap()
        if self.open[-1][0] == "ul":
            self.expect("[-+*]", tag)
        elif "value" in given:
            self.starts[-1] = int(given["value"])

    def start_div(self, tag, given):
        if given.get("class") == "lang":
            self.gap()
            self.fence = self.expect(FENCE.pattern, "fence").strip()

    def start_pre(self, tag, given):
        here = self.at
        if not self.fence:
            self.gap()
            line = self.source[self.source.rfind("\n", 0, self.at) + 1 : self.at]
            indented = not self.inner() and len(line.expandtabs(4)) > 3
            found = None if indented else FENCE.match(self.source, self.at)
            self.fence, self.at = (found[1], found.end()) if found else ("", here)

    def start_cell(self, tag, given):
        self.gap()
        self.expect(r"\|?", tag)

    def start_math(self, tag, given):
        self.gap() if given.get("display") else None
        tex = re.escape(given["alttext"]).replace("\\\n", r"\n[ \t>]*")
        self.expect("|".join(re.escape(a) + tex + re.escape(b) for a, b in TEX), tag)

    def handle_endtag(self, tag):
        if tag == "blockquote":
            self.gap()  # an empty one is a bar
        opened, named, mark = self.open.pop()
        assert opened == tag
        if not self.depth("math"):
            getattr(self, f"end_{BY.get(tag, tag)}", lambda mark: None)(mark)
            if tag != "span" or named == "n":
                self.loose = tag not in INLINE or named == "n" or (tag == "a" and mark == "[")

    def end_mark(self, mark):
        self.expect(re.escape(mark), "end")

    def end_code(self, mark):
        self.expect(mark, "/code") if mark else None

    def end_a(self, mark):
        self.expect({"[": r"\]", "<": ">"}[mark], "/a")

    def end_pre(self, mark):
        before = self.at
        self.gap()
        if self.fence and self.source.startswith(self.fence, self.at):
            self.expect(f"{self.fence[0]}+", "fence")
        else:
            self.at = before
        self.fence = ""

    def end_tr(self, mark):
        self.expect(r"[ \t]*\|?", "/tr")

    def end_thead(self, mark):
        self.gap()
        self.expect(TABLE_RULE.pattern, "/thead")

    def end_ol(self, mark):
        self.starts.pop()

    def end_li(self, mark):
        if self.open[-1][0] == "ol":
            self.starts[-1] += 1

    def handle_data(self, data):
        if self.depth("math"):
            return
        if self.open and self.open[-1][1] == "n":
            number = int(re.match(r"\d+", data)[0])
            assert number == self.starts[-1], "a list says another number than its element"
        for character in data:
            self.meet(character)

    def begin(self):
        """The first character of a block, or of a line within lists and quotes."""
        self.gap()
        self.loose = False

    def meet(self, character):
        if self.loose and character in " \t\n":
            return  # before the first character of a block the oracle does not look at white space
        if self.loose:
            self.begin()
        if not self.source.startswith(character, self.at):
            raise Unshown(f"{character!r} is not at {self.source[self.at : self.at + 40]!r}")
        self.at += 1
        if character == "\n" and self.inner():
            self.prefix()

    def prefix(self):
        """What lists and quotes put before a line."""
        self.at = (
            re.compile(r"[ \t>]*" if self.depth("blockquote") else r"[ \t]*")
            .match(self.source, self.at)
            .end()
        )
        self.loose = True


def unshown(source: str, html: str) -> str:
    """What of the source the page does not show at its place; empty where all is there."""
    walk = Walk(re.sub(r"\r\n?", "\n", source))
    try:
        walk.feed(html)
        walk.close()
        walk.gap()
        rest = walk.source[walk.at :].strip("> \t\n")
        return f"the end is not shown: {rest[:40]!r}" if rest else ""
    except Unshown as fault:
        return str(fault)


class Texts(HTMLParser):
    """All text of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.texts: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag == "pre":
            self.texts.append("")

    def handle_data(self, data):
        self.texts[-1] += data


def text_of(written: str) -> str:
    """The text of a raw view: a browser drops one line break at the beginning of each block."""
    read = Texts()
    read.feed(written)
    read.close()
    return "".join(text.removeprefix("\n") for text in read.texts)
