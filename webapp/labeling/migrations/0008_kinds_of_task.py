"""A task asks about any number of completions, by a kind; a label keeps its kind's answer and a verdict."""

from typing import Any

import django.db.models.deletion
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.exceptions import IrreversibleError
from django.db.migrations.state import StateApps
from django.db.models import F, OuterRef, Subquery, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Cast, Concat, Greatest, Least

# What a verdict says of each choice, of the items in the order they were shown.
BOTH_BAD, TIE, CHOICES = 0, 4, range(8)
ORDERS = ([0, 1], [1, 0])


def verdict(choice: int, order: list[int]) -> str:
    if choice == BOTH_BAD:
        return "both bad"
    if choice == TIE:
        return "0=1"
    better, worse = order if choice < TIE else order[::-1]
    return f"{better}>{worse}"


def text(expression: Combinable | str) -> Cast:
    return Cast(expression, models.CharField())


def carry_over(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Each pair becomes two items in its places; each choice an answer in the order of its sides."""
    tasks, labels = (apps.get_model("labeling", name).objects for name in ("Task", "Label"))
    quoted = schema_editor.quote_name
    for place, side in enumerate(("first_id", "second_id")):
        schema_editor.execute(
            f"INSERT INTO {quoted('labeling_taskitem')} (task_id, place, completion_id) "
            f"SELECT id, {place}, {quoted(side)} FROM {quoted('labeling_task')}"
        )
    ids = [text(pick("first_id", "second_id")) for pick in (Least, Greatest)]
    parts = [Value("compare:"), text("prompt_id"), Value(":"), ids[0], Value(","), ids[1]]
    tasks.update(identity=Concat(*parts, output_field=models.CharField()))
    for order, side in zip(ORDERS, ("task__first", "task__second"), strict=True):
        for choice in CHOICES:
            found = labels.filter(left=F(side), choice=choice)
            found.update(answer={"choice": choice}, order=order, verdict=verdict(choice, order))


def carry_back(apps: StateApps, _schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Pairs as before; what is none has no place there."""
    tasks, labels, items = (
        apps.get_model("labeling", name).objects for name in ("Task", "Label", "TaskItem")
    )
    if tasks.exclude(kind="compare").exists():
        raise IrreversibleError("Tasks that are no comparisons cannot be carried back.")

    def at(place: int, task: str) -> Subquery:
        of_task = items.filter(place=place, task=OuterRef(task))
        return Subquery(of_task.values("completion")[:1])

    tasks.update(first=at(0, "pk"), second=at(1, "pk"))
    for order in ORDERS:
        sides = {name: at(place, "task") for name, place in zip(("left", "right"), order)}
        for choice in CHOICES:
            labels.filter(order=order, answer__choice=choice).update(choice=choice, **sides)


def completion(*, null: bool) -> "models.ForeignKey[Any, Any]":
    return models.ForeignKey(
        on_delete=django.db.models.deletion.PROTECT,
        related_name="+",
        to="labeling.completion",
        null=null,
    )


def loosened(model: str, name: str, field: "models.Field[Any, Any]") -> migrations.AlterField:
    """A column that may be empty while rows are carried over, in either direction."""
    return migrations.AlterField(model_name=model, name=name, field=field)


class Migration(migrations.Migration):
    dependencies = [("labeling", "0007_label_imported")]

    operations = [
        migrations.CreateModel(
            name="TaskItem",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("place", models.IntegerField()),
                (
                    "completion",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.RESTRICT,
                        related_name="items",
                        to="labeling.completion",
                    ),
                ),
                (
                    "task",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="items",
                        to="labeling.task",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("task", "place"), name="task_item_once")
                ]
            },
        ),
        migrations.AddField("task", "size", models.IntegerField(default=2), preserve_default=False),
        migrations.AddField("task", "identity", models.CharField(max_length=440, null=True)),
        migrations.AddField(
            "label", "answer", models.JSONField(default=dict), preserve_default=False
        ),
        migrations.AddField("label", "order", models.JSONField(default=list)),
        migrations.AddField(
            "label", "verdict", models.CharField(max_length=200, default=""), preserve_default=False
        ),
        migrations.RemoveConstraint("label", "label_choice"),
        migrations.RemoveConstraint("task", "task_once"),
        loosened("task", "first", completion(null=True)),
        loosened("task", "second", completion(null=True)),
        loosened("label", "left", completion(null=True)),
        loosened("label", "right", completion(null=True)),
        loosened("label", "choice", models.IntegerField(null=True)),
        migrations.RunPython(carry_over, carry_back),
        migrations.RemoveField("task", "first"),
        migrations.RemoveField("task", "second"),
        migrations.RemoveField("label", "left"),
        migrations.RemoveField("label", "right"),
        migrations.RemoveField("label", "choice"),
        migrations.AlterField("task", "identity", models.CharField(max_length=440, unique=True)),
        migrations.AlterField("task", "kind", models.CharField(max_length=16)),
        migrations.AlterField(
            "label",
            "task",
            models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="labels",
                to="labeling.task",
            ),
        ),
        migrations.AddIndex(
            "label", models.Index(fields=["task", "verdict"], name="label_verdict")
        ),
    ]
