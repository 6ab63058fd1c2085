"""Kubernetes' notation of amounts: `500m` of a CPU, `1Gi` of memory."""

import re
from decimal import Decimal

_SHAPE = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?P<unit>[numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,2})?")
_UNITS = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}


def parse(text: str) -> Decimal:
    """The value of a quantity, in cores or bytes. Format: Kubernetes API reference, "Quantity".

    Raises:
        ValueError: `text` is not one, or has a sign.
    """
    shape = _SHAPE.fullmatch(text)
    if shape is None:
        raise ValueError(f"{text!r} is no quantity")
    number, unit = Decimal(shape["number"]), shape["unit"] or ""
    if unit in _BINARY:
        return number * 1024 ** _BINARY[unit]
    return number.scaleb(_UNITS[unit] if unit in _UNITS else int(unit[1:]))
