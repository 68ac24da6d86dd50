"""The birth of a network: strict bytes, and a hash that everything in it changes."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import codec
from protocol.errors import Rejected
from protocol.genesis import Allocation, Genesis
from protocol.invariants import check_whole_state
from protocol.params import AMOUNT_MAX, MAINNET, MINIMAL, PRESETS
from protocol.records import Account, Ledger
from protocol.schema import to_plain
from protocol.tables import ACCOUNTS, LEDGER, LEDGER_KEY
from tests.support.builders import BALANCE, CAST, a_genesis, an_address

GENESIS = a_genesis()


def code_of(data: bytes) -> str:
    with pytest.raises(Rejected) as error:
        Genesis.from_bytes(data)
    return error.value.code


def test_a_genesis_survives_its_bytes() -> None:
    assert Genesis.from_bytes(GENESIS.to_bytes()) == GENESIS


def test_the_network_is_the_beginning_of_the_hash() -> None:
    assert GENESIS.network == GENESIS.hash[:8]


def test_whatever_differs_makes_another_network() -> None:
    allocations = GENESIS.allocations
    variants = [
        GENESIS,
        replace(GENESIS, name="others"),
        replace(GENESIS, salt=b"s" * 32),
        replace(GENESIS, params=MAINNET),
        replace(GENESIS, params=replace(MINIMAL, score_tolerance=16)),
        replace(GENESIS, allocations=allocations[1:]),
        replace(
            GENESIS,
            allocations=(replace(allocations[0], balance=BALANCE + 1), *allocations[1:]),
        ),
        a_genesis(sealers=("sealer", "another")),
    ]
    assert len({genesis.hash for genesis in variants}) == len(variants)
    assert len({genesis.network for genesis in variants}) == len(variants)


def test_all_money_there_will_ever_be_is_in_the_first_rows() -> None:
    rows = GENESIS.rows()
    supply = len(CAST) * BALANCE
    assert GENESIS.supply == supply
    assert rows[(LEDGER.name, LEDGER_KEY)] == Ledger(supply, supply, 0, 0, 0, 0)
    address = an_address("alice")
    assert rows[(ACCOUNTS.name, address)] == Account(address, BALANCE, 0, None, None)
    check_whole_state(rows)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"allocations": tuple(reversed(GENESIS.allocations))}, "genesis_unsorted"),
        ({"allocations": GENESIS.allocations[:1] * 2}, "genesis_unsorted"),
        ({"sealers": (an_address("alice"),) * 2}, "genesis_unsorted"),
        ({"sealers": ()}, "genesis_no_sealer"),
        (
            {
                "allocations": (
                    Allocation(bytes(32), AMOUNT_MAX),
                    Allocation(b"\1" * 32, 1),
                )
            },
            "genesis_supply",
        ),
    ],
)
def test_a_genesis_against_the_rules_is_refused(changes: dict[str, Any], code: str) -> None:
    assert code_of(replace(GENESIS, **changes).to_bytes()) == code


def test_params_against_their_relations_are_refused() -> None:
    plain = to_plain(GENESIS)
    plain[2][0] = 1_000
    assert Genesis.from_bytes(codec.encode(plain))
    for place, value in ((2, 0), (12, 2)):
        broken = to_plain(GENESIS)
        broken[2][place] = value
        assert code_of(codec.encode(broken)) == "params_relation"


@pytest.mark.parametrize(
    "changes",
    [
        {"submission_epochs_min": 0},
        {"submission_epochs_max": 3},
        {"reveal_epochs_min": 0},
        {"validation_epochs": 0},
        {"finalize_epochs": 0},
        {"dispute_epochs": 0},
        {"resolution_epochs": 3},
        {"reviewers_min": 2},
        {"consensus_threshold_min": 5_000},
        {"epochs_per_day": 0},
        {"panel_spares": 33},
        {"reward_min": (16, 15, 50, 200)},
        {"stake_min": (1, 3, 10)},
    ],
)
def test_every_relation_between_params_is_checked(changes: dict[str, Any]) -> None:
    with pytest.raises(Rejected) as error:
        replace(MINIMAL, **{"reward_max": (15, 15, 50, 200), **changes})
    assert error.value.code == "params_relation"


def test_the_presets_hold_their_own_relations() -> None:
    for params in PRESETS.values():
        assert replace(params) == params


@pytest.mark.parametrize(
    ("submission", "mainnet", "minimal"), [(60, 360, 17), (4, 360, 3), (8_640, 2_468, 2_468)]
)
def test_the_reveal_window_grows_with_the_submission_window(
    submission: int, mainnet: int, minimal: int
) -> None:
    assert MAINNET.compute_reveal_epochs(submission) == mainnet
    assert MINIMAL.compute_reveal_epochs(submission) == minimal


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_with_a_reason(data: bytes) -> None:
    with pytest.raises(Rejected):
        Genesis.from_bytes(data)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_makes_another_network(place: int, mask: int) -> None:
    data = bytearray(GENESIS.to_bytes())
    data[place % len(data)] ^= mask
    try:
        other = Genesis.from_bytes(bytes(data))
    except Rejected:
        return
    assert other.to_bytes() == bytes(data)
    assert other.hash != GENESIS.hash
