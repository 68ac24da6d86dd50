"""Secrets that nobody knows until f + 1 sealers open them: publicly verifiable secret sharing.

Sources: B. Schoenmakers, "A simple publicly verifiable secret sharing scheme and its application to
electronic voting", CRYPTO 1999; I. Cascudo, B. David, "SCRAPE: scalable randomness attested by
public entities", ACNS 2017 (the check of the degree, section 2.1 and 4.1).

    dealer    p a polynomial of degree f, at place i: commitment p(i) H, share p(i) A_i
              with a proof that both have one factor                        secret: p(0) B
    sealer i  opens its share: (p(i) A_i) / a_i = p(i) B, with a proof      A_i = a_i B, its address
    anybody   p(0) B from any f + 1 of these

B is the base point of Ed25519 and H a point of which nobody knows the factor to B. All proofs are
those of Chaum and Pedersen, made non-interactive by a hash.

The key of a share is the sealer's address itself, so no key of another kind is needed. That is
sound: (1) what a sealer opens tells a dealer nothing, since a valid deal proves that its dealer
knows p(i), so he could compute p(i) B himself: to dividing by a_i there is no other way in; (2) the
proof of an opening is zero-knowledge, its hash has tags of its own, and its nonce comes from the
seed by another keyed hash than that of a signature and covers all that is proven, so no two proofs
share a nonce; (3) a signature under A_i is therefore as hard to forge as before, and helps no more
with a share than any statement that its holder made with a random nonce. An address that is not of
the group (its holder made it so, to no use) gets no share: he counts as one who stays silent.

What a dealer draws comes from his key by a keyed hash over the epoch and the keys he deals to: he
deals the same again after whatever happened, and no file has to remember it. (So sealers that all
went back to an older state would open secrets again that are known. Their marks forbid it.)
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated

from protocol import codec
from protocol.charter_records import SEALERS_MAX
from protocol.errors import Rejected
from protocol.group import (
    IDENTITY,
    ORDER,
    POINT_BYTES,
    SCALAR_BYTES,
    add,
    hash_to_point,
    hash_to_scalar,
    is_point,
    multiply,
    multiply_base,
    read_scalar,
    to_scalar,
    write_scalar,
)
from protocol.hashing import compute_hash
from protocol.keys import SIGNATURE_BYTES, Signer, is_valid_signature
from protocol.params import Epochs
from protocol.schema import AtMost, Exactly
from protocol.task_types import Address

SECRET_BYTES = 32
DEALS_MAX = (SEALERS_MAX - 1) // 3 + 1
H = hash_to_point(b"commitment-point")

Points = Annotated[bytes, AtMost(SEALERS_MAX * POINT_BYTES)]


@dataclass(frozen=True, slots=True)
class Deal:
    """One sealer's secret for an epoch, shared among all sealers of that epoch.

    Attributes:
        epoch: whose beacon the secret is for.
        commitments: p(i) H for each place, packed; `shares`: p(i) A_i likewise.
        proof: that the two have one factor at each place: a challenge, and a response for each.
        signature: of the dealer, over the hash of the rest.
    """

    epoch: Epochs
    dealer: Address
    commitments: Points
    shares: Points
    proof: Annotated[bytes, AtMost((1 + SEALERS_MAX) * SCALAR_BYTES)]
    signature: Annotated[bytes, Exactly(SIGNATURE_BYTES)]


@dataclass(frozen=True, slots=True)
class Opening:
    """What one sealer adds to the opening of all secrets of an epoch.

    Attributes:
        shares: p(i) B of each deal, in their order, packed.
        proof: that these are the shares that were dealt to it: a challenge and a response.
        signature: over the hash of the rest: a forged one is told by it, which is cheaper.
    """

    epoch: Epochs
    sealer: Address
    shares: Annotated[bytes, AtMost(DEALS_MAX * POINT_BYTES)]
    proof: Annotated[bytes, Exactly(2 * SCALAR_BYTES)]
    signature: Annotated[bytes, Exactly(SIGNATURE_BYTES)]


def count_deals(sealers: int) -> int:
    """Return how many deals make the secret of an epoch: f + 1, of which one is honest; 0 if f = 0.

    So many of the sealers can open a secret, too. Where nobody is assumed to lie there is none.
    """
    faulty = (sealers - 1) // 3
    return faulty + 1 if faulty else 0


def list_recipients(sealers: Iterable[bytes]) -> list[bytes]:
    """Return the sealers that can have a share, each at its place: the first has place 1."""
    return [one for one in sealers if is_point(one)]


@lru_cache(maxsize=64)
def compute_deal_hash(network: bytes, deal: Deal) -> bytes:
    """Return the hash (32 bytes) by which a seal names a deal; the signature is no part of it."""
    plain = [deal.epoch, deal.dealer, deal.commitments, deal.shares, deal.proof]
    return compute_hash("deal", network, codec.encode(plain))


def compute_opening_hash(network: bytes, opening: Opening) -> bytes:
    """Return what the signature of an opening is under (32 bytes)."""
    plain = [opening.epoch, opening.sealer, opening.shares, opening.proof]
    return compute_hash("opening", network, codec.encode(plain))


# ---------------------------------------------------------------------------------------- dealing


def build_deal(network: bytes, epoch: int, sealers: Sequence[bytes], signer: Signer) -> Deal:
    """Return what this sealer deals to all sealers of an epoch; always the same."""
    recipients = list_recipients(sealers)
    statement = codec.encode([network, epoch, *recipients])

    def draw(purpose: bytes, number: int) -> int:
        return to_scalar(signer.derive(purpose, number.to_bytes(2, "big") + statement))

    coefficients = [draw(b"deal", power) for power in range(count_deals(len(sealers)))]
    places = range(1, len(recipients) + 1)
    values = [_evaluate(coefficients, place) for place in places]
    nonces = [draw(b"deal nonce", place) for place in places]
    pairs = list(zip(values, recipients, strict=True))
    commitments = [multiply(value, H) for value, _ in pairs]
    shares = [multiply(value, key) for value, key in pairs]
    masks = [
        point
        for nonce, key in zip(nonces, recipients, strict=True)
        for point in (multiply(nonce, H), multiply(nonce, key))
    ]
    bound = _bind(network, epoch, signer.address, recipients)
    challenge = hash_to_scalar(b"deal-proof", bound, *commitments, *shares, *masks)
    responses = [nonce - challenge * value for nonce, value in zip(nonces, values, strict=True)]
    unsigned = Deal(
        epoch=epoch,
        dealer=signer.address,
        commitments=b"".join(commitments),
        shares=b"".join(shares),
        proof=b"".join(map(write_scalar, (challenge, *responses))),
        signature=bytes(SIGNATURE_BYTES),
    )
    signature = signer.sign(compute_deal_hash(network, unsigned))
    return replace(unsigned, signature=signature)


def check_deal(network: bytes, deal: Deal, epoch: int, sealers: Sequence[bytes]) -> None:
    """Check that a deal for `epoch` gives every sealer a share of one secret.

    Raises:
        Rejected: `deal_epoch`, `deal_dealer`, `deal_shape`, `deal_signature`, `deal_degree`,
            `deal_proof`, `group_…`.
    """
    if deal.epoch != epoch:
        raise Rejected("deal_epoch", deal.epoch, epoch)
    if deal.dealer not in sealers:
        raise Rejected("deal_dealer", deal.dealer.hex()[:16], "a sealer of the epoch")
    recipients = list_recipients(sealers)
    size = len(recipients) * POINT_BYTES
    sizes = len(deal.commitments), len(deal.shares), len(deal.proof)
    if sizes != (size, size, size + SCALAR_BYTES):
        raise Rejected("deal_shape", f"{len(deal.shares)} bytes of shares", size)
    if not is_valid_signature(deal.dealer, compute_deal_hash(network, deal), deal.signature):
        raise Rejected("deal_signature", deal.dealer.hex()[:16], "a valid signature")
    commitments, shares = _cut(deal.commitments), _cut(deal.shares)
    challenge, *responses = map(read_scalar, _cut(deal.proof))
    masks = []
    for commitment, share, response, key in zip(
        commitments, shares, responses, recipients, strict=True
    ):
        masks.append(add(multiply(response, H), multiply(challenge, commitment)))
        masks.append(add(multiply(response, key), multiply(challenge, share)))
    bound = _bind(network, epoch, deal.dealer, recipients)
    if challenge != hash_to_scalar(b"deal-proof", bound, *commitments, *shares, *masks):
        raise Rejected("deal_proof", deal.dealer.hex()[:16], "one factor at each place")
    _check_degree(commitments, count_deals(len(sealers)))


def _check_degree(commitments: Sequence[bytes], threshold: int) -> None:
    """Check that committed values lie on a polynomial of a degree below `threshold`.

    They are multiplied by a word of the dual code, chosen by a hash of all of them: of values that
    lie on none, one word in `ORDER` gives 0 (SCRAPE, lemma 1).
    """
    count = len(commitments)
    word = [
        hash_to_scalar(b"deal-degree", number.to_bytes(2, "big"), *commitments)
        for number in range(count - threshold)
    ]
    total = IDENTITY
    for place, commitment in enumerate(commitments, start=1):
        others = [other for other in range(1, count + 1) if other != place]
        weight = _divide(_evaluate(word, place), _multiply_all(place - other for other in others))
        total = add(total, multiply(weight, commitment))
    if total != IDENTITY:
        raise Rejected("deal_degree", "shares of no secret", f"a degree below {threshold}")


# ---------------------------------------------------------------------------------------- opening


def build_opening(
    network: bytes, epoch: int, deals: Sequence[Deal], sealers: Sequence[bytes], signer: Signer
) -> Opening | None:
    """Return this sealer's shares of checked deals, opened; None if it has none."""
    recipients = list_recipients(sealers)
    if signer.address not in recipients:
        return None
    place = recipients.index(signer.address)
    secret = signer.read_scalar() % ORDER
    inverse = pow(secret, -1, ORDER)
    shares = [multiply(inverse, _cut(deal.shares)[place]) for deal in deals]
    statement = _bind_opening(network, epoch, signer.address, deals)
    nonce = to_scalar(signer.derive(b"opening nonce", statement))
    masks = [multiply_base(nonce), *(multiply(nonce, share) for share in shares)]
    challenge = hash_to_scalar(b"opening-proof", statement, *shares, *masks)
    unsigned = Opening(
        epoch=epoch,
        sealer=signer.address,
        shares=b"".join(shares),
        proof=write_scalar(challenge) + write_scalar(nonce - challenge * secret),
        signature=bytes(SIGNATURE_BYTES),
    )
    return replace(unsigned, signature=signer.sign(compute_opening_hash(network, unsigned)))


def check_opening(
    network: bytes, opening: Opening, epoch: int, deals: Sequence[Deal], sealers: Sequence[bytes]
) -> None:
    """Check that a sealer opened the shares that checked deals gave it.

    Raises:
        Rejected: `opening_epoch`, `opening_sealer`, `opening_shape`, `opening_signature`,
            `opening_proof`, `group_…`.
    """
    if opening.epoch != epoch:
        raise Rejected("opening_epoch", opening.epoch, epoch)
    recipients = list_recipients(sealers)
    if opening.sealer not in recipients:
        raise Rejected("opening_sealer", opening.sealer.hex()[:16], "a sealer with a share")
    if len(opening.shares) != len(deals) * POINT_BYTES:
        raise Rejected("opening_shape", f"{len(opening.shares)} bytes", f"{len(deals)} points")
    value = compute_opening_hash(network, opening)
    if not is_valid_signature(opening.sealer, value, opening.signature):
        raise Rejected("opening_signature", opening.sealer.hex()[:16], "a valid signature")
    place = recipients.index(opening.sealer)
    shares = _cut(opening.shares)
    challenge, response = map(read_scalar, _cut(opening.proof))
    masks = [add(multiply_base(response), multiply(challenge, opening.sealer))]
    for deal, share in zip(deals, shares, strict=True):
        dealt = _cut(deal.shares)[place]
        masks.append(add(multiply(response, share), multiply(challenge, dealt)))
    statement = _bind_opening(network, epoch, opening.sealer, deals)
    if challenge != hash_to_scalar(b"opening-proof", statement, *shares, *masks):
        raise Rejected("opening_proof", opening.sealer.hex()[:16], "the shares that were dealt")


def recover_secret(
    network: bytes,
    epoch: int,
    deals: Sequence[Deal],
    openings: Sequence[Opening],
    sealers: Sequence[bytes],
) -> bytes | None:
    """Return the secret (32 bytes) of an epoch from checked openings of different sealers.

    Returns:
        The same whichever sealers opened; None while they are fewer than f + 1: their shares lie on
        a polynomial for every secret there is.
    """
    recipients = list_recipients(sealers)
    threshold = count_deals(len(sealers))
    if len(openings) < threshold:
        return None
    places = [recipients.index(one.sealer) + 1 for one in openings[:threshold]]
    weights = [_weigh_at_zero(place, places) for place in places]
    opened = [_cut(one.shares) for one in openings[:threshold]]
    points = []
    for number in range(len(deals)):
        point = IDENTITY
        for weight, shares in zip(weights, opened, strict=True):
            point = add(point, multiply(weight, shares[number]))
        points.append(point)
    return compute_hash("secret", network, epoch.to_bytes(8, "big"), *points)


# -------------------------------------------------------------------------------------- inner parts


def _weigh_at_zero(place: int, places: Sequence[int]) -> int:
    """Return what a place weighs when a polynomial is evaluated at 0 from its values (Lagrange)."""
    others = [other for other in places if other != place]
    return _divide(_multiply_all(others), _multiply_all(other - place for other in others))


def _evaluate(coefficients: Sequence[int], place: int) -> int:
    value = 0
    for coefficient in reversed(coefficients):
        value = (value * place + coefficient) % ORDER
    return value


def _multiply_all(factors: Iterable[int]) -> int:
    product = 1
    for factor in factors:
        product = product * factor % ORDER
    return product


def _divide(one: int, other: int) -> int:
    return one * pow(other, -1, ORDER) % ORDER


def _cut(packed: bytes) -> list[bytes]:
    return [packed[i : i + POINT_BYTES] for i in range(0, len(packed), POINT_BYTES)]


def _bind(network: bytes, epoch: int, dealer: bytes, recipients: Sequence[bytes]) -> bytes:
    return codec.encode([network, epoch, dealer, *recipients])


def _bind_opening(network: bytes, epoch: int, sealer: bytes, deals: Sequence[Deal]) -> bytes:
    hashes = [compute_deal_hash(network, deal) for deal in deals]
    return codec.encode([network, epoch, sealer, *hashes])
