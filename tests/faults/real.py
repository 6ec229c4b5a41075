"""`REAL_MODEL=FOLDER python -m tests.faults.real`: the whole loop on a model that somebody would serve.

By the dashboard's own endpoints, as the demo plays it: the model is added by its form, answers instructions,
simulated people compare the answers over HTTP, reward models learn from them (a frozen backbone's heads, and LoRA),
f-DPG with LoRA follows it, and held-out prompts decide. The trainer of the alignment is killed once in the middle;
the same alignment that nobody disturbs ends with the same bits. Prints a line a step, with its seconds and the most
memory that its trainer held; the last line is one JSON object of figures. Exits with 1 where a bar is missed.
"""

import json
import os
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
from django.conf import settings
from pydantic import BaseModel

from alignment.kinds.reward.settings import RewardConfig
from alignment.seam.memory_use import held
from alignment.world.instructions import instructions
from tests import ground
from tests.factories import a_project, a_user, again
from tests.faults.resume import kill_trainer
from tests.stack import Stack
from tests.tiny import weights
from webapp.accounts.roles import Role
from webapp.api.attune_client import Client
from webapp.api.scopes import Scope
from webapp.api.tokens import make_token
from webapp.demo.annotators import Login, label_all, sign_in, signed_in
from webapp.demo.brought import COMPLETIONS, ROUND
from webapp.demo.scenario import SEED, simulated_logins
from webapp.projects.models import Project
from webapp.runs.folders import folder_of
from webapp.runs.models import Run, State

MODEL = "REAL_MODEL"
PASSWORD = "long-enough-to-type"  # of a person who lives as long as this program
LOOK = 0.5  # seconds
VARIETY = 0.7  # distinct pairs of tokens that are kept, at least
PARTS = ("reward", "align", "evaluate", "generate")
GIB = 2**30
LORA = RewardConfig(lora_rank=16, epochs=1, batch=16)  # beside the round's frozen backbone


class Loop:
    """A project with its people, on a machine, and how its runs went."""

    def __init__(self, machine: Stack, wait: Callable[[float], None] = time.sleep) -> None:
        self.machine, self.wait = machine, wait
        self.project: Project = a_project(name="Real model")
        admin = a_user(self.project, Role.ADMIN, username="ada", password=PASSWORD)
        token = make_token(admin, name="loop", scopes=list(Scope))
        self.client = Client(machine.url, token, wait=wait)
        self.at = f"projects/{self.project.pk}"
        self.steps: dict[str, dict[str, float]] = {}

    def add_prompts(self) -> None:
        """The instructions, as a program sends them."""
        rows = [{"messages": [turn.model_dump() for turn in turns]} for turns in instructions()]
        self.client.post(f"{self.at}/prompts", {"prompts": rows}, key="prompts")

    def add_model(self, folder: Path) -> int:
        """The model by its form, as an admin adds it; the number of what came of it."""
        page = f"/p/{self.project.pk}/models/add/?source=folder"
        with httpx.Client(base_url=self.machine.url, timeout=60) as client:
            sign_in(client, Login("ada", PASSWORD, 0))
            client.get(page).raise_for_status()
            form = {"key": str(uuid4()), "name": folder.name, "folder": folder.name}
            form |= {
                "template": "own",
                "csrfmiddlewaretoken": client.cookies[settings.CSRF_COOKIE_NAME],
            }
            client.post(page, data=form)
        run = self.watched("model", Run.objects.get(project=self.project, kind="import"))
        return int(run.outputs.get().pk)

    def started(self, name: str, kind: str, config: BaseModel, inputs: dict[str, int]) -> Run:
        """A run by the API, to its end."""
        sent = {
            "kind": kind,
            "name": name,
            "seed": SEED,
            "settings": changed(config),
            "inputs": inputs,
        }
        key = name.replace(" ", "-")
        made = self.client.post(f"{self.at}/runs", sent | {"anyway": True}, key=key)
        return self.watched(name, Run.objects.get(pk=made["id"]))

    def labels(self) -> dict[str, Any]:
        """All tasks answered by simulated people over HTTP and frozen; the snapshot."""
        began = time.monotonic()
        with signed_in(self.machine.url, simulated_logins(self.project)) as people:
            given = label_all(self.project.pk, people, lambda: None)
        snapshot: dict[str, Any] = self.client.post(
            f"{self.at}/snapshots", {"options": {}}, key="snapshot"
        )
        self.tell("labels", time.monotonic() - began, 0, f"{given} labels")
        return snapshot

    def round(self, snapshot: int, policy: int) -> dict[str, Run]:
        """A round by the API, the trainer of whose alignment is killed in the middle; its runs by part."""
        parts = {name: changed(getattr(ROUND, name)) for name in PARTS}
        sent = {"snapshot": snapshot, "policy": policy, "seed": SEED, "settings": parts}
        made = self.client.post(f"{self.at}/rounds", sent, key="round")
        runs = {name: Run.objects.get(pk=pk) for name, pk in made["runs"].items()}
        middle = ROUND.align.steps // 2
        for name, run in runs.items():
            runs[name] = self.watched(name, run, kill_at=middle if name == "align" else 0)
        return runs

    def watched(self, name: str, run: Run, *, kill_at: int = 0) -> Run:
        """A run to its end, which it should reach; its trainer is killed once at a step."""
        most = 0
        while not (now := again(run)).is_final:
            most = max(most, memory_of(now))
            if kill_at and now.step >= kill_at:
                kill_trainer(now)
                print(f"killed the trainer of {name} at step {now.step}", flush=True)
                kill_at = 0
            self.wait(LOOK)
        if now.state != State.SUCCEEDED:
            raise SystemExit(f"{name} {now.state}: {now.message}\n{self.machine.logs()}")
        self.tell(name, now.seconds or 0.0, most, f"epoch {now.epoch}")
        return now

    def tell(self, name: str, seconds: float, memory: int, note: str) -> None:
        """A line about a step that is over."""
        self.steps[name] = {"seconds": round(seconds, 1), "gib": round(memory / GIB, 2)}
        print(f"{name}: {seconds:.1f} s, {memory / GIB:.2f} GiB, {note}", flush=True)


def changed(config: BaseModel) -> dict[str, Any]:
    """What of some settings is not as usual."""
    return config.model_dump(mode="json", exclude_defaults=True)


def memory_of(run: Run) -> int:
    """The most bytes that a run's trainer has held, while it is there."""
    place = str(folder_of(run)) if run.epoch else ""
    for process in psutil.process_iter(["cmdline", "cwd"]):
        if process.info["cwd"] == place and (process.info["cmdline"] or [])[1:3] == [
            "-m",
            "alignment",
        ]:
            return held(process.pid)
    return 0


def prove(folder: Path) -> dict[str, Any]:
    """The loop; its figures."""
    with Stack(Path(settings.VAR), settings.BROKER_SOCKET) as machine:
        machine.more = {"ATTUNE_MODEL_FOLDERS": str(folder), "ATTUNE_THREADS": str(os.cpu_count())}
        machine.broker().worker().short_worker().tend().web()
        loop = Loop(machine)
        loop.add_prompts()
        policy = loop.add_model(folder)
        loop.started("completions", "generate", COMPLETIONS, {"policy": policy})
        snapshot = loop.labels()
        labels = {"backbone": policy, "labels": snapshot["artifact_id"]}
        by_lora = loop.started("reward by LoRA", "reward", LORA, labels)
        runs = loop.round(snapshot["id"], policy)
        reward = runs["reward"].outputs.get().pk
        inputs = {"policy": policy, "reference": policy, "reward": reward}
        undisturbed = loop.started("undisturbed", "align", ROUND.align, inputs)
    scores = runs["evaluate"].summary
    return {
        "model": folder.name,
        "steps": loop.steps,
        "accuracy_frozen": accuracy(runs["reward"]),
        "accuracy_lora": accuracy(by_lora),
        **{name: scores[name] for name in ("win_rate", "distinct_2_ratio", "kl_reference")},
        "epochs": runs["align"].epoch,
        "identical": weights(runs["align"]) == weights(undisturbed),
    }


def accuracy(run: Run) -> dict[str, float]:
    """A reward model's accuracy on held-out labels, with its interval."""
    return {key: run.summary["accuracy"][key] for key in ("value", "low", "high")}


def missed(figures: dict[str, Any]) -> list[str]:
    """The bars that were not reached."""
    bars = {
        "the win rate's interval is not above a half": figures["win_rate"]["low"] > 0.5,
        "too little variety is kept": figures["distinct_2_ratio"]["value"] >= VARIETY,
        "the KL is over its budget": figures["kl_reference"]["value"] <= ROUND.align.kl_budget,
        "nobody was killed": figures["epochs"] > 1,
        "the killed alignment ended with other weights": figures["identical"],
    }
    return [words for words, held_ in bars.items() if not held_]


def main() -> int:
    """Prove, print the figures; 0 when all held."""
    ArgumentParser(parents=[ground.database_option()], description=__doc__).parse_args()
    named = os.environ.get(MODEL, "")
    if not (Path(named) / "config.json").is_file():
        print(f"Name a model's folder: make prove PART=real {MODEL}=FOLDER")
        return 1
    figures = prove(Path(named).resolve())
    print(json.dumps(figures))
    for words in (found := missed(figures)):
        print(words)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
