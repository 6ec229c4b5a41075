from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0008_notifications_and_days"),
    ]

    operations = [
        migrations.AddField(
            model_name="user",
            name="reads",
            field=models.JSONField(default=list),
        ),
    ]
