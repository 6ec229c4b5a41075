"""Every label has its project by now; what each list is ordered and narrowed by is in an index."""

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import F, Q


class Migration(migrations.Migration):
    dependencies = [("labeling", "0010_lists_of_labels")]

    operations = [
        migrations.AlterField(
            "label",
            "project",
            models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="labels",
                to="projects.project",
                db_index=False,
            ),
        ),
        migrations.AddIndex("label", models.Index(fields=["project", "id"], name="label_listed")),
        migrations.AddIndex(
            "label", models.Index(fields=["project", "annotator", "id"], name="label_by_annotator")
        ),
        migrations.AddIndex(
            "label", models.Index(fields=["project", "disputed", "id"], name="label_disputed")
        ),
        migrations.AddIndex(
            "label",
            models.Index(
                fields=["project", "counted", "superseded", "retracted", "id"],
                name="label_standing",
            ),
        ),
        migrations.AddIndex(
            "task",
            models.Index(
                fields=["project", "priority", "key", "id"],
                name="task_held",
                condition=Q(taken__gt=F("done")),
            ),
        ),
        migrations.AddIndex(
            "task",
            models.Index(
                fields=["project", "priority", "key", "id"],
                name="task_answered",
                condition=Q(done=F("need")),
            ),
        ),
        migrations.AddIndex("task", models.Index(fields=["project", "skips"], name="task_skipped")),
        migrations.AddIndex(
            "completion", models.Index(fields=["source", "rank"], name="completion_ranked")
        ),
    ]
