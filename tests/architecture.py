"""`python -m tests.architecture`: draws docs/figures/apps.svg, the apps by layers with who imports whom.

Made from the sources, so that the picture cannot tell what the code does not do; a test compares them.
"""

import sys
from pathlib import Path
from xml.sax.saxutils import escape

from tests.test_boundaries import LAYERS, ROOT, arrows

PICTURE = ROOT / "docs" / "figures" / "apps.svg"
WIDTH, HEIGHT, GAP = 118, 34, 26  # of a box, and between two layers
ROOM = 150  # for a box with what is beside it
STYLE = (
    "text{font:14px sans-serif;text-anchor:middle;fill:#222}rect{fill:#eef3fb;stroke:#446}"
    "path{fill:none;stroke:#8899bb;stroke-width:1;opacity:.55}"
    "@media(prefers-color-scheme:dark){text{fill:#eee}rect{fill:#223;stroke:#99b}}"
)


def places() -> dict[str, tuple[float, float]]:
    """The middle of each app's box; the ground is at the bottom."""
    widest = max(map(len, LAYERS))
    found = {}
    for height, layer in enumerate(reversed(LAYERS)):
        left = (widest - len(layer)) * ROOM / 2
        for number, app in enumerate(layer):
            found[app] = (left + ROOM * (number + 0.5), height * (HEIGHT + GAP) + HEIGHT / 2 + 8)
    return found


def drawn() -> str:
    """The picture as SVG."""
    at = places()
    lines = [arrow(at[one], at[other]) for one, other in sorted(arrows())]
    boxes = [box(app, *middle) for app, middle in at.items()]
    width = max(map(len, LAYERS)) * ROOM
    height = len(LAYERS) * (HEIGHT + GAP) + 16
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
            "<title>The apps, from the ground up; a line goes from who imports to what is imported</title>",
            f"<style>{STYLE}</style>",
            *lines,
            *boxes,
            "</svg>\n",
        ]
    )


def arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    """A line from a box's lower side to another's upper side, bent so that it does not cross boxes straight."""
    (x1, y1), (x2, y2) = start, end
    y1, y2 = y1 + HEIGHT / 2, y2 - HEIGHT / 2
    bend = (x2 - x1) / 2 or (y2 - y1) / 6
    return f'<path d="M{x1:g} {y1:g}C{x1 + bend:g} {(y1 + y2) / 2:g} {x2 + bend:g} {(y1 + y2) / 2:g} {x2:g} {y2:g}"/>'


def box(app: str, x: float, y: float) -> str:
    """A box with an app's name."""
    left, top = x - WIDTH / 2, y - HEIGHT / 2
    rect = f'<rect x="{left:g}" y="{top:g}" width="{WIDTH}" height="{HEIGHT}" rx="6"/>'
    return f'{rect}<text x="{x:g}" y="{y + 5:g}">{escape(app)}</text>'


def main() -> int:
    """Write the picture."""
    Path(PICTURE).write_text(drawn(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
