from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps
from django.db.models.functions import Coalesce


def count_skips(apps: StateApps, _schema_editor: BaseDatabaseSchemaEditor) -> None:
    assignments = apps.get_model("labeling", "Assignment").objects
    skipped = assignments.filter(task=models.OuterRef("pk"), state="skipped").order_by()
    counted = skipped.values("task").annotate(number=models.Count("pk")).values("number")
    tasks = apps.get_model("labeling", "Task").objects
    tasks.update(skips=Coalesce(models.Subquery(counted), 0))


class Migration(migrations.Migration):
    dependencies = [
        ("labeling", "0004_lease_index"),
    ]

    operations = [
        migrations.AddField(
            model_name="assignment",
            name="draft",
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name="task",
            name="skips",
            field=models.IntegerField(default=0),
        ),
        migrations.RunPython(count_skips, migrations.RunPython.noop),
    ]
