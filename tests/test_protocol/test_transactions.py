"""The signed transaction: its id, its two layers of bytes, and the signatures that are none."""

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import nacl.bindings
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import codec
from protocol.errors import Rejected
from protocol.intake import Intake
from protocol.keys import Signer, compute_address, is_valid_signature
from protocol.kinds.cancel_task import CancelTask
from protocol.transactions import (
    WIRE_BYTES_MAX,
    Header,
    SignedTransaction,
    compute_task_id,
    compute_tx_id,
    is_signed_by_author,
    read_header,
    sign_transaction,
    split_wire,
)
from tests.support.builders import a_hash, a_seed, a_signer, an_address

NETWORK = bytes(range(8))
GROUP_ORDER = (1 << 252) + 27742317777372353535851937790883648493

HEADER = Header(
    version=1,
    network=NETWORK,
    kind=7,
    author=an_address("alice"),
    seq=1,
    prev=a_hash("before"),
    epoch=5,
    anchor=bytes(16),
    subject=a_hash("a task"),
    refs=(),
)


def sign(header: Header = HEADER, payload: Any = None) -> SignedTransaction:
    return sign_transaction(header, payload or CancelTask("why not"), a_signer("alice"))


def code_of(call: Any, *args: Any) -> str:
    with pytest.raises(Rejected) as error:
        call(*args)
    return error.value.code


def test_a_transaction_survives_its_wire() -> None:
    tx = sign()
    assert split_wire(tx.wire) == (tx.body, tx.signature)
    assert read_header(tx.body)[0] == HEADER
    assert Intake(NETWORK).open(tx.wire) == tx


def test_the_id_is_the_hash_of_the_body_under_its_tag() -> None:
    tx = sign()
    assert tx.tx_id == hashlib.sha256(b"minesync/tx/1" + tx.body).digest()
    assert compute_tx_id(tx.body) == tx.tx_id


def test_the_id_of_a_task_names_network_author_and_place() -> None:
    author = an_address("alice")
    ids = {
        compute_task_id(network, who, seq)
        for network in (NETWORK, bytes(8))
        for who in (author, an_address("bob"))
        for seq in (0, 1, 1 << 40)
    }
    assert len(ids) == 12


def sign_with_nonce(tx: SignedTransaction, nonce: bytes) -> bytes:
    """Return another valid signature of the same author: Ed25519 with a nonce of our choice."""
    seed_hash = hashlib.sha512(a_seed("alice")).digest()
    scalar = bytearray(seed_hash[:32])
    scalar[0] &= 248
    scalar[31] = scalar[31] & 127 | 64
    secret = nacl.bindings.crypto_core_ed25519_scalar_reduce(bytes(scalar) + bytes(32))
    r = nacl.bindings.crypto_core_ed25519_scalar_reduce(hashlib.sha512(nonce).digest())
    point = nacl.bindings.crypto_scalarmult_ed25519_base_noclamp(r)
    message = b"minesync/sig/1" + tx.tx_id
    challenge = hashlib.sha512(point + tx.header.author + message).digest()
    h = nacl.bindings.crypto_core_ed25519_scalar_reduce(challenge)
    product = nacl.bindings.crypto_core_ed25519_scalar_mul(h, secret)
    return point + nacl.bindings.crypto_core_ed25519_scalar_add(r, product)


def test_a_second_valid_signature_makes_no_second_transaction() -> None:
    tx = sign()
    other = replace(tx, signature=sign_with_nonce(tx, b"another nonce"))
    assert other.signature != tx.signature
    assert is_signed_by_author(other)
    opened = Intake(NETWORK).open(other.wire)
    assert opened.tx_id == tx.tx_id
    assert opened.wire != tx.wire


def test_a_signature_with_the_group_order_added_is_none() -> None:
    tx = sign()
    scalar = int.from_bytes(tx.signature[32:], "little") + GROUP_ORDER
    forged = tx.signature[:32] + scalar.to_bytes(32, "little")
    assert is_signed_by_author(tx)
    assert not is_signed_by_author(replace(tx, signature=forged))


@given(st.integers(0, 64 * 8 - 1))
def test_a_signature_with_any_bit_turned_is_none(bit: int) -> None:
    tx = sign()
    forged = bytearray(tx.signature)
    forged[bit // 8] ^= 1 << bit % 8
    assert not is_signed_by_author(replace(tx, signature=bytes(forged)))


# The points of small order, each in every encoding (libsodium, ge25519_has_small_order).
SMALL_ORDER = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
]


@pytest.mark.parametrize("key", SMALL_ORDER)
def test_a_key_of_small_order_signs_nothing(key: str) -> None:
    # With such a key, S = 0 and R of small order satisfy the equation for one message in eight.
    for point in SMALL_ORDER:
        forged = bytes.fromhex(point) + bytes(32)
        assert not any(
            is_valid_signature(bytes.fromhex(key), bytes([i]), forged) for i in range(16)
        )


@pytest.mark.parametrize(("address", "signature"), [(31, 64), (33, 64), (32, 63), (32, 65), (0, 0)])
def test_keys_and_signatures_of_other_lengths_are_none(address: int, signature: int) -> None:
    assert not is_valid_signature(bytes(address), b"message", bytes(signature))


def test_the_vectors_of_rfc_8032_hold() -> None:
    # Section 7.1, TEST 2.
    seed = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    address = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert compute_address(seed) == address
    assert Signer(seed).sign(b"\x72") == signature
    assert is_valid_signature(address, b"\x72", signature)


@pytest.mark.parametrize(
    ("place", "value", "code"),
    [
        (0, 2, "tx_version"),
        (0, 0, "tx_version"),
        (1, bytes(7), "field_size"),
        (2, "cancel", "field_type"),
        (3, bytes(31), "field_size"),
        (4, 0, "tx_chain"),
        (5, None, "tx_chain"),
        (5, bytes(16), "field_size"),
        (6, 0, "tx_epoch"),
        (6, 1 << 31, "field_range"),
        (7, bytes(32), "field_size"),
        (8, None, "field_type"),
        (9, [bytes([2] * 32), bytes([1] * 32)], "tx_refs"),
        (9, [bytes(32), bytes(32)], "tx_refs"),
        (9, [bytes([i] * 32) for i in range(9)], "field_size"),
        (9, None, "field_type"),
    ],
)
def test_a_header_against_the_rules_is_refused(place: int, value: Any, code: str) -> None:
    body = codec.decode(sign().body)
    body[place] = value
    assert code_of(read_header, codec.encode(body)) == code


def test_eight_sorted_refs_are_allowed() -> None:
    refs = tuple(bytes([i] * 32) for i in range(8))
    tx = sign(replace(HEADER, refs=refs))
    assert read_header(tx.body)[0].refs == refs


@pytest.mark.parametrize("length", [10, 12])
def test_a_body_of_another_length_is_refused(length: int) -> None:
    body = [*codec.decode(sign().body), 0][:length]
    assert code_of(read_header, codec.encode(body)) == "tx_shape"


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (codec.encode([b"body"]), "tx_shape"),
        (codec.encode([b"body", bytes(64), 0]), "tx_shape"),
        (codec.encode([b"body", "signature"]), "tx_shape"),
        (codec.encode([b"body", bytes(63)]), "tx_shape"),
        (codec.encode(b"body"), "tx_shape"),
        (b"", "codec_truncated"),
        (bytes(WIRE_BYTES_MAX + 1), "tx_too_long"),
    ],
)
def test_a_wire_of_another_shape_is_refused(wire: bytes, code: str) -> None:
    assert code_of(split_wire, wire) == code


def test_a_body_that_is_spelt_otherwise_is_refused() -> None:
    tx = sign()
    assert tx.body[:2] == b"\x8b\x01"
    respelt = b"\x8b\x18\x01" + tx.body[2:]
    wire = codec.encode([respelt, tx.signature])
    assert code_of(Intake(NETWORK).read, wire) == "codec_not_minimal"
    trailing = codec.encode([tx.body + b"\x00", tx.signature])
    assert code_of(Intake(NETWORK).read, trailing) == "codec_trailing_bytes"


@dataclass(frozen=True, slots=True)
class Luggage:
    data: bytes


def test_a_transaction_too_long_to_travel_is_not_signed() -> None:
    rest = len(sign(payload=Luggage(bytes(1_000))).wire) - 1_000
    assert len(sign(payload=Luggage(bytes(WIRE_BYTES_MAX - rest))).wire) == WIRE_BYTES_MAX
    assert code_of(sign, HEADER, Luggage(bytes(WIRE_BYTES_MAX - rest + 1))) == "tx_too_long"


@settings(max_examples=300)
@given(st.binary(max_size=400))
def test_any_bytes_are_refused_with_a_reason(wire: bytes) -> None:
    with pytest.raises(Rejected):
        Intake(NETWORK).open(wire)


@settings(max_examples=300)
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_transaction_with_any_byte_changed_is_refused(place: int, mask: int) -> None:
    wire = bytearray(sign().wire)
    wire[place % len(wire)] ^= mask
    with pytest.raises(Rejected):
        Intake(NETWORK).open(bytes(wire))
