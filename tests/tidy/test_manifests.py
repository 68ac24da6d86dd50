"""What is drawn from the tables of a manifest says what they say: the schema and the README.

REWRITE=1 writes both anew; then read the difference.
"""

import json
import os

import pytest

from devnet.conditions import FACTS, QUANTITIES
from devnet.manifests.reader import SHIPPED, list_shipped
from devnet.manifests.schema import build_schema, render_tables
from tests.tidy.tree import ROOT

README = ROOT / "devnet" / "README.md"
SCHEMA = SHIPPED / "schema.json"
BEGIN = "<!-- The fields, drawn from devnet/manifests/tables.py: REWRITE=1 pytest tests/tidy -->\n"
END = "<!-- End of the fields. -->\n"


def test_the_schema_that_is_shipped_is_that_of_the_code() -> None:
    drawn = json.dumps(build_schema(), indent=2) + "\n"
    if os.environ.get("REWRITE") == "1":
        SCHEMA.write_text(drawn, encoding="utf-8")
    assert SCHEMA.read_text(encoding="utf-8") == drawn


def test_the_readme_lists_every_field_of_a_manifest() -> None:
    head, begin, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    written, end, tail = rest.partition(END)
    assert begin
    assert end
    drawn = f"\n{render_tables()}\n"
    if os.environ.get("REWRITE") == "1":
        README.write_text(head + begin + drawn + end + tail, encoding="utf-8")
        written = drawn
    assert written == drawn


@pytest.mark.parametrize("word", [*QUANTITIES, *FACTS])
def test_the_readme_names_what_conditions_can_speak_of(word: str) -> None:
    assert f"`{word}`" in README.read_text(encoding="utf-8")


def test_the_readme_names_every_manifest_that_is_shipped() -> None:
    text = README.read_text(encoding="utf-8")
    assert [name for name in list_shipped() if f"| {name} |" not in text] == []
