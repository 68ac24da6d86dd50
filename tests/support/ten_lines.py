"""The test that devnet/README.md shows, and files of tests for runs of pytest within pytest."""

import re
from pathlib import Path

README = Path(__file__).parents[2] / "devnet" / "README.md"
BLOCK = re.compile(r"## Network tests in ten lines\n.*?```python\n(.*?)```", re.DOTALL)


def read_ten_lines() -> str:
    """Return the file of a test that the README shows."""
    found = BLOCK.search(README.read_text(encoding="utf-8"))
    assert found is not None, "the README shows no test"
    return found[1]


def plant_bug(text: str) -> str:
    """Return the test with a last line that cannot hold."""
    planted = text.replace("[task] == 4", "[task] == 99")
    assert planted != text
    return planted
