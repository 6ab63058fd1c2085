"""Which version of the router this is."""

from importlib.metadata import PackageNotFoundError, version


def _known() -> str:
    try:
        return version("slipway")
    except PackageNotFoundError:  # the router's image carries the source alone
        return "unknown"


VERSION = _known()
