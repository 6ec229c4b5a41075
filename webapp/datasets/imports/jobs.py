"""Files kept aside, looked at, and taken in when somebody says so; nobody sees a part of one."""

from collections import Counter
from collections.abc import Generator, Mapping
from functools import partial
from itertools import islice
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from alignment.rows.formats import FORMATS
from alignment.rows.found import Preferred
from alignment.rows.mapping import guessed
from webapp.datasets.errors import ImportRefusal
from webapp.datasets.imports.parts import (
    begin_intake,
    complete_intake,
    end_intake,
    ready_parts,
    store_parts,
)
from webapp.datasets.imports.reading import PromptFound, Reading, read
from webapp.datasets.imports.sizes import check_size, outlook
from webapp.datasets.intake import (
    BROUGHT,
    Added,
    Become,
    Plan,
)
from webapp.datasets.models import Intake
from webapp.jobs.models import Job
from webapp.jobs.work import Work
from webapp.machine import uploads

FIRST = 5  # prompts shown before they are taken in
SHOWN = 600  # characters of a text
LONGEST_NAME = 80  # characters of a column's
TOLD = 50  # columns
SAMPLE = 60  # characters of a column's first value
LIST = "bad-rows.txt"
STORED = gettext_noop("All of it is stored; its tasks and labels are being made ready.")


def preview(job: Job) -> Work:
    """Look at a file: what it is, what it brings, and everything of it that it does not bring."""
    reading, bad = yield from _read(job)
    result = summary(reading) | outlook(job.project, reading) | bad
    return lambda: result


def import_file(job: Job) -> Work:
    """Take in a file as a whole, or all of it but its bad rows where somebody chose so."""
    reading, bad = yield from _read(job)
    if reading.refused and not job.payload.get("leave_out"):
        raise ImportRefusal(
            _("Nothing was imported: {refusals}.").format(refusals=reading.refusals[0])
        )
    plan = plan_of(job.payload)
    check_size(job.project, reading, plan)
    intake = begin_intake(job.project, job)
    before = {"resumed": intake.taken} if intake.taken else {}
    for taken in store_parts(intake, reading, plan):
        yield taken, len(reading.prompts)
    if not intake.whole:
        _complete(job, intake)
    added = Added.of(intake.added)
    for done in ready_parts(intake):
        yield done, max(done, added.tasks + added.labels)
    return partial(_finish, job, intake, summary(reading) | before | bad, reading.left_out)


@transaction.atomic
def _complete(job: Job, intake: Intake) -> None:
    """Let all of it be there; raises LostLease. The job's row comes first: it is locked, so that nobody cancels between."""
    Job.objects.renew(job, message=STORED)
    complete_intake(intake)


def _read(job: Job) -> Generator[tuple[int, int], None, tuple[Reading, dict[str, str]]]:
    """What the job's file holds; the list of its bad rows becomes the job's file."""
    job.folder.mkdir(parents=True, exist_ok=True)
    path = job.folder / LIST
    with path.open("w", encoding="utf-8") as bad:
        source, format = uploads.place_of(job.payload["upload"]), job.payload["format"]
        roles = job.payload.get("roles")
        reading = yield from read(
            source, format, limit=settings.IMPORT_LIMIT, refusals=bad, roles=roles
        )
    if reading.refused:
        return reading, {"file": path.name}
    path.unlink()
    job.folder.rmdir()
    return reading, {}


def _finish(
    job: Job, intake: Intake, found: Mapping[str, Any], left_out: Counter[str]
) -> dict[str, Any]:
    """Nothing is left to be done, in the transaction that says so."""
    end_intake(intake)
    transaction.on_commit(partial(uploads.forget, job.payload["upload"]))
    added = Added.of(intake.added)
    brought = {name: getattr(added, name) for name in BROUGHT}
    become = plan_of(job.payload).become
    return {**found, **brought, "left_out": told(left_out + added.left_out), "become": become}


def plan_of(payload: Mapping[str, Any]) -> Plan:
    """What somebody chose; jobs from before there was a choice take what a file says of its answers."""
    chosen = {name: payload[name] for name in ("need", "pairs", "kind", "band") if name in payload}
    return Plan(Become(payload.get("become", Become.PREFERENCES)), **chosen)


def summary(reading: Reading) -> dict[str, Any]:
    """What a file is and holds, as JSON for its page."""
    formats = reading.formats.most_common()
    return {
        "what": reading.title,
        "format": formats[0][0] if formats else "",
        "formats": [[FORMATS[name].title, number] for name, number in formats],
        "rows": reading.rows,
        "refused": reading.refused,
        "refusals": [_plain(line, SHOWN) for line in reading.refusals],
        "unused": told(reading.unused, TOLD),
        "more_unused": max(0, len(reading.unused) - TOLD),
        "left_out": told(reading.left_out),
        "notes": told(reading.notes),
        "judged": reading.judgements(),
        "columns": _columns(reading),
        "first": [_shown(found) for found in islice(reading.prompts.values(), FIRST)],
    }


def _columns(reading: Reading) -> list[tuple[str, str, str]]:
    """The first columns of rows in which they say what is in them: each with a value and what it seems to be."""
    flat = not reading.rows or FORMATS[reading.formats.most_common(1)[0][0]].flat
    roles = reading.roles or guessed(list(reading.columns))
    names = [name for name in reading.columns if flat and name == _plain(name, LONGEST_NAME)]
    return [(name, _plain(reading.columns[name], SAMPLE), roles.get(name, "")) for name in names]


def told(counted: Counter[str], most: int | None = None) -> list[tuple[str, int]]:
    """What was counted, the most first, in words that every database can hold."""
    return [(_plain(name, LONGEST_NAME), n) for name, n in counted.most_common(most) if n]


def _plain(text: str, most: int) -> str:
    short = text if len(text) <= most else f"{text[:most]}…"
    return short.replace("\0", "\ufffd").encode(errors="replace").decode()


def _shown(found: PromptFound) -> dict[str, Any]:
    answer, word = _best(found)
    return {
        "prompt": found.messages[-1].content[:SHOWN],
        "turns": len(found.messages),
        "answers": len(found.answers),
        "shown": answer[:SHOWN],
        "word": word,
    }


def _best(found: PromptFound) -> tuple[str, str]:
    """An answer to show, and what is known of it: nobody is called the best unless somebody said so."""
    answers = list(found.answers.values())
    ranked = [answer for answer in answers if answer.rank is not None]
    said = [pair.better for pair in found.pairs]
    said += [
        one.items[one.said.position] for one in found.labels if isinstance(one.said, Preferred)
    ]
    if ranked and found.ranked():
        best = min(ranked, key=lambda answer: answer.rank or 0)
        return best.text, f"Ranked best of {len(ranked)} answers"
    if len(said) == 1 and len(answers) == 2:
        return found.answers[said[0]].text, "Preferred of 2 answers"
    if not answers:
        return "", ""
    several = f"The first of {len(answers)} answers, which are in no order"
    return answers[0].text, several if len(answers) > 1 else "Its answer"
