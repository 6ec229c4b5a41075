"""Settings of what policies are brought to: a reward, rules, constraints, wished means."""

from collections.abc import Callable

from pydantic import model_validator

from alignment.kinds.settings.rules import (
    RULED,
    RULES,
    WORDED,
    RuleName,
    WeightedRule,
    check_pattern,
    rules_of,
    wishes_of,
)
from alignment.seam.settings import ConflictError, Settings, setting
from alignment.seam.words import _

CODED = ("code_weight", "code_seconds", "code_mebibytes")  # settings of a reward from code
CLASSED = ("class_required", "class_mean", "class_weight")  # settings that read a classifier


class RuleSettings(Settings):
    """What an answer should be like by the reward model's score and by rules."""

    reward_weight: float = setting(
        1.0,
        _("Weight of the reward model"),
        help=_("In the reward; 0 leaves it to the rule, the constraints and the wished means."),
        topic=_("Target"),
        ge=0,
        le=100,
        advanced=True,
    )
    rule: RuleName = setting(
        "no_rule",
        _("Rule"),
        help=_(
            "A reward beside the reward model's: whether a phrase or a pattern occurs, how many "
            "words there are, or the cosine to the nearest example, by TF-IDF or by the reference's own "
            "embeddings."
        ),
        topic=_("Target"),
        choices=RULES,
    )
    rule_text: str = setting(
        "",
        _("Text of the rule"),
        help=_("The phrase, the regular expression, or examples separated by bars: |."),
        topic=_("Target"),
        max_length=2000,
        when={"rule": WORDED},
    )
    rule_weight: float = setting(
        1.0,
        _("Weight of the rule"),
        help=_("In the reward; below 0 what the rule finds is avoided."),
        topic=_("Target"),
        ge=-100,
        le=100,
        when={"rule": RULED},
    )
    more_rules: str = setting(
        "",
        _("Further rules"),
        help=_(
            "Added to the reward, parted by semicolons: a weight, a rule and its text each, as in "
            "“2 contains please; -0.1 words”. The rules are contains, matches, words, similarity and "
            "embedding_similarity."
        ),
        topic=_("Target"),
        max_length=2000,
        advanced=True,
    )
    must_contain: str = setting(
        "",
        _("Must contain"),
        help=_("Completions without this phrase are not in the target."),
        topic=_("Target"),
        max_length=200,
    )
    must_match: str = setting(
        "",
        _("Must match"),
        help=_("Completions in which this regular expression is not found are not in the target."),
        topic=_("Target"),
        max_length=200,
        advanced=True,
    )
    soften: float = setting(
        0.0,
        _("Softness"),
        help=_("Weight left to a completion that breaks a constraint; 0 makes constraints hard."),
        topic=_("Target"),
        ge=0,
        le=0.9,
        advanced=True,
        beside=("must_contain", "must_match", "class_required"),
    )
    share_of: str = setting(
        "",
        _("Phrase with a share"),
        help=_("A phrase that a given share of the completions should contain."),
        topic=_("Target"),
        max_length=200,
    )
    share: float = setting(
        0.5,
        _("Its share"),
        help=_("The wished share of completions with the phrase above."),
        topic=_("Target"),
        gt=0,
        le=0.999,
        beside=("share_of",),
    )
    length_mean: float = setting(
        0.0,
        _("Mean length"),
        help=_("The wished mean length of completions; 0 wishes for none."),
        topic=_("Target"),
        unit=_("tokens"),
        ge=0,
        le=4096,
    )
    more_wishes: str = setting(
        "",
        _("Further wished means"),
        help=_(
            "Parted by semicolons: a mean, a rule and its text each, as in “0.5 contains she; 12 words”: "
            "half of the completions contain “she”, and they have twelve words on average."
        ),
        topic=_("Target"),
        max_length=2000,
        advanced=True,
    )

    @property
    def rules(self) -> list[WeightedRule]:
        """The rules in the reward that weigh something."""
        first = WeightedRule(self.rule_weight, self.rule, self.rule_text)
        written = [*([first] if self.rule != "no_rule" else []), *rules_of(self.more_rules)]
        return [rule for rule in written if rule.weight]

    @property
    def wishes(self) -> list[WeightedRule]:
        """The further wished means: of what each rule finds, its weight."""
        return wishes_of(self.more_wishes)

    @model_validator(mode="after")
    def _rules_can_be_read(self) -> "RuleSettings":
        first = WeightedRule(self.rule_weight, self.rule, self.rule_text)
        checks: dict[str, Callable[[], object]] = {
            "rule_text": first.check,
            "more_rules": lambda: rules_of(self.more_rules),
            "more_wishes": lambda: wishes_of(self.more_wishes),
            "must_match": lambda: check_pattern(self.must_match),
        }
        for name, check in checks.items():
            try:
                check()
            except ValueError as error:
                raise ConflictError(name, str(error)) from error
        return self


class CodeSettings(RuleSettings):
    """The same with what code that somebody wrote says of an answer."""

    code_weight: float = setting(
        0.0,
        _("Weight of the reward from code"),
        help=_("Of the sum of its parts in the reward; 0 leaves it out."),
        topic=_("Target"),
        ge=-100,
        le=100,
    )
    code_seconds: int = setting(
        60,
        _("Time for the code"),
        help=_("That it may take over the completions of one step; then the run ends."),
        topic=_("Target"),
        unit=_("seconds"),
        ge=1,
        le=3600,
        advanced=True,
        beside=("code_weight",),
    )
    code_mebibytes: int = setting(
        1024,
        _("Memory for the code"),
        help=_("That all its processes may hold together, where it is kept apart."),
        topic=_("Target"),
        unit=_("MiB"),
        ge=64,
        le=65536,
        advanced=True,
        beside=("code_weight",),
    )


class TargetSettings(CodeSettings):
    """What an answer should be like, by rules, by code and by the classes that a classifier tells."""

    class_name: str = setting(
        "",
        _("Class"),
        help=_(
            "Of the classifier, the one that is meant below; empty is its last, such as a flag."
        ),
        topic=_("Target"),
        max_length=100,
        beside=CLASSED,
    )
    class_required: bool = setting(
        default=False,
        title=_("Must be of the class"),
        help=_("Completions to which the classifier gives less than a half are not in the target."),
        topic=_("Target"),
    )
    class_mean: float = setting(
        0.0,
        _("Wished share of the class"),
        help=_("The mean of its probability over completions; 0 wishes for none."),
        topic=_("Target"),
        ge=0,
        le=0.999,
    )
    class_weight: float = setting(
        0.0,
        _("Weight of the class"),
        help=_("Of its probability in the reward; below 0 the class is avoided."),
        topic=_("Target"),
        ge=-100,
        le=100,
    )

    @property
    def classed(self) -> bool:
        """Whether a classifier is part of the target."""
        return any(getattr(self, name) for name in CLASSED)

    @property
    def scored(self) -> bool:
        """Whether there is a reward."""
        models = self.reward_weight or self.class_weight
        return bool(models or self.rules or self.code_weight)

    @property
    def demands(self) -> bool:
        """Whether there are constraints or wished means."""
        wished = (self.share_of, self.length_mean, self.wishes, self.class_mean)
        return any((self.must_contain, self.must_match, self.class_required, *wished))

    @property
    def hard(self) -> bool:
        """Whether completions are forbidden altogether."""
        required = self.must_contain or self.must_match or self.class_required
        return self.soften == 0 and bool(required)
