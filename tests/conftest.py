"""What every test shares: how hypothesis searches."""

import os

from hypothesis import HealthCheck, settings

# `check` tries the same examples on every run, so that a failure is always the change's own.
# `night` searches where nobody has looked yet, for as long as one cares to.
settings.register_profile(
    "check",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=50,
    # How fast this machine draws an example says nothing about the code.
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "night",
    deadline=None,
    max_examples=5_000,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("MINESYNC_HYPOTHESIS_PROFILE", "check"))
