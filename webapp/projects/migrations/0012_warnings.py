"""Tags that a project warns of, and those of them that a member declines."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("projects", "0011_archive"),
    ]

    operations = [
        migrations.AddField(
            model_name="project",
            name="warned_tags",
            field=models.JSONField(default=list),
        ),
        migrations.AddField(
            model_name="membership",
            name="declined",
            field=models.JSONField(default=list),
        ),
    ]
