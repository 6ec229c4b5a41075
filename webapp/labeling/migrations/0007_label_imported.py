"""Labels that came from a file are told from those given here."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """Every label so far was given here."""

    dependencies = [("labeling", "0006_revisions_and_skips")]

    operations = [
        migrations.AddField(
            model_name="label",
            name="imported",
            field=models.BooleanField(default=False),
        ),
    ]
