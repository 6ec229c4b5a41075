"""Markdown as models write it, read so that nothing which was written is lost.

It departs from CommonMark wherever that takes away what is not a marker of something shown:

1. A backslash stays and takes the next character's meaning from it; entities and raw HTML are text.
2. `*` marks emphasis at the edges of words only, and `_` never: identifiers, paths and globs are text.
3. Reference links are text, as are images; a link is https or mailto and shows its whole target.
4. Indentation, runs of spaces and line breaks stay; closing `#` are part of a heading; a line of `=` or
   `-` under a text makes no heading of it.
5. Maths is what `maths` says it is.
"""

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock, code, heading
from markdown_it.rules_inline import StateInline, backtick
from markdown_it.rules_inline.state_inline import Delimiter
from markdown_it.token import Token

from webapp.rendering import links, maths

NESTING = 40  # levels of lists and quotes; what is deeper is shown as written
BLOCKS = ["table", "code", "fence", "blockquote", "hr", "list", "heading", "paragraph"]
INLINES = ["text", "escape", "backticks", "strikethrough", "emphasis", "link", "autolink"]
MEANING = re.compile(r"[\\`*~\[<$]")  # the characters at which something can begin
RUN = re.compile(r"\*+|~+")
ESCAPE = re.compile(r"\\[!-/:-@\[-`{-~]")
BEGINS = re.compile(r"[#>*+\-`~|$\\\d_]")  # what a block can begin with
TABLE = re.compile(r"[|:-]")
MARKUP = re.compile(r"[\\`*~\[<$]|^[ \t]*[#>*+\-`~|$\\\d_:]|^(?: {4}| {0,3}\t)", re.MULTILINE)
BLANK = re.compile(r"(?:^[ \t]*\n)+|^[ \t]+\Z", re.MULTILINE)
HASHES = re.compile(r"#+[ \t]*")
BEFORE = re.compile(r"[\s(\[{\"'“‘«‹„¡¿—–:,;>|*~$-]|[^\x00-\x7f]")  # a word can begin after it
FIRST = re.compile(r"~~\S|[^\W_]|[\"'“‘«‹„¡¿(\[{`$\\<#@&+*]|[^\x00-\x7f]")
ENDING = re.compile(r"\*+\.[A-Za-z]")  # of a file, behind a glob
WITHIN = re.compile(r"\*[^\s*]{1,200}(?=\*[^\s*]{1,200}\*)")  # up to the second of three in a word
AFTER = re.compile(r"[\s)\]}\"'”’»›.,;:!?…—–<|*~$-]|[^\x00-\x7f]")


def read(text: str) -> list[Token]:
    """The text's tokens; one without any character that could be markup is paragraphs."""
    return PARSER.parse(text, {}) if MARKUP.search(text) else list(_paragraphs(text))


def _paragraphs(text: str) -> Iterator[Token]:
    for words in filter(None, (each.strip("\n") for each in BLANK.split(text))):
        yield Token("paragraph_open", "p", 1)
        child = Token("text", "", 0, content=words)
        yield Token("inline", "", 0, content=words, children=[child], level=1)
        yield Token("paragraph_close", "p", -1)


def block_of(state: StateBlock) -> str:
    """The lines of the block that was just read, without what its lists and quotes put before them."""
    first, last = state.tokens[-1].map or state.tokens[-2].map or (0, 0)
    return state.getLines(first, last, state.blkIndent, False)


def whole_paragraph(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A paragraph with all its white space."""
    enclosing, state.parentType = state.parentType, "paragraph"
    line = start + 1
    while line < state.lineMax and not state.isEmpty(line) and not _stops(state, line):
        line += 1
    state.parentType, state.line = enclosing, line
    state.push("paragraph_open", "p", 1).map = [start, line]
    inner = state.push("inline", "", 0)
    inner.map, inner.children = [start, line], []
    inner.content = block_of(state).rstrip("\n")
    state.push("paragraph_close", "p", -1)
    return True


def _stops(state: StateBlock, line: int) -> bool:
    """Whether another block begins here; most lines begin with what no block begins with."""
    if not BEGINS.match(state.src, state.bMarks[line] + state.tShift[line]):
        below = line + 1
        if below >= state.lineMax or not TABLE.match(
            state.src, state.bMarks[below] + state.tShift[below]
        ):
            return False
    if state.sCount[line] - state.blkIndent > 3 or state.sCount[line] < 0:
        return False  # continues the paragraph, indented or without the `>` of its quote
    rules = state.md.block.ruler.getRules("paragraph")
    return any(rule(state, line, state.lineMax, True) for rule in rules)


def whole_heading(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A heading with the `#` that close it; one without words is text."""
    begin = state.bMarks[start] + state.tShift[start]
    words = HASHES.sub("", state.src[begin : state.eMarks[start]], count=1)
    if not words.strip() or not heading(state, start, end, silent):
        return False
    if not silent:
        state.tokens[-2].content = words
    return True


def whole_code(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Indented code with its indentation."""
    if not code(state, start, end, silent):
        return False
    state.tokens[-1].content = block_of(state)
    return True


def code_span(state: StateInline, silent: bool) -> bool:
    """Code in a line, with its spaces."""
    before, number = state.pos, len(state.tokens)
    if not backtick(state, silent):
        return False
    token = state.tokens[-1] if len(state.tokens) > number else None
    if token is not None and token.type == "code_inline":
        width = len(token.markup)
        token.content = state.src[before + width : state.pos - width]
    return True


def escape(state: StateInline, silent: bool) -> bool:
    """A backslash that takes the meaning from the next character; both are shown."""
    found = ESCAPE.match(state.src, state.pos, state.posMax)
    if found is None:
        return False
    state.append_pending(found[0])
    state.pos = found.end()
    return True


def text(state: StateInline, silent: bool) -> bool:
    """All up to the next character at which something can begin."""
    found = MEANING.search(state.src, state.pos, state.posMax)
    end = found.start() if found else state.posMax
    if end == state.pos:
        return False
    state.append_pending(state.src[state.pos : end])
    state.pos = end
    return True


def _edges(state: StateInline, start: int, end: int) -> tuple[bool, bool]:
    """Whether a run of markers can open, and whether it can close."""
    before = state.src[start - 1] if start else "\n"
    after = state.src[end] if end < len(state.src) else "\n"
    opens = bool(BEFORE.match(before) and FIRST.match(state.src, end))
    closes = not before.isspace() and before not in "/(" and bool(AFTER.match(after))
    return opens, closes and not ENDING.match(state.src, start)


def _globs(state: StateInline, start: int, end: int) -> bool:
    """Whether a star begins a word with two more, the second of which ends nothing."""
    found = WITHIN.match(state.src, start, state.posMax) if end == start + 1 else None
    return found is not None and not _edges(state, found.end(), found.end() + 1)[1]


def emphasis(state: StateInline, silent: bool) -> bool:
    """A run of `*` or `~~` that may open or close; the others are text."""
    found = RUN.match(state.src, state.pos, state.posMax)
    if found is None:
        return False
    run, start, end = found[0], found.start(), found.end()
    state.pos = end
    opens, closes = _edges(state, start, end)
    opens = opens and not _globs(state, start, end)
    crossed = run[0] == "~" and len(run) != 2
    if crossed or len(run) > 3 or not (opens or closes):
        state.append_pending(run)
        return True
    step = 2 if run[0] == "~" else 1
    for _ in range(0, len(run), step):
        state.push("text", "", 0).content = run[:step]
        state.delimiters.append(
            Delimiter(
                marker=ord(run[0]),
                length=0 if step == 2 else len(run),
                token=len(state.tokens) - 1,
                end=-1,
                open=opens,
                close=closes,
            )
        )
    return True


def _parser() -> MarkdownIt:
    made = MarkdownIt("zero", {"maxNesting": NESTING, "html": False})
    made.enable([*BLOCKS, *INLINES, "balance_pairs", "fragments_join"])
    blocks, inlines = made.block.ruler, made.inline.ruler
    blocks.before("fence", "maths", maths.block, {"alt": ["paragraph", "blockquote", "list"]})
    blocks.at("paragraph", whole_paragraph)
    blocks.at("heading", whole_heading, {"alt": ["paragraph", "blockquote"]})
    blocks.at("code", whole_code)
    inlines.before("escape", "maths", maths.inline)
    for name, rule in (
        ("text", text),
        ("escape", escape),
        ("backticks", code_span),
        ("strikethrough", emphasis),
        ("emphasis", emphasis),
        ("link", links.link),
        ("autolink", links.autolink),
    ):
        inlines.at(name, rule)
    return made


PARSER = _parser()
