"""Who knows the name of an account and adds it has no say over it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("projects", "0002_min_visible_ms")]
    operations = [migrations.AddField("membership", "by_name", models.BooleanField(default=False))]
