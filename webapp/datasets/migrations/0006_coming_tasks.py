import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("datasets", "0005_erasures")]

    operations = [
        migrations.AddField(
            model_name="intake",
            name="settled",
            field=models.BooleanField(default=False),
        ),
        migrations.CreateModel(
            name="ComingTasks",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("kind", models.CharField(max_length=16)),
                ("need", models.IntegerField()),
                ("priority", models.IntegerField()),
                ("placed", models.JSONField()),
                (
                    "intake",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="tasks",
                        to="datasets.intake",
                    ),
                ),
            ],
        ),
    ]
