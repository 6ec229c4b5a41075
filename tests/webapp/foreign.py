"""Rows of another project, named in a query or a form: nothing of them is shown, changed or used.

Which fields there are is found out from the pages and by watching what views ask for, so that a new address
and a new field are tried by themselves. `test_permissions.py` tries a sample, `make prove PART=fuzz` all of them.
"""

from html.parser import HTMLParser

from django.apps import apps
from django.db import connection, transaction

from tests.webapp.addresses import session_of
from tests.webapp.asked import Browser
from webapp.artifacts.models import Artifact
from webapp.labeling.models import Completion
from webapp.projects.models import Project, Prompt
from webapp.runs.models import Run

CANARY = "canary-of-another-project"
KEPT = ("cache", "rendering_rendering", "django_session")
NOBODYS = "1000000007"  # the number of no row, and of nothing that a statement holds by itself


class Forms(HTMLParser):
    """The fields of a page's forms, as a browser would send them."""

    def __init__(self, page):
        super().__init__()
        self.fields, self.select, self.area = {}, "", ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        about = dict(attrs)
        name = about.get("name")
        if tag == "input" and name and about.get("type") not in ("file", "submit"):
            if about.get("type") not in ("checkbox", "radio") or "checked" in about:
                self.fields[name] = about.get("value") or ""
        elif tag == "select" and name:
            self.select = name
        elif tag == "textarea" and name:
            self.area, self.fields[name] = name, ""
        elif (
            tag == "option"
            and self.select
            and ("selected" in about or self.select not in self.fields)
        ):
            self.fields[self.select] = about.get("value") or ""

    def handle_data(self, data):
        if self.area:
            self.fields[self.area] += data

    def handle_endtag(self, tag):
        self.select = "" if tag == "select" else self.select
        self.area = "" if tag == "textarea" else self.area


class Trial:
    """A person in one world, and the rows of another one."""

    def __init__(self, there, role):
        self.world, self.foreign = there
        self.browser = Browser(session_of(self.world.people[role]))
        self.rows = rows_of(self.foreign.project)
        self.questions = list(
            questions_about(self.rows)
        )  # written once: they are asked thousands of times
        self.before = self.fingerprint()
        self.wrong: list[str] = []

    def numbers(self):
        """A number of each kind of row that is theirs."""
        return sorted({str(next(iter(keys))) for keys in self.rows.values() if keys})

    def fingerprint(self):
        """All that their rows hold, and which rows point at them."""
        found = []
        with connection.cursor() as cursor:
            for question in self.questions:
                cursor.execute(*question)
                found.append(sorted(map(str, cursor.fetchall())))
        return found

    def cases(self, kinds, places):
        """Each field with each of their numbers."""
        for *case, fields, name in self.fields(kinds, places):
            yield from ((*case, fields | {name: number}) for number in self.numbers())

    def fields(self, kinds, places):
        """Each field of a query or a form of these addresses, with the others beside it."""
        for address in places:
            for kind in kinds if address.name == "runs:start" else [""]:
                query = {"kind": kind} if kind else {}
                own = self.seen(address, query)
                for place, fields in (("GET", query), ("POST", own)):
                    names = {
                        *self.browser.handler.asked[address.name, place],
                        *(own if place == "POST" else ()),
                    }
                    for name in sorted(names - {"kind", "csrfmiddlewaretoken"}):
                        yield address, place, query, fields, name

    def try_field(self, address, place, query, fields, name):
        """Ask with all their numbers where this field reaches the database; with one where it does not: it finds
        no row there. How often that was."""
        *others, last = self.numbers()

        def reaches(number):
            return self.one(address, place, query, fields | {name: number}, number)

        more = others if any([reaches(NOBODYS), reaches(last)]) else []
        for number in more:
            reaches(number)
        return 2 + len(more)

    def answer(self, address, place, query, fields):
        """Status and body of what is said to this case."""
        client, path = self.browser.client(address.name), self.world.path(address)
        if place == "GET":
            answer = client.get(path, fields)
        else:
            answer = client.post(path + asking(query), fields)
        return answer.status_code, b"".join(answer)

    def seen(self, address, query):
        """The fields of its page, and by the way what it asks for."""
        with transaction.atomic():
            page = self.browser.client(address.name).get(self.world.path(address), query)
            shown = "html" in page.headers.get("Content-Type", "") and not page.streaming
            own = Forms(page.content.decode()).fields if shown else {}
            sent = {"x": "1"} | own
            self.browser.client(address.name).post(self.world.path(address) + asking(query), sent)
            transaction.set_rollback(True)
        return own

    def one(self, address, place, query, fields, number=None):
        """Ask, look at what is said and done, and take it back; whether the database was given this number by itself:
        within a text it finds no row."""
        writes, asked = [], False

        def note(execute, sql, params, many, context):
            nonlocal asked
            asked = asked or number in set(map(str, flat(params)))
            if sql.startswith(("INSERT", "UPDATE", "DELETE")) and not any(
                f'"{table}"' in sql for table in KEPT
            ):
                writes.append(sql)
            return execute(sql, params, many, context)

        with transaction.atomic(), connection.execute_wrapper(note):
            status, said = self.answer(address, place, query, fields)
            fault = "shows it" if CANARY.encode() in said else ""
            if writes and not fault and self.fingerprint() != self.before:
                fault = f"touches it: {writes[:3]}"
            transaction.set_rollback(True)
        if fault or status >= 500:
            self.wrong.append(f"{place} {address.name} {fields}: {status} {fault}"[:400])
        return asked


def flat(params):
    """The values of a statement, those in its lists too."""
    for one in params or ():
        yield from flat(one) if isinstance(one, list | tuple) else [one]


def asking(query):
    return "?" + "&".join(f"{name}={value}" for name, value in query.items()) if query else ""


def questions_about(rows):
    """What these rows hold, and which rows point at them, as statements."""
    for model, keys in ((model, keys) for model, keys in rows.items() if keys):
        yield model._base_manager.filter(pk__in=keys).values_list().query.sql_with_params()
        for field in model._meta.related_objects:
            pointing = field.related_model._base_manager.filter(**{f"{field.field.name}__in": keys})
            yield pointing.values_list("pk").query.sql_with_params()


def rows_of(project):
    """The keys of all rows that belong to a project, by model."""
    models = [model for model in apps.get_models() if model.__module__.startswith("webapp.")]
    found = {Project: {project.pk}}
    for _ in range(4):  # rows of rows of rows
        for model in models:
            for field in model._meta.concrete_fields:
                if field.related_model in found and field.related_model is not model:
                    keys = model._base_manager.filter(
                        **{f"{field.name}__in": found[field.related_model]}
                    )
                    found[model] = found.get(model, set()) | set(keys.values_list("pk", flat=True))
    return found


def mark(project):
    """Let their words be known wherever they are shown."""
    Project.objects.filter(pk=project.pk).update(name=CANARY, guidelines=CANARY)
    for model in (Artifact, Run):
        model.objects.filter(project=project).update(name=CANARY)
    Prompt.objects.filter(project=project).update(messages=[{"role": "user", "content": CANARY}])
    Completion.objects.filter(prompt__project=project).update(text=CANARY)
