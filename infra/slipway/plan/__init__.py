"""What a program would create, captured without an engine, a cluster, a cloud account or a secret."""

from slipway.plan.plan import Plan, PlanError, Resource
from slipway.plan.program import plan_project
from slipway.plan.run import plan_program
from slipway.plan.values import UNKNOWN, Secret

__all__ = ["UNKNOWN", "Plan", "PlanError", "Resource", "Secret", "plan_program", "plan_project"]
