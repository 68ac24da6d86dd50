"""How a benchmark speaks: one line of JSON on standard output."""

import json


def report(
    name: str, figure: float, unit: str, limit: float, limit_name: str, **extra: object
) -> None:
    """Print one line of JSON: a figure, the limit measured in the same run, and their ratio.

    Args:
        name: what was measured.
        figure: the result, in `unit`.
        unit: such as "per_second" or "us".
        limit: in the same unit, what the machine allowed in this run.
        limit_name: what the limit is made of.
        extra: further figures, named with their units.
    """
    line = {
        "name": name,
        "figure": _round(figure),
        "unit": unit,
        "limit": _round(limit),
        "limit_name": limit_name,
        "ratio": _round(figure / limit) if limit else None,
    }
    further = {key: _round(value) for key, value in extra.items()}
    print(json.dumps(line | further), flush=True)


def _round(value: object) -> object:
    """Return floats with four significant digits, anything else as it is."""
    return float(f"{value:.4g}") if isinstance(value, float) else value
