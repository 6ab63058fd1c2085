"""What will not work although it can be created: warnings of a plan."""

from slipway.plan.gpus import unprovided
from slipway.plan.keda import shut_out
from slipway.plan.objects import meeting
from slipway.plan.plan import Plan


def foreseen(plan: Plan) -> list[str]:
    """All of them, each with the choice that there is."""
    return [*unprovided(plan), *shut_out(plan), *meeting(plan)]
