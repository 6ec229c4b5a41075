"""The tables of docs/design.md say what the style sheets do."""

import re
from itertools import product

import pytest
from django.conf import settings

PAGE = (settings.BASE_DIR / "docs" / "design.md").read_text()
SHEETS = {
    path.name: path.read_text()
    for path in sorted((settings.BASE_DIR / "webapp" / "static").glob("*.css"))
}
ALL = SHEETS["app.css"]
COLOUR = r"#[0-9a-f]{6}"
TOKENS = {
    name: values
    for name, *values in re.findall(rf"--([a-z-]+): light-dark\(({COLOUR}), ({COLOUR})\);", ALL)
}
OWN = {
    "label.css": r"::backdrop \{[^}]*\}",
    "run.css": r"--curve-\d:[^;]*;",
    "text.css": r"pre \.[a-z] \{[^}]*\}",
}  # sets of their own


def table(first):
    """The rows of the table whose first column is called so; each cell its words in code, or its text."""
    found = re.findall(rf"^\| {first} \|.*\n\| ---.*\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    lines = "".join(found).splitlines()
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def coded(cell):
    return re.findall(r"`([^`]+)`", cell)


def light(colour):
    """The relative luminance that WCAG defines."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    darker, brighter = sorted((light(one), light(other)))
    return (brighter + 0.05) / (darker + 0.05)


def test_every_colour_of_the_style_sheet_is_in_the_table_as_it_is():
    rows = re.findall(rf"^\| `([a-z-]+)` \| `({COLOUR})` \| `({COLOUR})` \| \S", PAGE, re.MULTILINE)
    assert {name: values for name, *values in rows} == TOKENS
    assert len(TOKENS) > 10


@pytest.mark.parametrize("name", SHEETS)
def test_no_style_names_a_colour_besides(name):
    styles = re.sub(r"--[a-z-]+: light-dark\([^;]*;", "", SHEETS[name])
    styles = re.sub(OWN.get(name, "^$"), "", styles)
    assert not re.findall(r"rgb\(|hsl\(|light-dark\(|:[^;{}]*#[0-9a-f]{3,8}\b", styles)


def test_text_is_as_readable_as_the_table_says():
    rows = table("on")
    looks = [
        (contrast(TOKENS[text][look], TOKENS[behind][look]), float(least), behind, text)
        for on, texts, least in rows
        for behind, text, look in product(coded(on), coded(texts), (0, 1))
    ]
    assert [each for each in looks if round(each[0], 2) < each[1]] == []
    assert len(looks) > 40


def test_space_and_shape_are_as_the_table_says():
    named = {coded(row[0])[0]: coded(row[1])[0] for row in table("token") if len(row) == 3}
    assert named
    for name, value in named.items():
        assert f"--{name}: {value};" in ALL


def test_each_size_of_type_is_used():
    styles = "".join(SHEETS.values())
    assert [
        size for (size,) in map(coded, (row[0] for row in table("size"))) if size not in styles
    ] == []


def test_each_state_has_the_colour_that_the_table_says():
    shown = {
        state: colour
        for states, colour in re.findall(
            r"^((?:\.badge\[[^{]*)) \{ color: var\(--([a-z]+)\)", ALL, re.MULTILINE
        )
        for state in re.findall(r'data-state="([a-z]+)"', states)
    }
    told = {state: coded(row[1])[0] for row in table("state") for state in coded(row[0])}
    assert told == shown
