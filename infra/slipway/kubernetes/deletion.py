"""What becomes of data when the component that keeps it is deleted."""

from enum import StrEnum


class DeletionPolicy(StrEnum):
    """What becomes of a component's volume."""

    DELETE = "delete"
    """It goes with the component, and the data with it."""
    RETAIN = "retain"
    """It stays in the cluster under its name, for somebody to use again or delete."""
    PROTECT = "protect"
    """As 'retain', and Pulumi refuses to delete what holds it until `pulumi state unprotect`, or this argument, allows it."""

    @property
    def keeps(self) -> bool:
        """Whether the volume outlives the component."""
        return self is not DeletionPolicy.DELETE
