"""What routers tell each other of backends: which have failed, and which asked to be left alone.

By the time of day and not by what is left of it, so that what one has heard and tells on grows no longer on its way. What another
router found to fail comes last here for as long, and is not refused: it may be that router's own network that is broken. What a
backend asked for itself, by `Retry-After`, holds for all.
"""

from collections.abc import Iterable, Mapping
from time import time
from typing import Any, cast

import orjson

from slipway_router.target import Target

LEAST_SECONDS = 0.3
"""What is over sooner is not worth telling."""


def told(targets: Mapping[str, Target]) -> str:
    """What there is to tell; empty where all is well."""
    now = time()
    failing: dict[str, int] = {}
    resting: dict[str, int] = {}
    quotas: dict[str, int] = {}
    for name, target in targets.items():
        if not target.breaker.closed:
            _note(failing, name, now, target.breaker.wait_seconds)
        cooldown, quota = target.status.cooldown, target.status.quota
        if cooldown.until:
            _note(resting, name, now, cooldown.wait_seconds)
        if quota.until:
            shared = target.backend.quota
            _note(quotas if shared is not None else resting, shared or name, now, quota.wait_seconds)
    found = {"failing": failing, "resting": resting, "quotas": quotas}
    return orjson.dumps(found).decode() if failing or resting or quotas else ""


def heard(targets: Mapping[str, Target], said: Iterable[str]) -> None:
    """Take in what others tell. Of backends that are not known here, nothing."""
    now = time()
    for text in said:
        found: dict[str, Any] = orjson.loads(text)
        failing, resting, quotas = (cast("dict[str, int]", found.get(k, {})) for k in ("failing", "resting", "quotas"))
        for name, until in failing.items():
            if name in targets and until / 1000 > now:
                targets[name].status.hear_failing(until / 1000 - now)
        for name, target in targets.items():
            for until in (resting.get(name, 0), quotas.get(target.backend.quota or "", 0)):
                left = until / 1000 - now
                if left > 0 and left > target.status.rests_seconds + LEAST_SECONDS:
                    (target.status.quota if target.backend.quota in quotas else target.status.cooldown).rest(left)


def _note(found: dict[str, int], name: str, now: float, seconds: float) -> None:
    if seconds > LEAST_SECONDS:
        found[name] = max(found.get(name, 0), int((now + seconds) * 1000))
