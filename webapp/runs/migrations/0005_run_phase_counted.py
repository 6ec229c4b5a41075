from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0004_run_outgrew_gib")]

    operations = [
        migrations.AddField("run", "phase_done", models.FloatField(default=0)),
        migrations.AddField("run", "phase_total", models.FloatField(default=0)),
        migrations.AddField("run", "phase_unit", models.CharField(blank=True, max_length=32)),
        migrations.AddField("run", "phase_seconds", models.FloatField(default=0)),
    ]
