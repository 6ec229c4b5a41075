"""What a run needs to its end, checked from its inputs' files before any weight is loaded."""

import filecmp
from collections.abc import Mapping
from pathlib import Path

from transformers import AutoConfig

from alignment.kinds.kind import ASIDE, ArtifactType
from alignment.kinds.spec import RunSpec
from alignment.models.classifier_checks import check_classifier_files
from alignment.models.loading import (
    OF_A_TOKENIZER,
    check_files,
    check_reward_files,
    check_same_reading,
    check_same_template,
    check_same_tokens,
    check_same_width,
    naming,
    refusing,
    tokenizer_of,
    weight_files,
)
from alignment.models.uses import Use, is_masked
from alignment.seam.architectures import family_in
from alignment.seam.errors import ConfigError
from alignment.seam.words import _
from alignment.targets.targets import load_target

WORDS: Mapping[str, str] = {"reward": "reward model"}  # roles that are called otherwise
POLICIES = ("policy", "reference")
RATERS = ("reward", "judge")
MODELS = {
    ArtifactType.MODEL,
    ArtifactType.ENCODER,
    ArtifactType.REWARD,
    ArtifactType.CLASSIFIER,
}


def check_inputs(spec: RunSpec, folder: Path) -> None:
    """Look at every model that a run of this folder will read; raises DataError, ConfigError by its role."""
    check_given(spec)
    at = {role: folder / path for role, path in spec.inputs.items()}
    read = [role for role in roles_read(spec, at) if role in at]
    for role in read:
        with naming(at[role], WORDS.get(role, role)):
            look_at(role, at[role], spec)
            check_read(role, at[role], spec)
    if set(POLICIES) <= set(read):
        check_pair(at["policy"], at["reference"], prompts=spec.described.trains_beside)


def check_given(spec: RunSpec) -> None:
    """Raise ConfigError where a choice was made that reads something which is not there."""
    config = spec.settings()
    for one in spec.described.artifacts:
        asked = one.when and not (one.empty or one.optional) and one.is_read(config)
        if asked and not set(one.names) & spec.inputs.keys():
            raise ConfigError(
                _("These settings need a {role}, and none is given; say which.").format(
                    role=one.role
                )
            )


def look_at(role: str, folder: Path, spec: RunSpec) -> None:
    """Check the files of a model for its role."""
    spread = getattr(spec.settings(), "placement", "one") == "spread"
    if role in RATERS:
        check_reward_files(folder, spread=spread)
    elif role == "classifier":
        check_classifier_files(folder, spread=spread)
    elif role == "rater":
        check_files(folder, "rater", spread=spread)
    elif role in POLICIES:
        use: Use = "masked" if is_read_masked(role, folder, spec) else "policy"
        check_files(folder, use, spread=spread)
    else:
        check_files(folder, "backbone", spread=spread)


def check_read(role: str, folder: Path, spec: RunSpec) -> None:
    """Raise ConfigError where a run of this kind takes no model of such an architecture."""
    if role in ASIDE:
        return
    if reason := spec.described.refusal(spec.settings(), family_in(folder)):
        raise ConfigError(reason)


def is_read_masked(role: str, folder: Path, spec: RunSpec) -> bool:
    """Whether an encoder is asked for: pretraining says so by its objective, others that take both take what is there."""
    if spec.kind == "pretrain":
        return spec.config.get("objective") == "mlm"
    takes_both = ArtifactType.ENCODER in spec.described.input_named(role).types
    return takes_both and (folder / "config.json").is_file() and is_masked(folder)


def roles_read(spec: RunSpec, at: Mapping[str, Path]) -> list[str]:
    """The roles of the models that a run with these settings will load."""
    config, kind = spec.settings(), spec.described
    read = [one for one in kind.artifacts if set(one.types) & MODELS and one.is_read(config)]
    return [
        one.role
        for one in read
        if not one.optional and not (one.spared and not is_aimed(at, one.role))
    ]


def is_aimed(at: Mapping[str, Path], role: str) -> bool:
    """Whether what an evaluated policy was aimed at reads a reward model, or a classifier.

    One that does not say is taken to have followed a reward model, and no class.
    """
    known = load_target(at["policy"]) if "policy" in at else None
    if role == "classifier":
        return known is not None and known[0].classed
    return known is None or bool(known[0].reward_weight)


def check_pair(policy: Path, reference: Path, *, prompts: bool) -> None:
    """Raise ConfigError where no ratio of the two models' probabilities means anything."""
    if policy.resolve() == reference.resolve():
        return
    check_same_reading(bool(family_in(policy)), bool(family_in(reference)))
    if not same_files(policy, reference, OF_A_TOKENIZER):
        one, other = tokenizer_of(policy), tokenizer_of(reference)
        check_same_tokens(one, other)
        if prompts:
            check_same_template(one, other)
    check_same_width(_width_of(policy), _width_of(reference))


def _width_of(folder: Path) -> int:
    """How many outputs config.json describes; padding included."""
    with refusing("config.json cannot be understood"):
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        return int(config.get_text_config().vocab_size)


def same_files(one: Path, other: Path, names: tuple[str, ...]) -> bool:
    """Whether two folders hold the same of these files, byte for byte."""
    there = [[name for name in names if (folder / name).is_file()] for folder in (one, other)]
    pairs = [(one / name, other / name) for name in there[0]]
    return there[0] == there[1] and all(filecmp.cmp(a, b, shallow=False) for a, b in pairs)


def same_model(one: Path, other: Path) -> bool:
    """Whether two folders hold the same weights of the same architecture; reads up to the first difference."""
    if one.resolve() == other.resolve():
        return True
    names = [[path.name for path in weight_files(folder)] for folder in (one, other)]
    return names[0] == names[1] and same_files(one, other, ("config.json", *names[0]))
