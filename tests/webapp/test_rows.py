"""What a test has committed is gone when the next begins."""

import pytest
from django.contrib.auth.models import Permission

from tests.factories import a_label, some_tasks
from tests.rows import delete_rows
from webapp.labeling.models import Label
from webapp.projects.models import Project


@pytest.mark.django_db(transaction=True)
def test_rows_go_with_all_that_points_at_them_and_what_migrations_made_stays(project):
    a_label(some_tasks(project)[0])
    delete_rows()
    assert not Project.objects.exists()
    assert not Label.objects.exists()
    assert Permission.objects.exists()
