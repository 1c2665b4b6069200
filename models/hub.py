"""The model hub when there is no network: find out in seconds instead of retrying for half a minute."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Thread
from typing import Any

from huggingface_hub import constants, get_session

SECONDS = 5.0


@cache
def reachable() -> bool:
    """Whether the hub answers within `SECONDS`; asked once per process.

    The question is asked in a thread of its own because no timeout covers name resolution.
    """
    answers: list[int] = []

    def ask() -> None:
        try:
            answers.append(get_session().head(constants.ENDPOINT, timeout=SECONDS).status_code)
        except Exception:
            return  # whatever the reason, there is no answer

    thread = Thread(target=ask, daemon=True)
    thread.start()
    thread.join(SECONDS)
    return bool(answers)


@contextmanager
def offline_if_unreachable(*libraries: Any) -> Iterator[bool]:
    """Inside, nothing asks a hub that does not answer; what is cached still loads. Yields whether it is offline.

    Args:
        libraries: modules with a switch HF_HUB_OFFLINE of their own.
    """
    offline = constants.is_offline_mode() or not reachable()
    switches = [(module, module.HF_HUB_OFFLINE) for module in (constants, *libraries)]
    try:
        for module, _ in switches:
            module.HF_HUB_OFFLINE = offline
        yield offline
    finally:
        for module, before in switches:
            module.HF_HUB_OFFLINE = before
