from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("labeling", "0022_questions"),
    ]

    operations = [
        migrations.AddField(
            model_name="task",
            name="language",
            field=models.CharField(max_length=8, null=True),
        ),
    ]
