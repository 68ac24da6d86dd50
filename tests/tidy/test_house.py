"""The house itself: what is installed is pinned by content, what CI runs is what a person runs."""

import os
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from typing import Any

from tests.tidy.tree import FLOORS, ROOT, read_imports, read_sources

PIN = re.compile(r"^([a-z0-9-]+)==(\S+)(?: ; [^\\]+)? \\$")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}(?: \\)?$")
TESTING = "devnet/testing/"
NAME = re.compile(r"[A-Za-z0-9._-]+")


def normalize(name: str) -> str:
    """Return a distribution's name in the one spelling that pins use."""
    return re.sub(r"[._-]+", "-", name).lower()


def read_project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def read_pins() -> dict[str, list[str]]:
    """Return the hashes by package name. Any line that is neither pin nor hash is refused."""
    pins: dict[str, list[str]] = {}
    name = ""
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        if pin := PIN.match(line):
            name = pin[1]
            assert name not in pins, f"{name} is pinned twice"
            pins[name] = []
        else:
            assert HASH.match(line), f"neither a pin nor a hash: {line}"
            pins[name].append(line)
    return pins


def test_everything_installed_is_pinned_by_version_and_content() -> None:
    pins = read_pins()
    assert pins
    assert [name for name, hashes in pins.items() if not hashes] == []


def test_every_dependency_that_we_name_is_pinned() -> None:
    project = read_project()["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    wanted = [one for group in groups for one in group]
    names = {normalize(match[0]) for one in wanted if (match := NAME.match(one))}
    assert names - read_pins().keys() == set()


def test_every_library_that_we_import_is_one_that_we_name() -> None:
    # What another dependency happens to bring along today may be gone tomorrow.
    project = read_project()["project"]
    testing = project["optional-dependencies"]["testing"]
    owners = packages_distributions()
    unnamed = set()
    for source in read_sources(*FLOORS):
        given = project["dependencies"] + (testing if source.path.startswith(TESTING) else [])
        named = {normalize(match[0]) for one in given if (match := NAME.match(one))}
        for found, name in read_imports(source):
            top = name.partition(".")[0]
            if top in sys.stdlib_module_names or top in FLOORS:
                continue
            if named.isdisjoint(normalize(owner) for owner in owners.get(top, [])):
                unnamed.add(f"{source.place(found)} {top}")
    assert sorted(unnamed) == []


def test_no_file_of_the_house_names_a_place_to_download_from() -> None:
    for name in ("constraints.txt", "pyproject.toml", "Makefile", ".ci/run"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert "://" not in text, name
        assert "index-url" not in text, name


def test_every_lint_rule_that_is_off_says_why() -> None:
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    lint = read_project()["tool"]["ruff"]["lint"]
    off = {
        *lint["ignore"],
        *(rule for rules in lint["per-file-ignores"].values() for rule in rules),
    }
    for rule in off:
        assert any(re.search(rf'"{rule}", # \w', line) for line in lines), rule


def test_the_wheel_holds_the_four_floors() -> None:
    assert read_project()["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == [*FLOORS]


def test_ci_runs_what_a_person_runs() -> None:
    run = ROOT / ".ci" / "run"
    assert os.access(run, os.X_OK)
    lines = run.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines
    assert [line for line in lines if line.startswith("make ")] == ["make test"]


def test_every_make_target_is_listed_by_help() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.+)$", text, re.MULTILINE)
    assert phony is not None
    explained = re.findall(r"^([a-z]+):.* ## \S", text, re.MULTILINE)
    assert sorted(phony[1].split()) == sorted(explained)
