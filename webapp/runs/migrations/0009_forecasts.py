from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0008_runs_under_way")]

    operations = [
        migrations.AddField("run", "dry", models.BooleanField(default=False)),
        migrations.AddField("run", "forecast", models.JSONField(default=dict)),
    ]
