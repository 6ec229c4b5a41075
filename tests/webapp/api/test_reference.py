"""The page that describes the interface."""

import json

from tests.webapp.api.operations import OPERATIONS
from webapp.api.reference import topics
from webapp.api.service import service


def test_every_operation_is_on_the_page_with_what_it_takes_and_answers():
    found = {one.name: one for endpoints in topics(service).values() for one in endpoints}
    assert set(found) == set(OPERATIONS)
    assert all(one.words for one in found.values())
    label = found["submit_label"]
    assert (label.method, label.path) == ("POST", "/api/v1/projects/{project_id}/labels")
    assert {"assignment", "answer", "client_id"} <= json.loads(label.body).keys()
    assert json.loads(label.answer)["client_id"] == "uuid"
    assert found["list_runs"].parameters == ["limit", "cursor", "kind", "state"]
    assert "items" in json.loads(found["list_runs"].answer)
