"""Projects, who works in them, and the prompts they are about."""

from collections.abc import Iterable, Sequence

from django.conf import settings
from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from alignment.seam.records import Message, PromptRecord
from webapp.accounts.models import User
from webapp.accounts.roles import Role
from webapp.projects.intakes import COMING, Coming, WholeManager
from webapp.rendering.names import NameField


class ProjectQuerySet(models.QuerySet["Project"]):
    """Projects by who may see them."""

    def visible_to(self, user: User) -> "ProjectQuerySet":
        """Projects the user is a member of; a superuser is admin everywhere."""
        if user.is_superuser:
            return self.lasting()
        return self.filter(memberships__user=user)

    def lasting(self) -> "ProjectQuerySet":
        """Those that are not being removed."""
        return self.exclude(delete_after__lt=Now())

    def current(self) -> "ProjectQuerySet":
        """Those that lists show: nobody has archived them."""
        return self.filter(archived_at__isnull=True)

    def archived(self) -> "ProjectQuerySet":
        """Those that are kept to be looked at, or that go in a few days."""
        return self.filter(archived_at__isnull=False)


LONGEST_PATTERN = 50_000  # bytes: SQLite's own limit


class Project(models.Model):
    """One body of prompts, labels, models and rounds."""

    name = NameField(max_length=120, unique=True)
    guidelines = models.TextField(blank=True)
    min_visible_ms = models.IntegerField(default=300)  # that a pair is seen before it is answered
    composition = models.JSONField(default=dict)  # how its tasks are asked, as labeling reads it
    form_version = models.IntegerField(default=1)  # of guidelines and composition together
    reviews = models.IntegerField(default=0)  # people who judge each prompt that is written here
    accepts = models.IntegerField(default=1)  # of them who must accept it before it is used
    answer_reviews = models.IntegerField(default=0)  # people who judge each answer written here
    answer_accepts = models.IntegerField(default=1)
    gold_every = models.IntegerField(default=0)  # one task in so many is a check; 0: none is
    repeat_every = models.IntegerField(default=0)  # one in so many was answered before; 0: none
    third_if_two_differ = models.BooleanField(default=False)
    daily_quota = models.IntegerField(default=0)  # labels a person and day; 0: any number
    warned_tags = models.JSONField(default=list)  # prompts with one are veiled, see labeling.warned
    archived_at = models.DateTimeField(null=True)  # since then nothing in it changes
    delete_after = models.DateTimeField(null=True)  # from then on it is removed, see home.removal
    created_at = models.DateTimeField(db_default=Now())

    objects = ProjectQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class FormVersion(models.Model):
    """What annotators were asked by, once: guidelines and composition under one number."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="form_versions")
    number = models.IntegerField()
    guidelines = models.TextField(blank=True)
    composition = models.JSONField(default=dict)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["project", "number"], name="form_version_once")
        ]


class Panel(models.Model):
    """People whom a crowd platform sends, each under the name that they have there, for so many labels."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="panels")
    name = NameField(max_length=120)
    quota = models.IntegerField()  # labels of each
    places = models.IntegerField()  # people
    code = models.CharField(max_length=64)  # that whoever has given so many hands in there
    closed = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """A person's role in a project."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role)
    by_name = models.BooleanField(
        default=False
    )  # an account that was there, added by who knew its name
    declined = models.JSONField(default=list)  # of the project's warned tags
    panel = models.ForeignKey(Panel, models.SET_NULL, null=True, related_name="members")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "user"], name="membership_once"),
            models.CheckConstraint(
                condition=models.Q(role__in=Role.values), name="membership_role"
            ),
        ]


class Split(models.TextChoices):
    """Which side of the line between learning and judging a prompt stands on."""

    TRAIN = "train", _("Train")
    VALIDATION = "validation", _("Validation")
    TEST = "test", _("Test")


NAMES = (gettext_noop("train"), gettext_noop("validation"), gettext_noop("test"))  # of splits


class PromptStanding(models.TextChoices):
    """What a project's reviewers say of a prompt, or of an answer that somebody wrote."""

    ACCEPTED = "accepted", _("accepted")
    WAITING = "waiting", _("waits for a review")
    REJECTED = "rejected", _("rejected")
    RETIRED = "retired", _("retired")  # by a researcher, who may restore it


class PromptQuerySet(models.QuerySet["Prompt"]):
    """Prompts by their use."""

    def accepted(self) -> "PromptQuerySet":
        """Prompts that are used: those that wait for a review, or were rejected by one, are not."""
        return self.filter(standing=PromptStanding.ACCEPTED)

    def of_split(self, split: str) -> "PromptQuerySet":
        """Accepted prompts of one split in a fixed order that says nothing about them."""
        return self.accepted().filter(split=split).order_by("key")

    def for_labels(self) -> "PromptQuerySet":
        """Accepted prompts people may label: what a judge measures with is in no label."""
        return self.accepted().exclude(split=Split.TEST)

    def wanted_by(self, tag: str, split: str) -> "PromptQuerySet":
        """Accepted prompts with this tag, of this split; "" means any."""
        found = self.accepted().filter(split=split) if split else self.accepted()
        return found.tagged(tag)

    def tagged(self, tag: str) -> "PromptQuerySet":
        """Prompts with this tag; "" means all."""
        return (
            self.filter(pk__in=PromptTag.objects.filter(name=tag).values("prompt")) if tag else self
        )

    def saying(self, words: str) -> "PromptQuerySet":
        """Prompts with these words in their first or second turn (the first may be a system's)."""
        first = models.Q(messages__0__content__icontains=words)
        return self.filter(first | models.Q(messages__1__content__icontains=words))

    def alike(self, text: str) -> "PromptQuerySet":
        """One-turn prompts of the same words in capitals or small letters; of a very long text none.

        SQLite compares so only what it takes for a pattern.
        """
        if len(text.encode()) > LONGEST_PATTERN:
            return self.none()
        return self.filter(messages__0__content__iexact=text, messages__0__role="user")


class Prompt(Coming):
    """A conversation that ends with the user's turn, or with what a tool answered."""

    class Source(models.TextChoices):
        WRITTEN = "written", _("written here")
        IMPORTED = "imported", _("Imported")
        GENERATED = "generated", _("written by a program")

    project = models.ForeignKey(Project, models.CASCADE, related_name="prompts")
    key = models.CharField(max_length=64)  # alignment.seam.records.prompt_key
    messages = models.JSONField()  # of alignment.seam.records.Message
    split = models.CharField(max_length=16, choices=Split)  # alignment.seam.records.split_of_prompt
    columns = models.TextField(default="", db_default="", blank=True)  # JSON, for rewards from code
    source = models.CharField(max_length=16, choices=Source)
    standing = models.CharField(
        max_length=16, choices=PromptStanding, default=PromptStanding.ACCEPTED
    )
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="prompts"
    )
    created_at = models.DateTimeField(db_default=Now())
    reasons: Sequence[str] = ()  # of those who rejected it, where a page has asked
    before: Sequence["PromptWording"] = ()  # likewise: its words of before

    objects = WholeManager.from_queryset(PromptQuerySet)()
    every = PromptQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "key"], name="prompt_once")]
        indexes = [
            models.Index(
                fields=["project", "split", "key", "intake", "standing"], name="prompt_by_split"
            ),
            models.Index(fields=["intake", "id"], name="prompt_coming", condition=COMING),
        ]

    @property
    def text(self) -> str:
        """What the user asks: the last of their turns."""
        asked = (turn["content"] for turn in reversed(self.messages) if turn["role"] == "user")
        return str(next(asked, self.messages[-1]["content"]))

    @property
    def uses_tools(self) -> bool:
        """Whether its conversation may call tools, or has called some."""
        return any(
            turn.keys() - {"role", "content"} or turn["role"] == "tool" for turn in self.messages
        )

    @property
    def spoken(self) -> list[str]:
        """What people and models say in it, in their order; what tools say is no prose."""
        return [
            turn["content"] for turn in self.messages if turn["content"] and turn["role"] != "tool"
        ]

    def record(self) -> PromptRecord:
        """The prompt as it crosses the seam to the trainer."""
        turns = tuple(Message(**turn) for turn in self.messages)
        return PromptRecord(key=self.key, messages=turns, columns=self.columns)


def with_tools(prompts: Iterable[Prompt]) -> list[str]:
    """What people and models say in those of these prompts that have to do with tools."""
    return [text for prompt in prompts if prompt.uses_tools for text in prompt.spoken]


LONGEST_TAG = 60


class PromptTag(models.Model):
    """A word by which people find prompts and say what they want of them."""

    prompt = models.ForeignKey(Prompt, models.CASCADE, related_name="tags")
    name = models.CharField(max_length=LONGEST_TAG)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["prompt", "name"], name="tag_once")]
        indexes = [models.Index(fields=["name", "prompt"], name="tag_by_name")]

    def __str__(self) -> str:
        return self.name


class Wish(models.Model):
    """How many of something a project wants, of prompts with a tag and of a split; "" means any."""

    class What(models.TextChoices):
        PROMPTS = "prompts", _("Prompts")
        ANSWERS = "answers", _("Answers to prompts")
        WRITTEN = "written", _("Answers written by people")

    project = models.ForeignKey(Project, models.CASCADE, related_name="wishes")
    what = models.CharField(max_length=16, choices=What)
    tag = models.CharField(max_length=LONGEST_TAG, blank=True)
    split = models.CharField(max_length=16, choices=Split, blank=True)
    wanted = models.IntegerField()

    class Meta:
        ordering = ["tag", "split", "what"]
        constraints = [
            models.UniqueConstraint(fields=["project", "what", "tag", "split"], name="wish_once")
        ]


class PromptWording(models.Model):
    """What a prompt said until somebody changed its words."""

    prompt = models.ForeignKey(Prompt, models.CASCADE, related_name="wordings")
    messages = models.JSONField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["pk"]

    @property
    def text(self) -> str:
        """The last turn."""
        return str(self.messages[-1]["content"])
