"""Code with its colours, of known languages and in bounded time."""

import re
from collections.abc import Callable
from functools import cache
from typing import Any

from pygments import lex
from pygments.lexer import Lexer, RegexLexer, RegexLexerMeta
from pygments.lexers import get_lexer_by_name
from pygments.token import Token, _TokenType

LONGEST = 6000  # characters of one block that is coloured
WHOLE = 12_000  # of all blocks of one text
LINE = 500  # of one line
AHEAD = 120  # that a rule looks ahead
FAR = 2000  # where it begins with a sign of its own, as comments and strings do
SIGN = re.compile(r"\(?\\?[-\"'`/<#%*{;!@&|~=+:,>]")
LANGUAGES = {
    "bash", "c", "cpp", "csharp", "css", "diff", "dockerfile", "go", "haskell", "html", "ini", "java",
    "javascript", "json", "kotlin", "lua", "makefile", "matlab", "perl", "php", "powershell", "python",
    "r", "ruby", "rust", "scala", "sql", "swift", "toml", "typescript", "xml", "yaml",
}  # fmt: skip
WHOLE_RULES = {"html"}
NAMES = {
    "c#": "csharp", "c++": "cpp", "cs": "csharp", "js": "javascript", "jsx": "javascript",
    "golang": "go", "hs": "haskell", "kt": "kotlin", "py": "python", "python3": "python",
    "rb": "ruby", "rs": "rust", "sh": "bash", "shell": "bash", "ts": "typescript",
    "tsx": "typescript", "yml": "yaml", "zsh": "bash",
}  # fmt: skip
# One letter a kind: what a person tells apart at a glance.
KINDS = {
    Token.Comment: "c",
    Token.Keyword: "k",
    Token.Literal.String: "s",
    Token.Literal.Number: "m",
    Token.Name.Function: "f",
    Token.Name.Class: "f",
    Token.Name.Tag: "k",
    Token.Name.Attribute: "f",
    Token.Name.Builtin: "b",
    Token.Name.Decorator: "b",
    Token.Operator.Word: "k",
    Token.Generic.Deleted: "d",
    Token.Generic.Inserted: "i",
    Token.Generic.Heading: "k",
    Token.Generic.Subheading: "k",
}


def coloured(code: str, language: str) -> list[tuple[str, str]] | None:
    """The code in pieces, each with its class; None where it stays plain."""
    name = NAMES.get(language.lower(), language.lower())
    if name not in LANGUAGES or len(code) > LONGEST or max(map(len, code.split("\n"))) > LINE:
        return None
    pieces: list[tuple[str, str]] = []
    for kind, text in lex(code, _lexer(name)):
        named = _class_of(kind)
        if pieces and pieces[-1][0] == named:
            pieces[-1] = (named, pieces[-1][1] + text)
        else:
            pieces.append((named, text))
    return pieces if "".join(text for _, text in pieces) == code else None


class Bounded(RegexLexerMeta):  # type: ignore[misc]  # pygments has no types
    """Lexers of which no rule reads the same text again from each of its places."""

    def _process_regex(self, regex: object, rflags: int, state: str) -> Callable[..., Any]:
        match = super()._process_regex(regex, rflags, state)
        ahead = FAR if SIGN.match(match.__self__.pattern) else AHEAD
        return lambda text, pos, end=None: match(text, pos, pos + ahead)


@cache
def _lexer(name: str) -> Lexer:
    lexer = get_lexer_by_name(name, stripnl=False, ensurenl=False)
    if name in WHOLE_RULES or not isinstance(lexer, RegexLexer):
        return lexer
    return Bounded(type(lexer).__name__, (type(lexer),), {})(**lexer.options)


@cache
def _class_of(kind: _TokenType) -> str:
    while kind is not Token:
        if kind in KINDS:
            return KINDS[kind]
        kind = kind.parent
    return ""
