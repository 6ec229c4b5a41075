"""Who is answered first: what a page asks for by itself never stands before what a person does."""

from typing import Any, Protocol

from waitress.task import ThreadedTaskDispatcher

PATIENT = 4  # one thread of so many, at least one, answers what can wait


class Task(Protocol):
    """Something to be done in a thread."""

    def service(self) -> None:
        """Do it."""
        ...


def can_wait(task: Task) -> bool:
    """Whether a script asks to read something, as pages do that show how far things are."""
    asked: Any = next(iter(getattr(task, "requests", ())), None)
    if getattr(asked, "command", "") not in ("GET", "HEAD"):  # nothing, or not whole yet
        return False
    return "HX_REQUEST" in asked.headers or asked.headers.get("SEC_FETCH_DEST") == "empty"


class Turns:
    """Threads for what is urgent, and few others for what can wait: neither waits for the other."""

    def __init__(self, threads: int) -> None:
        patient = max(1, threads // PATIENT)
        self.urgent, self.patient = ThreadedTaskDispatcher(), ThreadedTaskDispatcher()
        self.patient.set_thread_count(patient)
        self.urgent.set_thread_count(max(1, threads - patient))

    def add_task(self, task: Task) -> None:
        """Do it when a thread of its kind is free."""
        (self.patient if can_wait(task) else self.urgent).add_task(task)

    def shutdown(self, *, timeout: float) -> None:
        """End all threads."""
        for each in (self.urgent, self.patient):
            each.shutdown(timeout=timeout)
