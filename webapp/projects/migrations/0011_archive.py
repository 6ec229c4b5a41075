"""Projects can be archived, and deleted some days later."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("projects", "0010_tags_and_wishes"),
    ]

    operations = [
        migrations.AddField(
            model_name="project",
            name="archived_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="project",
            name="delete_after",
            field=models.DateTimeField(null=True),
        ),
    ]
