from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0003_runsample_agent")]

    operations = [
        migrations.AddField(
            model_name="run",
            name="outgrew_gib",
            field=models.FloatField(blank=True, null=True),
        ),
    ]
