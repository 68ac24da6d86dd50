"""The book of one subject: its own writes over the sealed state, and the way back from them."""

import pytest

from protocol.book import Book, Note, Pot, Refused
from protocol.charter_records import Charter
from protocol.params import MINIMAL
from protocol.records import Account
from protocol.tables import ACCOUNTS
from protocol.view import EpochView, MemoryView

BOB = b"b" * 32
CHARTER = Charter(0, MINIMAL, (BOB,))
BEFORE = Account(BOB, 10, 0, None, None)
AFTER = Account(BOB, 20, 0, None, None)


def a_book() -> Book:
    return Book(MemoryView({(ACCOUNTS.name, BOB): BEFORE}), CHARTER, b"network!", 5, None)


def test_a_book_sees_its_own_writes_and_the_seal_does_not() -> None:
    book = a_book()
    book.put(ACCOUNTS, BOB, AFTER)
    assert book.get(ACCOUNTS, BOB) == AFTER
    assert book.sealed.get(ACCOUNTS, BOB) == BEFORE
    assert list(book.changes()) == [(ACCOUNTS, BOB, AFTER)]


def test_a_rewind_forgets_rows_payments_and_notes() -> None:
    book = a_book()
    book.pay(BOB, Pot.ESCROW, 1)
    book.note(Note(BOB, penalty=1))
    mark = book.mark()
    book.put(ACCOUNTS, BOB, AFTER)
    book.pay(BOB, Pot.ESCROW, 2)
    book.note(Note(BOB, penalty=2))
    book.rewind(mark)
    assert book.get(ACCOUNTS, BOB) == BEFORE
    assert list(book.changes()) == []
    assert [payment.amount for payment in book.payments] == [1]
    assert [note.penalty for note in book.notes] == [1]


def test_no_payment_is_made_of_nothing() -> None:
    book = a_book()
    book.pay(BOB, Pot.ESCROW, 0)
    assert book.payments == ()


def test_what_must_be_there_and_is_not_is_refused() -> None:
    book = a_book()
    assert book.require(ACCOUNTS, BOB, "no_such_account") == BEFORE
    with pytest.raises(Refused) as error:
        book.require(ACCOUNTS, bytes(32), "no_such_account")
    assert error.value.code == "no_such_account"
    assert error.value.lost_to is None


def test_changes_come_sorted_whatever_was_written_first() -> None:
    book = a_book()
    keys = [bytes([i] * 32) for i in (3, 1, 2)]
    for key in keys:
        book.put(ACCOUNTS, key, AFTER)
    assert [key for _, key, _ in book.changes()] == sorted(keys)


def test_a_view_of_an_epoch_reads_the_validators_once() -> None:
    class Counting(MemoryView):
        reads = 0

        def validators(self) -> list[bytes]:
            self.reads += 1
            return [BOB]

    counting = Counting()
    view = EpochView(counting)
    assert [view.validators(), view.validators()] == [(BOB,), (BOB,)]
    assert counting.reads == 1
    assert view.due_tasks(9) == []


def test_a_view_takes_no_rows_of_unknown_tables() -> None:
    view = MemoryView()
    with pytest.raises(KeyError):
        view.apply([(("no_such_table", b""), AFTER)])
    view.apply([((ACCOUNTS.name, BOB), AFTER)])
    view.apply([((ACCOUNTS.name, BOB), None)])
    assert view.rows == {}
