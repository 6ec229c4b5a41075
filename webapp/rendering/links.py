"""Links: https and mailto alone, each with its whole target in sight."""

import re
from urllib.parse import urlsplit

from markdown_it.rules_inline import StateInline

# The target and title as written; every part of it ends at the next bracket, quote or space.
TARGET = re.compile(
    r"\([ \n]{0,9}(<[^<>\n]*>|[^\s()<>]+(?:\([^\s()<>]*\)[^\s()<>]*){0,9})"
    r"(?:[ \n]{1,9}(?:\"[^\"]*\"|'[^']*'))?[ \n]{0,9}\)"
)
ADDRESS = r"https://[^\s<>]+|mailto:[^\s<>@]+@[^\s<>]+"  # read in one way alone
SAFE = re.compile(ADDRESS, re.IGNORECASE)
AUTO = re.compile(f"<({ADDRESS})>", re.IGNORECASE)
PLAIN_HOST = re.compile(r"[\x21-\x7e]*")


def link(state: StateInline, silent: bool) -> bool:
    """`[text](target "title")`; anything else that begins with a bracket, an image too, is text."""
    start = state.pos
    if state.src[start] != "[" or (start and state.src[start - 1] == "!") or state.linkLevel:
        return False
    end = _partners(state).get(start, state.posMax)
    target = TARGET.match(state.src, end + 1, state.posMax) if end < state.posMax else None
    if target is None or not SAFE.fullmatch(address := target[1].strip("<>")):
        return False
    whole = state.posMax
    opened = state.push("link_open", "a", 1)
    opened.attrs = {"href": state.md.normalizeLink(address)}
    state.pos, state.posMax = start + 1, end
    state.linkLevel += 1
    state.md.inline.tokenize(state)
    state.linkLevel -= 1
    closed = state.push("link_close", "a", -1)
    closed.content, closed.info = target[0], true_host(address)
    state.pos, state.posMax = target.end(), whole
    return True


def autolink(state: StateInline, silent: bool) -> bool:
    """`<https://…>`, with its address as the text."""
    found = AUTO.match(state.src, state.pos, state.posMax)
    if found is None or state.linkLevel:
        return False
    opened = state.push("link_open", "a", 1)
    opened.attrs, opened.markup = {"href": state.md.normalizeLink(found[1])}, "autolink"
    state.push("text", "", 0).content = found[1]
    closed = state.push("link_close", "a", -1)
    closed.markup, closed.info = "autolink", true_host(found[1])
    state.pos = found.end()
    return True


def _partners(state: StateInline) -> dict[int, int]:
    """Where each bracket of this text is closed; found once for the whole of it."""
    known = state.env.get("brackets")
    if known is None or known[0] is not state.src:
        known = state.env["brackets"] = (state.src, partners(state.src))
    return known[1]


def partners(text: str) -> dict[int, int]:
    """Where each opening bracket is closed; one behind a backslash is neither."""
    found, open_ = {}, []
    for match in re.finditer(r"\\.|[\[\]]", text, re.DOTALL):
        if match[0] == "[":
            open_.append(match.start())
        elif match[0] == "]" and open_:
            found[open_.pop()] = match.start()
    return found


def true_host(address: str) -> str:
    """The host a browser goes to, where the address could be taken for another's; else nothing."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
        if PLAIN_HOST.fullmatch(host):
            return host if parts.username is not None else ""
        return host.encode("idna").decode()
    except ValueError:
        return "no real host"
