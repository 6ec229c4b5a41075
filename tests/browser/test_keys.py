"""Keys by their character, else by their place; each person's own; none at all for who wants none."""

from itertools import product

import pytest
from playwright.sync_api import expect

from tests.browser.test_labeling import address, ana, assignment, choices, page, press, saved
from webapp.labeling.keys import all_keys
from webapp.labeling.models import Label

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
__all__ = ["address", "ana", "page"]  # fixtures
ROWS = ("QWERTYUIOP", "ASDFGHJKL", "ZXCVBNM")
CODES = [f"Key{letter}" for row in ROWS for letter in row]
# What the letter keys of a keyboard say, in the order of CODES.
LAYOUTS = {
    "US": "qwertyuiop asdfghjkl zxcvbnm",
    "French": "azertyuiop qsdfghjkl wxcvbn,",
    "German": "qwertzuiop asdfghjkl yxcvbnm",
    "Dvorak": "',.pyfgcrl aoeuidhtn ;qjkxbm",
    "Colemak": "qwfpgjluy; arstdhnei zxcvbkm",
    "Russian": "йцукенгшщз фывапролд ячсмить",
    "Ukrainian": "йцукенгшщз фівапролд ячсмить",
    "Bulgarian": "явертъуиоп асдфгхйкл зьцжбнм",
    "Greek": ";ςερτυθιοπ ασδφγηξκλ ζχψωβνμ",
    "Hebrew": "/'קראטוןםפ שדגכעיחלך זסבהנמצ",
    "Arabic": "ضصثقفغعهخح شسيبلاتنم ئءؤرىةو",
    "Thai": "ๆไำพะัีรนย ฟหกดเ้่าส ผปแอิืท",
    "Korean": "ㅂㅈㄷㄱㅅㅛㅕㅑㅐㅔ ㅁㄴㅇㄹㅎㅗㅓㅏㅣ ㅋㅌㅊㅍㅠㅜㅡ",
    "Japanese with an input method": " ".join(["*" * len(row) for row in ROWS]),
}
FRENCH_DIGITS = {"Digit1": "&", "Digit2": "é", "Digit3": '"', "Digit6": "-", "Digit7": "è"}
SHORTCUTS = {key.usual: key.action for key in all_keys()}
ACTION_OF = """async (events) => {
  const { keyOf } = await import("/static/label-keys.js");
  const ours = JSON.parse(document.getElementById("dock").dataset.keys);
  const actions = Object.fromEntries(Object.entries(ours).map(([action, key]) => [key, action]));
  return events.map((event) => actions[keyOf(event, actions)] ?? "");
}"""


def letters(layout):
    """Each letter key's place with what it says; without a character an input method took it."""
    characters = LAYOUTS[layout].replace(" ", "")
    return {
        code: "Process" if key == "*" else key for code, key in zip(CODES, characters, strict=True)
    }


def event(code, key, *, shift=False):
    return {"code": code, "key": key, "shiftKey": shift}


def actions(page, events):
    return page.evaluate(ACTION_OF, events)


def test_every_shortcut_works_on_every_layout(page):
    """Where the character is on the keyboard it decides, elsewhere the place of the Latin letter."""
    for layout, capital in product(LAYOUTS, (False, True)):
        said = letters(layout)
        keys = {
            code: key.upper() if capital and len(key) == 1 else key for code, key in said.items()
        }
        found = dict(
            zip(
                CODES,
                actions(page, [event(*each, shift=capital) for each in keys.items()]),
                strict=True,
            )
        )
        for key, action in SHORTCUTS.items():
            if not key.isalpha():
                continue
            typed = [code for code, character in said.items() if character == key]
            assert found[typed[0] if typed else f"Key{key.upper()}"] == action, (layout, key)


def test_digits_count_by_place_and_by_character(page):
    places = [event(f"Digit{n}", FRENCH_DIGITS.get(f"Digit{n}", str(n))) for n in range(8)]
    typed = [event("Digit1", "1", shift=True), event("Numpad6", "6")]
    expected = [f"choose-{n}" for n in range(8)] + ["choose-1", "choose-6"]
    assert actions(page, places + typed) == expected


def test_what_is_no_shortcut_anywhere_does_nothing(page):
    nothing = [
        event("KeyQ", "q"),
        event("Enter", "Enter"),
        event("ArrowUp", "ArrowUp"),
        event("F1", "F1"),
    ]
    assert actions(page, nothing) == [""] * 4


def test_a_character_of_ones_own_comes_before_a_digit_by_its_place(page):
    ours = {"é": "undo", "2": "choose-2"}
    pressed = "async ([event, ours]) => (await import('/static/label-keys.js')).keyOf(event, ours)"
    assert page.evaluate(pressed, [event("Digit2", "é"), ours]) == "é"
    assert page.evaluate(pressed, [event("Digit2", '"'), ours]) == "2"


def test_alt_gr_types_characters_and_presses_no_place(page):
    pressed = """async (init) => {
      const { keyOf } = await import("/static/label-keys.js");
      return keyOf(new KeyboardEvent("keydown", { ...init, modifierAltGraph: true }), { 7: "x", r: "y", "?": "z" });
    }"""
    assert page.evaluate(pressed, {"code": "Digit7", "key": "{"}) == ""
    assert page.evaluate(pressed, {"code": "KeyR", "key": "¶"}) == ""
    assert page.evaluate(pressed, {"code": "KeyW", "key": "?"}) == "?"


def test_digits_of_a_numpad_in_other_numerals_count_by_place(page):
    assert actions(page, [event("Numpad1", "\u0661"), event("Digit7", "\u0667")]) == [
        "choose-1",
        "choose-7",
    ]


def tap(page, code, key):
    """A key of another layout, which the test's own keyboard does not have."""
    page.evaluate(
        "init => document.body.dispatchEvent(new KeyboardEvent('keydown', { ...init, bubbles: true }))",
        {"code": code, "key": key},
    )


def test_a_lone_cyrillic_letter_undoes(page):
    first = assignment(page)
    press(page, "2")
    tap(page, "KeyU", "г")  # noqa: RUF001
    assert assignment(page) == first


@pytest.mark.slow
def test_the_reasons_of_a_skip_count_by_place_too(page):
    first = assignment(page)
    tap(page, "KeyX", "ч")
    expect(page.get_by_role("dialog", name="Why skip this task?")).to_be_visible()
    tap(page, "Digit2", "é")
    saved(page)
    assert assignment(page) != first


def test_ctrl_enter_in_the_box_repeats_the_last_choice(page):
    press(page, "6")
    press(page, "w")
    page.keyboard.type("as before")
    page.keyboard.press("Control+Enter")
    saved(page)
    assert choices() == "66"
    assert Label.objects.order_by("pk").last().rationale == "as before"


def test_ctrl_enter_without_a_choice_before_says_so(page):
    press(page, "w")
    page.keyboard.type("first")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#hint")).to_contain_text("Choose once")
    assert choices() == ""


@pytest.fixture
def keys_page(page, address):
    page.goto(address.replace("/label/", "/label/keys/"))
    return page


def save(page):
    page.get_by_role("button", name="Save").click()
    page.wait_for_selector("#dock[data-ready]")


def test_keys_can_be_changed_for_one_person(keys_page):
    keys_page.get_by_label("Undo what you did last").fill("z")
    save(keys_page)
    expect(keys_page.get_by_role("button", name="Undo z")).to_be_attached()
    first = assignment(keys_page)
    press(keys_page, "2u")
    assert assignment(keys_page) != first
    press(keys_page, "z")
    assert assignment(keys_page) == first


def test_two_actions_cannot_have_one_key(keys_page):
    keys_page.get_by_label("Undo what you did last").fill("x")
    keys_page.get_by_role("button", name="Save").click()
    expect(keys_page.get_by_text("x already does something else.")).to_be_visible()


@pytest.mark.slow
def test_keys_can_be_switched_off_for_one_person(keys_page):
    keys_page.get_by_label("No single keys").check()
    save(keys_page)
    first = assignment(keys_page)
    press(keys_page, "2x?")
    assert assignment(keys_page) == first
    expect(keys_page.get_by_role("heading", name="Keys")).to_be_hidden()
    keys_page.get_by_role("button", name="A is better").click()
    saved(keys_page)
    assert choices() == "2"


def test_switched_off_means_off_on_the_sheets_too(keys_page):
    keys_page.get_by_label("No single keys").check()
    save(keys_page)
    first = assignment(keys_page)
    keys_page.get_by_role("button", name="Skip").click()
    keys_page.keyboard.press("2")
    assert assignment(keys_page) == first
