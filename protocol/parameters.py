"""Which numbers of a network its sealers can change, and what each may become.

What the fold reads of a parameter it reads at the epoch it folds, so a change says nothing of the
past. What a running task was promised lies in its row and stays: its deadlines, its terms, its
stakes. A parameter is fixed only where somebody goes on reading the past by it.
"""

from dataclasses import fields, replace
from types import MappingProxyType
from typing import Any, get_args, get_type_hints

from protocol.errors import Rejected
from protocol.params import Epochs, Params
from protocol.schema import Between
from protocol.task_types import Difficulty

FIXED = MappingProxyType(
    {
        "late_epochs": "what was signed under it must keep the epochs in which it may be sealed",
        "resolution_epochs": "rows of tasks that closed are dropped by it, and cannot come back",
        "epochs_per_day": "the days of the past are counted by it",
    }
)
"""Parameters that no vote changes, and why."""
WINDOW_EPOCHS_MAX = 1 << 24
"""Of every window: so many of them after one another still end before the last epoch there is."""


def _read_bounds() -> dict[str, tuple[Between, int]]:
    """Return the bounds of each parameter and how many numbers it is made of."""
    bounds: dict[str, tuple[Between, int]] = {}
    for name, hint in get_type_hints(Params, include_extras=True).items():
        parts = get_args(hint)
        if hint == Epochs:
            bounds[name] = Between(0, WINDOW_EPOCHS_MAX), 1
        elif isinstance(parts[1], Between):
            bounds[name] = parts[1], 1
        else:
            bounds[name] = get_args(parts[0])[1], len(Difficulty)
    return bounds


_BOUNDS = _read_bounds()
NAMES: tuple[str, ...] = tuple(one.name for one in fields(Params) if one.name not in FIXED)
"""The parameters that can be changed, in the order of `Params`."""


def check_value(name: str, values: tuple[int, ...]) -> None:
    """Check what can be said of a value without knowing the other parameters.

    Raises:
        Rejected: `unknown_parameter`, `fixed_parameter` or `bad_value`.
    """
    if name in FIXED:
        raise Rejected("fixed_parameter", name, "one that no past depends on")
    if name not in _BOUNDS:
        raise Rejected("unknown_parameter", f"{len(name)} characters", "a field of Params")
    bounds, count = _BOUNDS[name]
    if len(values) != count:
        raise Rejected("bad_value", f"{name} of {len(values)} numbers", count)
    # The bound on what costs nothing is the fee of a publication: with 0 there would be none.
    least = max(bounds.lowest, 1) if name == "publish_fee" else bounds.lowest
    for value in values:
        if not least <= value <= bounds.highest:
            raise Rejected("bad_value", f"{name} {value}", f"{least}..{bounds.highest}")


def read_values(params: Params, name: str) -> tuple[int, ...]:
    """Return the numbers that a parameter is made of."""
    value: Any = getattr(params, name)
    return value if isinstance(value, tuple) else (value,)


def with_values(params: Params, name: str, values: tuple[int, ...]) -> Params:
    """Return `params` with another value of one parameter.

    Raises:
        Rejected: as `check_value`, or `params_relation`.
    """
    check_value(name, values)
    value: Any = values if _BOUNDS[name][1] > 1 else values[0]
    return replace(params, **{name: value})
