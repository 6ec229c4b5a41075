"""Text as it was written: every character in its place, those that are not seen made visible."""

import re
from html import escape
from itertools import count

from webapp.rendering.pieces import pieces

MARKS = 1000  # that one text gets; beyond, spaces have none and controls are written as a code
# Never seen, or seen elsewhere than they stand: controls, fillers, tags, what changes the direction.
HIDDEN = (
    "\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\xad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f"
    "\\u200b\\u2028-\\u202e\\u2060-\\u206f\\u2800\\u3164\\ufeff\\uffa0\\ufff0-\\ufffb\\ud800-\\udfff"
    "\\U0001d173-\\U0001d17a\\U000e0000-\\U000e0fff"
)
# Seen in what they join, and alone not at all.
JOINER = "\\u200c\\u200d\\u200e\\u200f\\ufe00-\\ufe0f"
FLAG = "\\U0001f3f4[\\U000e0061-\\U000e007a\\U000e0030-\\U000e0039]+\\U000e007f"
WORDLESS = "\\x00-\\x7f\\xa0"
# Letters and digits of scripts that join nothing: Latin, Greek, Cyrillic, Armenian, Georgian, of East Asia.
ALONE = (
    "0-9A-Za-z_\\xaa\\xb5\\xba\\xc0-\\xd6\\xd8-\\xf6\\xf8-\\u0373\\u0376-\\u058f\\u10a0-\\u11ff\\u1d00-\\u1fff"
    "\\u2c60-\\u2c7f\\u3041-\\u3096\\u30a1-\\u30fa\\u3400-\\u9fff\\ua640-\\ua69f\\ua720-\\ua7ff\\uab30-\\uab6f"
    "\\uac00-\\ud7a3\\uff10-\\uff19\\uff21-\\uff3a\\uff41-\\uff5a"
)
WITHIN = f"(?<=[{ALONE}])[{JOINER}]+(?=[{ALONE}])"
SUSPECT = re.compile(f"{FLAG}|([{HIDDEN}]|{WITHIN})")
UNSEEN = re.compile(
    f"(?P<flag>{FLAG})|(?P<control>(?!\r\n)[{HIDDEN}]|(?:(?<=[{WORDLESS}])|^)(?!\ufe0f\u20e3)[{JOINER}]+|{WITHIN})"
    "|\r(?=\n)|(?P<space>[ \\xa0\\u1680\\u2000-\\u200a\\u202f\\u205f\\u3000\\t]+$|[ ]{2,}|\\t+|[\\xa0\\u1680\\u2000-\\u200a\\u202f\\u205f\\u3000])",
    re.MULTILINE,
)
ODD = re.compile(f"[{HIDDEN}{JOINER}\\xa0\\u1680\\u2000-\\u200a\\u202f\\u205f\\u3000\\t]")
SPACES = re.compile(" {2,}| $", re.MULTILINE)
FLAGGED = re.compile(FLAG)


def hidden(text: str) -> str:
    """The first character that nobody would see, by its code; empty where there is none."""
    found = next((each[1] for each in SUSPECT.finditer(text) if each[1] and each[1] != "\r"), "")
    return f"U+{ord(found[0]):04X}" if found else ""


def written(text: str) -> str:
    """The text as HTML that shows it as it is."""
    number = count()

    def mark(found: re.Match[str]) -> str:
        room = next(number) < MARKS
        if found.re is UNSEEN and found["control"]:
            return _controls(found[0], room=room)
        return _space(found[0]) if room and not FLAGGED.match(found[0]) else found[0]

    # Most texts hold spaces alone, which are found in a tenth of the time.
    unseen = UNSEEN if ODD.search(text) else SPACES
    made = (unseen.sub(mark, escape(part, quote=False)) for part in pieces(text))
    return "".join(f"<pre dir=auto>\n{part}</pre>" for part in made)


def _space(text: str) -> str:
    """White space that would not be noticed: more than one, at a line's end, or of another kind."""
    if text == "\r":
        return "<i class=r>&#13;</i>"
    return f"<i class=s>{text}</i>"


def _controls(text: str, *, room: bool) -> str:
    """Each character as its code, with itself beside it while there is room."""
    if not room:
        return "".join(f"[U+{ord(each):04X}]" for each in text)
    return "".join(f"<i class=u data-c={ord(each):04X}>{_itself(each)}</i>" for each in text)


def _itself(character: str) -> str:
    """What a page can hold of it."""
    if character == "\r":
        return "&#13;"  # a page's own reader would make it a line break
    return "\ufffd" if character == "\0" or "\ud800" <= character <= "\udfff" else character
