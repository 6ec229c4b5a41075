"""An answer is never lost: limits, refusals of every status, storage that keeps nothing, clocks, devices."""

import json

import pytest
from django.conf import settings
from playwright.sync_api import expect

from tests.browser.test_labeling import (
    address,
    ana,
    assignment,
    choices,
    page,
    press,
    saved,
    shown,
    sign_in,
)
from tests.cases import cases
from tests.factories import a_user, again
from webapp.accounts.roles import Role
from webapp.labeling.models import Assignment, Label
from webapp.people.services import deactivate

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
__all__ = ["address", "ana", "page"]  # fixtures
LIMIT = 10_000
# One of each kind: known to this page or not, with a body of ours or none, of a proxy, of nobody.
SAMPLE = [400, 401, 403, 404, 409, 410, 413, 418, 422, 429, 451, 500, 503, 507, 599]
EVERY = range(400, 600)
PANEL = "#delivery"


def paste(page, text):
    """Words as from a clipboard: at once, with their line breaks."""
    press(page, "w")
    page.evaluate("text => document.execCommand('insertText', false, text)", text)


def unsent(page):
    """What this browser keeps, without drafts."""
    kept = page.evaluate(
        "Object.entries(localStorage).filter(([key]) => /:\\d{15}:/.test(key)).map((each) => each[1])"
    )
    return [json.loads(entry)["fields"] for entry in kept]


def answered_by(context, status, **options):
    """From now on the server, or something before it, answers with this status."""
    context.route("**/label/", lambda route: reply(route, status, options))


def reply(route, status, options):
    if route.request.method == "POST":
        route.fulfill(status=status, **{"body": "no"} | options)
    else:
        route.continue_()


def reached(context):
    context.unroute("**/label/")


def again_now(page):
    page.get_by_role("button", name="Try again now").click()


def told(page, words):
    expect(page.locator(PANEL)).to_contain_text(words)


LINES = "\n".join(["a line of a reason, " + "x" * 74] * 105)[:9950]  # 104 line breaks


@pytest.mark.slow
def test_a_reason_below_its_limit_is_taken_however_many_lines_it_has(page):
    assert (len(LINES), LINES.count("\n")) == (9950, 104)
    paste(page, LINES)
    press(page, ["Escape", "2"])
    saved(page)
    label = Label.objects.get()
    assert (label.said.choice, label.rationale) == (2, LINES)


def units(text):
    """How many characters a browser counts."""
    return len(text.encode("utf-16-le")) // 2


@cases("unit", ["é", "語", "😀", "a line\n"], quick=["😀"])
def test_a_reason_at_its_limit_is_counted_alike_here_and_there(page, unit):
    text = "." + unit * ((LIMIT - 2) // units(unit)) + "."
    paste(page, text)
    press(page, ["Escape", "2"])
    saved(page)
    assert Label.objects.get().rationale == text


def test_a_reason_beyond_its_limit_is_counted_not_cut_and_goes_when_it_is_shorter(page):
    first = assignment(page)
    paste(page, "x" * (LIMIT + 350))
    expect(page.get_by_text("10,350 of 10,000 characters: 350 too many")).to_be_visible()
    press(page, ["Escape", "2"])
    expect(page.locator("#label-notice")).to_contain_text("350 characters too long")
    assert (assignment(page), choices(), unsent(page)) == (first, "", [])
    page.locator("#rationale").fill("x" * LIMIT)
    press(page, ["Escape", "2"])
    saved(page)
    assert len(Label.objects.get().rationale) == LIMIT


@pytest.mark.slow
def test_a_prompt_at_its_limit_with_line_breaks_is_taken(page, project, live_server):
    page.goto(f"{live_server.url}/p/{project.pk}/prompts/")
    text = ("A line of a long question.\n" * 741)[:19_999].strip() + "?"
    page.get_by_label("Prompt", exact=True).fill(text)
    page.get_by_role("button", name="Add the prompt").click()
    expect(page.get_by_text("The prompt is in.")).to_be_visible()
    assert project.prompts.filter(messages__0__content=text).exists()


def test_a_refused_answer_stays_with_its_words_and_is_mended(page, context):
    first = assignment(page)
    refusal = {"kind": "refused", "error": "Too many words for today."}
    answered_by(context, 409, json=refusal, body=None)
    paste(page, "my reason")
    press(page, ["Escape", "2"])
    told(page, "Too many words for today.")
    assert [fields["rationale"] for fields in unsent(page)] == ["my reason"]
    reached(context)
    page.get_by_role("button", name="Mend it").click()
    assert assignment(page) == first
    expect(page.locator("#rationale")).to_have_value("my reason")
    press(page, "3")
    saved(page)
    label = Label.objects.get()
    assert (label.said.choice, label.rationale, unsent(page)) == (3, "my reason", [])


def test_a_refused_answer_does_not_hold_up_the_others(page, context):
    answered_by(context, 413)
    press(page, "2")
    told(page, "too long")
    reached(context)
    press(page, "67")
    expect(page.locator("#saved")).to_have_text("1 unsent")
    assert choices() == "67"
    again_now(page)
    saved(page)
    assert choices() == "672"


@pytest.mark.slow
def test_a_refused_answer_is_mended_after_a_reload(page, context):
    first = assignment(page)
    answered_by(context, 422)
    paste(page, "my reason")
    press(page, ["Escape", "2"])
    told(page, "422")
    page.reload()
    page.wait_for_selector("#dock[data-ready]")
    told(page, "422")
    reached(context)
    page.get_by_role("button", name="Mend it").click()
    expect(page.locator("#rationale")).to_have_value("my reason")
    assert assignment(page) == first
    press(page, "4")
    saved(page)
    assert choices() == "4"


def test_undo_takes_back_what_was_refused(page, context):
    first = assignment(page)
    answered_by(context, 409)
    press(page, "2")
    told(page, "409")
    press(page, "u")
    expect(page.locator(PANEL)).to_be_hidden()
    assert (assignment(page), unsent(page)) == (first, [])


def acknowledged_or_there(page, number):
    """Every answer given so far is stored, or kept by this browser."""
    kept = len([fields for fields in unsent(page) if "choice" in fields])
    assert Label.objects.count() + kept == number


def try_status(page, context, status):
    """Two answers that meet this status: kept; one is sent again, the other after a reload."""
    before = Label.objects.count()
    for number, recover in enumerate((again_now, reload), start=1):
        answered_by(context, status)
        press(page, "2")
        expect(page.locator("#saved")).to_contain_text("unsent")
        acknowledged_or_there(page, before + number)
        recover_from(page, context, recover)
        saved(page)
        assert Label.objects.count() == before + number


def recover_from(page, context, recover):
    if recover is reload:  # still refused after it
        page.reload()
        page.wait_for_selector("#dock[data-ready]")
        expect(page.locator("#saved")).to_contain_text("unsent")
    reached(context)
    recover(page)


def reload(page):
    page.reload()
    page.wait_for_selector("#dock[data-ready]")


@cases("status", SAMPLE, quick=[409])
def test_an_answer_is_acknowledged_or_still_there_after_any_status(page, context, status):
    try_status(page, context, status)


@pytest.mark.prove
@pytest.mark.timeout(1800)
def test_an_answer_is_acknowledged_or_still_there_after_every_status(page, context, project):
    from tests.factories import some_tasks  # noqa: PLC0415

    some_tasks(project, 2 * len(EVERY))
    for status in EVERY:
        try_status(page, context, status)


@cases("body", ["<html>Sign in to the hotel's network</html>", ""])
def test_a_page_of_somebody_else_is_no_receipt(page, context, body):
    answered_by(context, 200, body=body, content_type="text/html")
    press(page, "2")
    told(page, "Something between this page and the server")
    acknowledged_or_there(page, 1)
    reached(context)
    again_now(page)
    saved(page)
    assert choices() == "2"


def test_a_busy_server_is_asked_again_when_it_says(page, context):
    page.clock.install()
    reload(page)
    answered_by(context, 429, headers={"Retry-After": "40"})
    press(page, "2")
    told(page, "too much to do")
    reached(context)
    page.clock.fast_forward(35_000)
    expect(page.locator("#saved")).to_have_text("1 unsent")
    page.clock.fast_forward(10_000)
    saved(page)
    assert choices() == "2"


def test_when_the_network_is_said_to_be_back_a_failure_is_soon_tried_again(page, context):
    page.clock.install()
    reload(page)
    page.clock.pause_at(page.evaluate("Date.now() + 1000"))
    context.route("**/label/", lambda route: route.abort())
    for count, key in enumerate("267", start=1):  # each waits longer than the one before
        with page.expect_event("requestfailed"):
            press(page, key)
        expect(page.locator("#saved")).to_have_text(f"{count} unsent")
    with page.expect_event("requestfailed"):
        page.evaluate("dispatchEvent(new Event('online'))")
    reached(context)
    for _ in range(3):  # seconds, not the eight that it would wait by now
        page.clock.run_for(1000)
    saved(page)
    assert choices() == "267"


def test_an_answer_that_failed_while_leases_were_prolonged_is_sent_when_they_are(page, context):
    page.clock.install()
    reload(page)
    page.clock.pause_at(page.evaluate("Date.now() + 1000"))
    renewals = []

    def hold(route):
        renewal = 'name="renew"' in (route.request.post_data or "")
        renewals.append(route) if renewal else route.abort()

    context.route("**/label/", hold)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    press(page, "2")
    expect(page.locator("#saved")).to_have_text("1 unsent")
    assert renewals
    reached(context)  # which lets go what was held
    saved(page)  # by a clock that stands
    assert choices() == "2"


AWAY = {"error": "The database cannot be reached just now.", "kind": "database_away"}


@pytest.mark.slow
def test_a_server_that_was_away_for_long_is_asked_again_within_seconds(page, context):
    page.clock.install()
    reload(page)
    away = {"body": json.dumps(AWAY), "headers": {"Retry-After": "3"}}
    answered_by(context, 503, **away)
    press(page, "2")
    told(page, "cannot be reached just now")
    for _ in range(7):
        with page.expect_response("**/label/"):
            page.clock.fast_forward(5_000)
    reached(context)
    page.clock.fast_forward(5_000)
    saved(page)
    assert choices() == "2"


def test_a_lost_membership_is_said_and_its_answers_are_taken_away(page, project, ana):
    project.memberships.filter(user=ana).delete()
    paste(page, "my reason")
    press(page, ["Escape", "2"])
    told(page, "not open to you any more")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download them").click()
    (row,) = [json.loads(line) for line in download.value.path().read_text().splitlines()]
    assert (row["choice"], row["rationale"]) == ("2", "my reason")


@pytest.mark.slow
def test_kept_answers_are_taken_away_from_the_page_that_is_not_there(page, project, ana):
    project.memberships.filter(user=ana).delete()
    press(page, "2")
    told(page, "not open to you any more")
    page.reload()
    expect(page.get_by_text("1 answer is kept in this browser")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download them").click()
    assert json.loads(download.value.path().read_text())["choice"] == "2"


def test_a_deactivated_person_is_told_so(page, project, ana):
    deactivate(ana, by=a_user(project, Role.ADMIN, is_superuser=True))
    press(page, "2")
    told(page, "deactivated")
    press(page, "3")
    told(page, "2 answers are kept")
    expect(page.locator(PANEL)).to_contain_text("deactivated")


@pytest.mark.slow
def test_answers_go_on_by_themselves_after_a_sign_in_in_another_tab(page, context, address):
    context.clear_cookies()
    press(page, "6")
    told(page, "signed out")
    other = context.new_page()
    other.goto(address)
    sign_in(other)
    page.bring_to_front()
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    saved(page)
    assert choices() == "6"


def test_answers_of_one_person_are_not_sent_as_another(page, context, address, project):
    a_user(project, Role.ANNOTATOR, username="bob", password="long-enough-to-type")
    context.clear_cookies()
    other = context.new_page()
    other.goto(address)
    other.locator("[name=login]").fill("bob")
    other.locator("[name=password]").fill("long-enough-to-type")
    other.keyboard.press("Enter")
    other.wait_for_selector("#dock[data-ready]")
    press(page, "6")
    told(page, "Somebody else is signed in")
    assert (choices(), len(unsent(page))) == ("", 1)


FULL = "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError') }"
REFUSED = (
    "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no') } })"
)


@cases("storage", [FULL, REFUSED])
def test_without_storage_a_card_leaves_when_its_answer_is_stored(page, context, storage):
    context.add_init_script(storage)
    reload(page)
    first = assignment(page)
    press(page, "2")
    expect(page.locator(f"article[data-assignment='{first}']")).to_have_count(0)
    press(page, "7")
    saved(page)
    expect(page.locator("#label-notice")).to_be_hidden()
    assert choices() == "27"


@cases("storage", [FULL, REFUSED])
def test_without_storage_and_server_a_card_stays_and_says_so(page, context, storage):
    context.add_init_script(storage)
    reload(page)
    first = assignment(page)
    answered_by(context, 503)
    paste(page, "my reason")
    press(page, ["Escape", "2"])
    expect(page.locator("#label-notice")).to_contain_text("keeps nothing")
    press(page, "7")
    assert assignment(page) == first
    expect(page.locator("#rationale")).to_have_value("my reason")
    reached(context)
    again_now(page)
    saved(page)
    expect(page.locator("#label-notice")).to_be_hidden()
    label = Label.objects.get()
    assert (label.said.choice, label.rationale) == (2, "my reason")
    assert assignment(page) != first


@pytest.mark.slow
def test_without_storage_a_refused_answer_can_be_mended(page, context):
    context.add_init_script(FULL)
    reload(page)
    answered_by(context, 413)
    press(page, "2")
    told(page, "too long")
    reached(context)
    press(page, "5")
    saved(page)
    assert choices() == "5"


@pytest.mark.slow
def test_offline_and_out_of_pairs_the_page_says_what_it_keeps(page, context):
    context.set_offline(True)
    press(page, "2267")
    expect(page.get_by_role("heading", name="No network, nothing more to show")).to_be_visible()
    expect(page.get_by_text("4 unsent, kept in this browser.")).to_be_visible()
    context.set_offline(False)
    saved(page)
    expect(shown(page)).to_be_visible()
    assert choices() == "2267"


def test_answers_are_sent_in_the_order_they_were_given_whatever_the_clock_says(page, context):
    page.clock.install()
    reload(page)
    context.set_offline(True)
    press(page, "2")
    page.clock.set_system_time(page.evaluate("Date.now() - 3600_000"))
    press(page, "u7")
    context.set_offline(False)
    saved(page)
    assert choices() == "7"


@pytest.fixture
def slow_device(chromium, address):
    """The same person on another device, whose clock is five minutes slow."""
    context = chromium.new_context()
    device = context.new_page()
    device.goto(address)
    device.clock.install()
    device.clock.set_system_time(device.evaluate("Date.now() - 300_000"))
    sign_in(device)
    yield device
    context.close()


def write(page, words):
    """Type at the end of the reason, and wait until the server has it."""
    with page.expect_response(lambda answer: "/draft/" in answer.url) as sent:
        page.locator("#rationale").press_sequentially(words)
        page.clock.run_for(1100)
    return sent.value.status


@pytest.mark.slow
def test_a_slow_clock_goes_on_with_what_another_device_wrote(page, slow_device, address):
    page.clock.install()
    press(page, "w")
    assert write(page, "first") == 200
    slow_device.reload()
    slow_device.wait_for_selector("#dock[data-ready]")
    expect(slow_device.locator("#rationale")).to_have_value("first")
    slow_device.locator("#rationale").press("End")
    assert write(slow_device, ", then more") == 200
    held = Assignment.objects.get(pk=assignment(page))
    assert held.draft["rationale"] == "first, then more"


def test_words_of_two_devices_are_both_shown(page, slow_device):
    page.clock.install()
    press(page, "w")
    press(slow_device, "w")
    assert write(page, "from the desk") == 200
    assert write(slow_device, "from the phone") == 409
    other = slow_device.locator("#other")
    expect(other).to_contain_text("from the desk")
    expect(slow_device.locator("#rationale")).to_have_value("from the phone")
    other.get_by_role("button", name="Add them to mine").click()
    expect(slow_device.locator("#rationale")).to_have_value("from the phone\n\nfrom the desk")
    press(slow_device, ["Escape", "2"])
    saved(slow_device)
    assert Label.objects.get().rationale == "from the phone\n\nfrom the desk"


@pytest.mark.slow
def test_an_answer_that_another_device_gave_too_is_told(page, slow_device):
    assert assignment(page) == assignment(slow_device)
    press(page, "2")
    saved(page)
    press(slow_device, "6")
    expect(slow_device.locator("#label-notice")).to_contain_text("elsewhere: A better")
    assert choices() == "6"


@cases("last", ["label", "skip", "flag"])
def test_undo_takes_back_the_last_thing_done(page, last):
    first = assignment(page)
    press(page, "2")
    second = assignment(page)
    press(page, "x")
    page.keyboard.press("2")
    expect(page.locator(f"article[data-assignment='{second}']")).to_have_count(0)
    if last == "flag":
        press(page, "f")
        page.keyboard.press("Space")
        press(page, "u")
        assert page.locator("[name=flags]:checked").count() == 0
        assert assignment(page) != second
    if last in ("skip", "flag"):
        press(page, "u")
        assert assignment(page) == second
        saved(page)
        assert again(Assignment.objects.get(pk=second)).state == "leased"
        assert choices() == "2"
        return
    press(page, "uu")
    saved(page)
    assert (assignment(page), choices()) == (first, "")


@pytest.mark.slow
def test_undo_after_a_reload_takes_back_a_skip_that_came_last(page):
    press(page, "2")
    second = assignment(page)
    press(page, "x")
    page.keyboard.press("2")
    saved(page)
    reload(page)
    press(page, "u")
    expect(page.locator(f"article:not([hidden])[data-assignment='{second}']")).to_be_visible()
    assert choices() == "2"


BROKEN = {
    "all": ["setItem", "getItem", "removeItem"],
    "set and remove": ["setItem", "removeItem"],
    "get": ["getItem"],
    "remove": ["removeItem"],
}


@cases("broken", BROKEN)
def test_whatever_a_storage_refuses_every_answer_is_stored_once(page, context, broken):
    names = json.dumps(BROKEN[broken])
    throws = "Storage.prototype[name] = () => { throw new DOMException('no') }"
    context.add_init_script(f"for (const name of {names}) {throws}")
    reload(page)
    for key in "236":
        first = assignment(page)
        press(page, key)
        expect(page.locator(f"article[data-assignment='{first}']")).to_have_count(0)
    saved(page)
    assert choices() == "236"


@pytest.mark.slow
def test_a_storage_that_becomes_full_keeps_what_it_had(page, context):
    context.set_offline(True)
    paste(page, "precious")
    press(page, ["Escape", "2"])
    page.evaluate(f"() => {{ {FULL} }}")
    answered_by(context, 413)
    context.set_offline(False)
    told(page, "too long")
    page.on("dialog", lambda dialog: dialog.accept())
    reload(page)
    assert [fields["rationale"] for fields in unsent(page)] == ["precious"]


@pytest.mark.slow
def test_a_storage_that_another_tab_clears_loses_no_answer(page, context, address):
    other = context.new_page()
    other.goto(address)
    other.wait_for_selector("#dock[data-ready]")
    context.set_offline(True)
    press(page, "23")
    other.evaluate("localStorage.clear()")
    expect(page.locator("#saved")).to_have_text("2 unsent")
    context.set_offline(False)
    saved(page)
    assert choices() == "23"


@pytest.mark.slow
def test_what_undo_takes_back_from_a_refusal_survives_a_reload(page, context):
    answered_by(context, 413)
    paste(page, "precious")
    press(page, ["Escape", "2"])
    told(page, "too long")
    press(page, "u")
    reload(page)
    expect(page.locator("#rationale")).to_have_value("precious")


@pytest.mark.slow
def test_mending_goes_on_with_the_newest_words(page, context):
    answered_by(context, 413)
    paste(page, "precious")
    press(page, ["Escape", "2"])
    told(page, "too long")
    page.get_by_role("button", name="Mend it").click()
    page.locator("#rationale").fill("precious, shorter")
    reload(page)
    told(page, "too long")
    page.get_by_role("button", name="Mend it").click()
    expect(page.locator("#rationale")).to_have_value("precious, shorter")


def drafted(page, words):
    with page.expect_response(lambda answer: "/draft/" in answer.url and answer.ok):
        page.locator("#rationale").press_sequentially(words)
    return Assignment.objects.get(pk=assignment(page)).draft["rationale"]


@pytest.mark.slow
@pytest.mark.parametrize("between", [FULL, "localStorage.clear()"])
def test_drafts_go_on_whatever_becomes_of_the_storage(page, between):
    press(page, "w")
    assert drafted(page, "first") == "first"
    page.evaluate(f"() => {{ {between} }}")
    assert drafted(page, ", more") == "first, more"


@pytest.mark.slow
def test_words_shown_beside_an_answer_come_back_with_its_undo(page, slow_device):
    page.clock.install()
    press(page, "w")
    press(slow_device, "w")
    write(page, "from the desk")
    write(slow_device, "from the phone")
    expect(slow_device.locator("#other")).to_contain_text("from the desk")
    press(slow_device, ["Escape", "2"])
    expect(slow_device.locator("#label-notice")).to_contain_text("from the desk")
    saved(slow_device)
    reload(slow_device)
    press(slow_device, "u")
    expect(slow_device.locator("#other")).to_contain_text("from the desk")


@pytest.mark.slow
def test_flags_of_another_device_are_taken_over(page, slow_device):
    page.clock.install()
    page.locator("#flags summary").click()
    with page.expect_response(lambda answer: "/draft/" in answer.url):
        page.get_by_label("Harmful", exact=True).check()
        page.clock.run_for(1100)
    slow_device.locator("#flags summary").click()
    with slow_device.expect_response(lambda answer: "/draft/" in answer.url and answer.ok):
        slow_device.get_by_label("False", exact=True).check()
        slow_device.clock.run_for(1100)
        slow_device.clock.run_for(1100)
    expect(slow_device.get_by_label("Harmful", exact=True)).to_be_checked()
    press(slow_device, "2")
    saved(slow_device)
    assert sorted(Label.objects.get().flags) == ["false", "harmful"]


@pytest.mark.slow
def test_another_tab_never_replaces_words_in_the_box(page, context, address):
    second = context.new_page()
    second.goto(address)
    second.wait_for_selector("#dock[data-ready]")
    press(second, "w")
    paste(page, "from A")
    press(page, ["Escape"])
    second.locator("#rationale").fill("from B")
    expect(page.locator("#other")).to_contain_text("from B")
    expect(page.locator("#rationale")).to_have_value("from A")


@pytest.mark.slow
def test_words_added_while_an_answer_is_stored_keep_the_pair(page, context):
    context.add_init_script(FULL)
    reload(page)
    answered_by(context, 503)
    paste(page, "first")
    press(page, ["Escape", "2"])
    expect(page.locator("#label-notice")).to_contain_text("keeps nothing")
    first = assignment(page)
    paste(page, " and a second thought")
    press(page, ["Escape"])
    reached(context)
    again_now(page)
    expect(page.locator("#label-notice")).to_contain_text("choose again to add it")
    assert assignment(page) == first
    press(page, "2")
    saved(page)
    assert Label.objects.current().get().rationale == "first and a second thought"


@cases("left", ["5", '"abc"', "true", '{"fields": "x"}', "{", "[]"], quick=["{"])
def test_what_cannot_be_read_in_the_storage_stops_nothing(page, left, ana, project):
    place = f"attune:{ana.pk}:/p/{project.pk}/label/:000000000000001:1"
    draft = f"attune:draft:{ana.pk}:/p/{project.pk}/label/:{assignment(page)}"
    page.evaluate(
        "([a, b, text]) => { localStorage[a] = text; localStorage[b] = text }", [place, draft, left]
    )
    reload(page)
    press(page, "2")
    saved(page)
    assert choices() == "2"


@cases("kept", ["JSON.stringify({ fields })", "JSON.stringify(fields)"])
def test_answers_that_a_version_before_kept_in_this_browser_are_stored(page, kept):
    """When every task was a pair, an answer was a choice among its other fields."""
    page.evaluate(
        f"""() => {{
          const [dock, card] = [document.getElementById("dock"), document.querySelector("article")];
          const {{ assignment }} = card.dataset;
          const fields = {{ assignment, rationale: "of before", flags: ["false"], base: 0, page: "1",
            visible_ms: 900, client_id: "10000000-1000-4000-8000-100000000000", choice: "6" }};
          const prefix = `attune:${{dock.dataset.user}}:${{new URL(dock.action).pathname}}:`;
          localStorage.setItem(`${{prefix}}000000000000001:7`, {kept});
        }}"""
    )
    reload(page)
    saved(page)
    label = Label.objects.get()
    assert (label.answer, label.rationale, label.flags) == ({"choice": 6}, "of before", ["false"])


@pytest.mark.slow
def test_undo_twice_after_a_reload_takes_back_two_unsent_answers(page, context):
    answered_by(context, 503)
    press(page, "23")
    expect(page.locator("#saved")).to_have_text("2 unsent")
    reload(page)
    press(page, "u")
    press(page, "u")
    reached(context)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    saved(page)
    assert choices() == ""


@pytest.mark.slow
def test_undo_in_a_second_tab_takes_back_what_was_done_last(page, context, address):
    press(page, "2")
    saved(page)
    second = context.new_page()
    second.goto(address)
    second.wait_for_selector("#dock[data-ready]")
    press(page, "6")
    saved(page)
    press(second, "u")
    saved(second)
    assert choices() == "2"


@pytest.mark.slow
def test_a_flag_set_before_a_reload_is_what_undo_takes_back(page):
    press(page, "2")
    press(page, "f")
    page.keyboard.press("Space")
    saved(page)
    reload(page)
    expect(page.locator("[name=flags]:checked")).to_have_count(1)
    press(page, "u")
    expect(page.locator("[name=flags]:checked")).to_have_count(0)
    assert choices() == "2"


@cases("error", [{"code": 7}, None, 5, ""])
def test_a_foreign_reason_is_said_in_our_words(page, context, error):
    answered_by(context, 418, json={"error": error}, body=None)
    press(page, "2")
    told(page, "The server did not accept it (418).")


@pytest.mark.slow
def test_a_server_that_never_answers_is_asked_again(page, context):
    page.clock.install()
    reload(page)
    context.route("**/label/", lambda route: None)
    press(page, "2")
    page.clock.fast_forward(61_000)
    told(page, "No answer from the server")
    reached(context)
    page.clock.fast_forward(61_000)
    saved(page)
    assert choices() == "2"


def test_what_is_kept_is_this_installations(page, context):
    answered_by(context, 503)
    press(page, "2")
    expect(page.locator("#saved")).to_have_text("1 unsent")
    kept = [
        name for name in page.evaluate("Object.keys(localStorage)") if name.startswith("attune")
    ]
    assert kept
    assert all(name.startswith(f"attune@{settings.INSTALLATION}:") for name in kept)
