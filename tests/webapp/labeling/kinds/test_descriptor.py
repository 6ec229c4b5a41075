"""What a kind of task must say of itself, and what it may not."""

from collections import Counter

import pytest
from django.http import QueryDict
from django.template.loader import get_template
from pydantic import BaseModel, Field

from tests.toys.tasks.best.kind import KIND as BEST
from tests.toys.tasks.write.kind import KIND as WRITE
from webapp.labeling.keys import GENERAL, all_keys
from webapp.labeling.kinds import TASK_KINDS, UnknownKind, kind_named, registered
from webapp.labeling.kinds.descriptor import RESERVED, KindError, TaskKind


def changed(**fields):
    return TaskKind(**{name: getattr(BEST, name) for name in TaskKind.model_fields} | fields)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("agreement", "often"),
        ("items", [3]),
        ("Answer", dict),
        ("records", None),
        ("keys", [("1", "2")]),
        ("title", 5),
    ],
)
def test_a_wrong_field_is_refused_by_its_name(field, value):
    with pytest.raises(KindError, match=f"“best”: its {field} is wrong") as refused:
        changed(**{field: value})
    assert (refused.value.kind, refused.value.field) == ("best", field)


def test_a_field_that_no_kind_has_is_refused():
    with pytest.raises(KindError, match="its colour is wrong"):
        changed(colour="red")


def refused(kind):
    with pytest.raises(KindError) as refusal, registered(kind):
        pass
    assert kind.name not in TASK_KINDS
    return str(refusal.value)


@pytest.mark.parametrize("items", [range(0), range(-1, 2), range(2, 99)])
def test_a_task_shows_between_none_and_twenty_items(items):
    assert "its items are not between 0 and 20" in refused(changed(items=items))


@pytest.mark.parametrize("name", sorted(RESERVED - {"as"}))
def test_no_answer_has_a_field_that_every_form_has(name):
    answer = type("Answer", (BaseModel,), {"__annotations__": {name: str}})
    assert f"its Answer has the field {name}" in refused(changed(Answer=answer))


def test_a_form_is_read_by_the_fields_of_the_answer():
    sent = QueryDict("text=Yes.&tags=short&tags=kind&rationale=why&text=")
    assert WRITE.fields_of(sent) == {"text": "Yes.", "tags": ["short", "kind"]}
    assert WRITE.fields_of(QueryDict("text=&rationale=why")) == {}


def test_inputs_whose_names_differ_behind_a_dot_are_of_one_field():
    sent = QueryDict("tags.1=short&tags.2=kind&tags.3=&tagsy=loud&text.a=Yes.")
    assert WRITE.fields_of(sent) == {"text": "Yes.", "tags": ["short", "kind"]}


def test_several_may_be_declared_with_conditions():
    class Answer(BaseModel):
        ranks: tuple[int, ...] = Field(min_length=1)

    fields = changed(Answer=Answer).fields_of(QueryDict("ranks=2&ranks=1"))
    assert fields == {"ranks": ["2", "1"]}


def test_an_answer_has_one_writing():
    assert WRITE.canonical({"tags": ["kind"], "text": "x"}) == '{"text":"x","tags":["kind"]}'


def test_a_kind_that_is_not_here_is_told_in_words():
    with pytest.raises(UnknownKind, match="no kind of task “sing”"):
        kind_named("sing")


def test_no_two_actions_have_the_same_usual_key():
    with registered(BEST):
        usual = Counter(key.usual for key in all_keys())
    assert set(usual.values()) == {1}
    assert {key.action for key in GENERAL} <= {key.action for key in all_keys()}


@pytest.mark.parametrize("name", TASK_KINDS)
def test_the_template_of_every_kind_has_both_parts(name):
    for part in (TASK_KINDS[name].items_part, TASK_KINDS[name].controls_part):
        assert get_template(part)
