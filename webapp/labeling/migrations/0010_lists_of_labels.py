"""What lists need: labels know their project and whether they are disputed; indexes for each of their views."""

import django.db.models.deletion
from django.apps.registry import Apps
from django.db import migrations, models
from django.db.models import Exists, OuterRef, Subquery


def keep_projects(apps: Apps, _schema_editor: object) -> None:
    """Write the project of each label's task beside it, and which labels somebody else contradicts."""
    labels, tasks = (
        apps.get_model("labeling", "Label").objects,
        apps.get_model("labeling", "Task").objects,
    )
    project = tasks.filter(pk=OuterRef("task")).values("project")
    labels.update(project=Subquery(project))
    current = labels.filter(superseded=False, retracted=False)
    others = current.filter(task=OuterRef("task")).exclude(verdict=OuterRef("verdict"))
    current.filter(Exists(others)).update(disputed=True)


class Migration(migrations.Migration):
    dependencies = [("labeling", "0009_listed_tasks"), ("projects", "0002_min_visible_ms")]

    operations = [
        migrations.AddField("label", "disputed", models.BooleanField(default=False)),
        migrations.AddField(
            "label",
            "project",
            models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="labels",
                to="projects.project",
                db_index=False,
            ),
        ),
        migrations.RunPython(keep_projects, migrations.RunPython.noop),
    ]
