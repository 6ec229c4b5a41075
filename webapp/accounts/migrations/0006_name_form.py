"""One form of a name is unique: of accounts whose names are taken for one, all but one get a number behind theirs."""

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from webapp.accounts.names import LONGEST, NameForm, name_form_of

ROOM = 10  # for a number


def give_forms(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Give each account its form; who is active and came first keeps the name, and each change is told."""
    accounts = apps.get_model("accounts", "User").objects
    taken: set[str] = set()
    rows = []
    for user in accounts.order_by("-is_active", "-is_superuser", "pk").iterator(2000):
        before = user.username
        user.username = free_name(before, taken)
        user.name_form = name_form_of(user.username)
        if user.username != before:
            print(
                f"\n  {before!r} (account {user.pk}) looks like another name; it is {user.username!r} now."
            )
        taken.add(user.name_form)
        rows.append(user)
    accounts.bulk_update(rows, ["username", "name_form"], batch_size=500)


def free_name(name: str, taken: set[str]) -> str:
    """The name, or with a number behind as much of it as there is room for."""
    start, number, free = name, 1, name
    while len(form := name_form_of(free)) > LONGEST or form in taken:
        start = start[: LONGEST - ROOM] if form in taken else start[: len(start) // 2]
        number += 1
        free = f"{start}-{number}"
    return free


class Migration(migrations.Migration):
    dependencies = [("accounts", "0005_sessions")]
    operations = [
        migrations.AlterModelManagers("user", managers=[]),
        migrations.AddField(
            "user", "name_form", models.CharField(max_length=LONGEST, null=True, editable=False)
        ),
        migrations.RunPython(give_forms, migrations.RunPython.noop),
        migrations.AlterField(
            "user", "name_form", NameForm(max_length=LONGEST, unique=True, editable=False)
        ),
    ]
