"""LoRA adapters, merged into the model they were trained on.

Only the weights are read from the adapter's folder, and of its settings only those that say what the
weights mean: a PEFT configuration can name modules to import.
"""

from pathlib import Path
from typing import Any

from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
from safetensors.torch import load_file

from alignment.errors import DataError
from alignment.modelfiles import printable, read_object
from alignment.policies import Policy

SETTINGS, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
MEANT = {
    "r", "lora_alpha", "target_modules", "fan_in_fan_out", "use_rslora", "rank_pattern",
    "alpha_pattern", "layers_to_transform", "layers_pattern", "use_dora", "modules_to_save",
    "exclude_modules",
}  # fmt: skip
INERT = {
    "peft_type", "task_type", "base_model_name_or_path", "revision", "peft_version", "auto_mapping",
    "inference_mode", "init_lora_weights", "lora_dropout", "megatron_core", "qalora_group_size",
    "runtime_config", "ensure_weight_tying",
}  # fmt: skip


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter rather than a whole model."""
    return (folder / SETTINGS).is_file()


def merged(base: Policy, folder: Path) -> Policy:
    """The base with the adapter's product of matrices added to its weights; raises DataError."""
    config = LoraConfig(**settings_of(folder))
    model: Any = get_peft_model(base.model, config)
    loaded: Any = set_peft_model_state_dict(model, load_file(folder / WEIGHTS))
    lacking = [name for name in loaded.missing_keys if ".lora_" in name]
    for name in [*loaded.unexpected_keys, *lacking][:1]:
        raise DataError(
            f"{WEIGHTS} does not fit its settings or the base model: “{printable(name)}”."
        )
    return Policy(model.merge_and_unload().eval(), base.tokenizer)


def settings_of(folder: Path) -> dict[str, Any]:
    """The settings that decide what the weights mean; raises DataError for those we do not know."""
    if not (folder / WEIGHTS).is_file():
        raise DataError(f"There is no {WEIGHTS}.")
    stored = read_object(folder / SETTINGS)
    if stored.get("peft_type") != "LORA":
        raise DataError(
            f"{SETTINGS} is of type {stored.get('peft_type')}; only LORA can be merged."
        )
    if (bias := stored.get("bias", "none")) != "none":
        raise DataError(
            f"{SETTINGS} trains biases ({printable(str(bias))}); that is not supported."
        )
    for name, value in stored.items():
        if value and name not in MEANT | INERT | {"bias"}:
            raise DataError(f"{SETTINGS} uses “{printable(name)}”, which cannot be merged here.")
    return {name: value for name, value in stored.items() if name in MEANT and value is not None}
