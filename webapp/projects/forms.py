"""Forms of projects and prompts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from alignment.seam.records import Message
from webapp.projects.likeness import Near, near_duplicates
from webapp.projects.models import LONGEST_TAG, Project, Split, Wish
from webapp.projects.tags import tags_in
from webapp.site.htmx import is_key
from webapp.site.longtext import LongText

if TYPE_CHECKING:
    FormOfProject = forms.ModelForm[Project]  # generic in its stubs only
    FormOfWish = forms.ModelForm[Wish]
else:
    FormOfProject = FormOfWish = forms.ModelForm

STARTER_GUIDELINES = _("""Prefer the answer that a polite, well-informed friend would give.

- It stays on the question.
- It is kind, and does not lecture.
- It is as short as it can be while still useful.
""")
LONGEST_PROMPT = 20_000  # characters
LONGEST_GUIDELINES = 50_000
MOST_REVIEWS = 9
MOST_CHOSEN = 1_000  # prompts
MOST_WANTED = 1_000_000
LONGEST_SEARCH = 1_000
LONGEST_LOOK = 60_000  # ms that a project may ask for before an answer


class ProjectForm(FormOfProject):
    """A new project, with something to start from if wanted."""

    guidelines = LongText(
        label=_("Guidelines"),
        limit=LONGEST_GUIDELINES,
        required=False,
        widget=forms.Textarea(attrs={"rows": 7}),
        help_text=_("What annotators look at when they compare two answers. Markdown works."),
    )
    starter_prompts = forms.BooleanField(
        required=False,
        initial=True,
        label=_("Fill it with 800 generated prompts"),
        help_text=_("Simple questions about everyday topics, enough to try the whole loop."),
    )

    class Meta:
        model = Project
        fields = ["name", "guidelines"]
        labels = {"name": _("Name")}
        help_texts = {
            "name": _("What the answers should become, such as “Helpful answers”."),
        }


class CopyForm(FormOfProject):
    """A project made after another one."""

    members = forms.BooleanField(
        required=False,
        label=_("Take its members along"),
        help_text=_("With the roles that they have there."),
    )
    prompts = forms.BooleanField(
        required=False,
        label=_("Take its prompts along, with their tags"),
        help_text=_("Those that are used or retired; none that waits for a review."),
    )

    class Meta:
        model = Project
        fields = ["name"]
        labels = {"name": _("Name of the copy")}


class DeleteForm(forms.Form):
    """The name of a project, typed by whoever means to delete it."""

    name = forms.CharField(
        label=_("Type the name of the project"),
        max_length=LONGEST_SEARCH,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )

    def __init__(self, project: Project, data: QueryDict | None = None) -> None:
        super().__init__(data)
        self.project = project

    def clean_name(self) -> str:
        """The name, exactly."""
        name: str = self.cleaned_data["name"]
        if name != self.project.name:
            raise forms.ValidationError(_("That is not its name: nothing is deleted."))
        return name


class GuidelinesForm(forms.Form):
    """What annotators are asked to look at; `seen` says which text it was that somebody changed."""

    seen = forms.CharField(required=False, widget=forms.HiddenInput)
    guidelines = LongText(
        label=_("Guidelines"),
        limit=LONGEST_GUIDELINES,
        required=False,
        widget=forms.Textarea(attrs={"rows": 12}),
        help_text=_("Annotators open this with the key g. Markdown works."),
    )
    min_visible_ms = forms.IntegerField(
        label=_("Shortest look at a task (ms)"),
        required=False,
        min_value=0,
        max_value=LONGEST_LOOK,
        help_text=_(
            "A key pressed sooner answers nothing: it was meant for the task before. 300 is usual."
        ),
    )


class ReviewsForm(forms.Form):
    """Who judges what annotators write before it is used."""

    reviews = forms.IntegerField(
        label=_("Reviews of each prompt"),
        min_value=0,
        max_value=MOST_REVIEWS,
        help_text=_(
            "How many other people judge a prompt that is written here. 0: it is used at once."
        ),
    )
    accepts = forms.IntegerField(
        label=_("That must accept it"),
        min_value=1,
        max_value=MOST_REVIEWS,
        help_text=_("Until so many have accepted it, no run and no task uses it."),
    )

    answer_reviews = forms.IntegerField(
        label=_("Reviews of each written answer"),
        min_value=0,
        max_value=MOST_REVIEWS,
        help_text=_(
            "How many other people judge an answer that somebody writes. 0: it is used at once."
        ),
    )
    answer_accepts = forms.IntegerField(
        label=_("That must accept the answer"),
        min_value=1,
        max_value=MOST_REVIEWS,
        help_text=_(
            "Until so many have accepted it, no model learns from it and no export has it."
        ),
    )

    def clean(self) -> dict[str, Any]:
        """Nothing needs more people than judge it."""
        cleaned: dict[str, Any] = super().clean() or {}
        for what in ("", "answer_"):
            if 0 < cleaned.get(f"{what}reviews", 0) < cleaned.get(f"{what}accepts", 0):
                self.add_error(f"{what}accepts", _("That is more than judge it."))
        return cleaned


class PromptForm(forms.Form):
    """One prompt of a single turn, new to its project; one much like another is saved if that is meant."""

    near: Sequence[Near] = ()  # prompts that say much the same
    anyway = forms.BooleanField(required=False)

    text = LongText(
        label=_("Prompt"),
        strip=False,
        limit=LONGEST_PROMPT,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("What somebody would ask the model, in their words."),
    )

    tags = forms.CharField(
        label=_("Tags"),
        required=False,
        max_length=LONGEST_SEARCH,
        help_text=_("Optional, with commas between: what it is about, or what it tests."),
    )

    def __init__(self, *args: Any, project: Project, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        self.project = project

    def clean_text(self) -> str:
        """The text; one that is there already is refused kindly, spaces at its ends aside."""
        text: str = self.cleaned_data["text"].rstrip()  # nobody means the lines after the last word
        alike = self.project.prompts.alike(text) | self.project.prompts.alike(text.strip())
        if (there := alike.first()) is not None:
            raise forms.ValidationError(
                _("Already there: “%(text)s”. Ask it differently, or write another one."),
                params={"text": there.text[:80]},
            )
        return text

    def clean(self) -> dict[str, Any]:
        """Refused once where another prompt says much the same; whoever has seen that may save it."""
        cleaned: dict[str, Any] = super().clean() or {}
        if "text" in cleaned and not cleaned.get("anyway"):
            self.near = near_duplicates(self.project, cleaned["text"])
            if self.near:
                self.add_error("text", _("Much like what is there already, as shown below."))
        return cleaned

    def messages(self) -> tuple[Message, ...]:
        """The prompt as a conversation."""
        return (Message(role="user", content=self.cleaned_data["text"]),)


class PromptSearch(forms.Form):
    """What the list of prompts is narrowed to."""

    q = forms.CharField(required=False, label=_("Search"), max_length=LONGEST_SEARCH)
    split = forms.ChoiceField(
        required=False, label=_("Split"), choices=[("", _("all")), *Split.choices]
    )
    tag = forms.CharField(required=False, label=_("Tag"), max_length=LONGEST_TAG)


class ActForm(forms.Form):
    """What is done with the prompts that are chosen in their table."""

    act = forms.ChoiceField(
        label=_("With the chosen prompts"),
        choices=[
            ("tag", _("Give them a tag")),
            ("untag", _("Take a tag away")),
            ("retire", _("Retire them: nothing new uses them")),
            ("restore", _("Restore retired ones")),
        ],
    )
    tag = forms.CharField(required=False, label=_("Tag"), max_length=LONGEST_TAG)

    def __init__(self, data: QueryDict | None = None) -> None:
        super().__init__(data, auto_id="act_%s")
        self.chosen = data.getlist("prompt") if data else []

    def clean(self) -> dict[str, Any]:
        """`prompts` are those that are chosen, at most as many as a page may name."""
        cleaned: dict[str, Any] = super().clean() or {}
        prompts = [int(pk) for pk in self.chosen if is_key(pk)][:MOST_CHOSEN]
        if not prompts:
            raise forms.ValidationError(_("Choose prompts in the table first."))
        tags = tags_in(cleaned.get("tag", ""))
        if cleaned.get("act") in ("tag", "untag") and len(tags) != 1:
            self.add_error("tag", _("Write one tag."))
        return cleaned | {"prompts": prompts, "tag": tags[0] if tags else ""}


class WishForm(FormOfWish):
    """How many of something are wanted."""

    tag = forms.CharField(required=False, label=_("Tag"), max_length=LONGEST_TAG)
    wanted = forms.IntegerField(label=_("How many"), min_value=1, max_value=MOST_WANTED)

    class Meta:
        model = Wish
        fields = ["what", "tag", "split", "wanted"]
        labels = {"what": _("What"), "split": _("Split")}

    def clean_tag(self) -> str:
        """As tags are written; one at most."""
        return next(iter(tags_in(self.cleaned_data["tag"])), "")
