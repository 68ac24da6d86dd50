"""The Merkle tree of RFC 9162: known roots, and proofs that prove exactly one thing."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.merkle import compute_inclusion_proof, compute_root, is_included

# The leaves and roots that the tests of Certificate Transparency logs share.
KNOWN_ENTRIES = [
    bytes.fromhex(entry)
    for entry in [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ]
]
KNOWN_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def compute_root_as_the_rfc_says(entries: list[bytes]) -> bytes:
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\0" + entries[0]).digest()
    split = 1 << ((len(entries) - 1).bit_length() - 1)
    left, right = entries[:split], entries[split:]
    return hashlib.sha256(
        b"\1" + compute_root_as_the_rfc_says(left) + compute_root_as_the_rfc_says(right)
    ).digest()


@pytest.mark.parametrize("size", range(9))
def test_known_trees_have_their_known_roots(size: int) -> None:
    assert compute_root(KNOWN_ENTRIES[:size]).hex() == KNOWN_ROOTS[size]


@settings(deadline=None, max_examples=80)
@given(entries=st.lists(st.binary(max_size=4), max_size=70))
def test_the_root_is_that_of_the_recursive_definition(entries: list[bytes]) -> None:
    assert compute_root(entries) == compute_root_as_the_rfc_says(entries)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6, 7, 8, 13, 33])
def test_a_proof_shows_its_entry_at_its_place_and_nothing_else(size: int) -> None:
    entries = [number.to_bytes(32, "big") for number in range(size)]
    root = compute_root(entries)
    for index, entry in enumerate(entries):
        proof = compute_inclusion_proof(entries, index)
        assert is_included(entry, index, size, proof, root)
        for other in range(size):
            assert is_included(entries[other], index, size, proof, root) == (other == index)
            assert is_included(entry, other, size, proof, root) == (other == index)
        assert not is_included(entry, index, size, proof, bytes(32))
        assert not is_included(entry, index, size, (*proof, bytes(32)), root)
        if proof:
            assert not is_included(entry, index, size, proof[:-1], root)
            assert not is_included(entry, index, size, proof[1:], root)


def test_a_known_proof_is_made() -> None:
    assert [hash_.hex() for hash_ in compute_inclusion_proof(KNOWN_ENTRIES[:7], 4)] == [
        hashlib.sha256(b"\0" + KNOWN_ENTRIES[5]).hexdigest(),
        hashlib.sha256(b"\0" + KNOWN_ENTRIES[6]).hexdigest(),
        KNOWN_ROOTS[4],
    ]


@settings(deadline=None, max_examples=200)
@given(
    entry=st.binary(max_size=32),
    index=st.integers(-2, 1 << 70),
    size=st.integers(-2, 1 << 70),
    proof=st.lists(st.binary(min_size=31, max_size=33) | st.just(bytes(32)), max_size=70),
)
def test_what_is_no_proof_proves_nothing(
    entry: bytes, index: int, size: int, proof: list[bytes]
) -> None:
    assert not is_included(entry, index, size, proof, compute_root(KNOWN_ENTRIES))


def test_there_is_no_proof_of_an_entry_that_is_not_there() -> None:
    with pytest.raises(IndexError):
        compute_inclusion_proof([], 0)
    with pytest.raises(IndexError):
        compute_inclusion_proof(KNOWN_ENTRIES, -1)
