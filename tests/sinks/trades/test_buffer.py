import threading

from flows.model import TradeBatch
from sinks.trades.buffer import Loss, TradeBuffer
from tests.fakes.trades import BEGIN, trade


def batch(*ids: int) -> TradeBatch:
    return TradeBatch("binance", "BTCUSDT", [trade(number, number) for number in ids])


def test_batches_leave_in_the_order_they_came() -> None:
    buffer = TradeBuffer(capacity=100)
    buffer.put([batch(1, 2), batch(), batch(3), batch(4, 5)])

    assert buffer.take(most_trades=3) == [batch(1, 2), batch(3)]
    assert buffer.take(most_trades=1) == [batch(4, 5)]  # one at least, however large
    assert buffer.take(most_trades=3) == []


def test_what_could_not_be_written_comes_first_again() -> None:
    buffer = TradeBuffer(capacity=100)
    buffer.put([batch(1), batch(2), batch(3)])

    buffer.put_back(buffer.take(most_trades=2), failing=True)

    assert buffer.take(most_trades=9) == [batch(1), batch(2), batch(3)]


def test_a_full_buffer_of_a_failing_store_drops_what_is_new_and_counts_it() -> None:
    buffer = TradeBuffer(capacity=2)
    buffer.put([batch(1, 2)])
    buffer.put_back(buffer.take(most_trades=9), failing=True)

    buffer.put([batch(3, 4), batch(5)])

    assert buffer.take(most_trades=9) == [batch(1, 2)]
    assert buffer.take_losses() == [Loss("BTCUSDT", 3, 3, 5, BEGIN + 3, BEGIN + 5)]
    assert buffer.take_losses() == []


def test_a_full_buffer_of_a_working_store_waits_for_room() -> None:
    buffer = TradeBuffer(capacity=2)
    buffer.put([batch(1, 2)])
    writer = threading.Thread(target=buffer.put, args=([batch(3)],))
    writer.start()

    assert buffer.wait(60)  # it is full, so it asks to be emptied at once
    assert buffer.take(most_trades=9) == [batch(1, 2)]
    assert writer.is_alive()  # what is being written still counts
    buffer.settle(2)
    writer.join()

    assert buffer.take(most_trades=9) == [batch(3)]


def test_a_store_that_begins_to_fail_ends_the_wait() -> None:
    buffer = TradeBuffer(capacity=1)
    buffer.put([batch(1)])
    writer = threading.Thread(target=buffer.put, args=([batch(2)],))
    writer.start()

    buffer.put_back([], failing=True)
    writer.join()

    assert [loss.first_id for loss in buffer.take_losses()] == [2]


def test_flush_waits_until_all_that_came_before_is_settled() -> None:
    buffer = TradeBuffer(capacity=100)
    buffer.put([batch(1, 2)])
    answers: list[bool] = []
    flusher = threading.Thread(target=lambda: answers.append(buffer.flush(60)))
    flusher.start()

    assert buffer.wait(60)
    buffer.put([batch(3)])
    buffer.take(most_trades=2)
    buffer.settle(2)
    flusher.join()

    assert answers == [True]
    assert not buffer.flush(0)  # the third is not stored


def test_a_closed_buffer_takes_nothing_and_gives_up_its_rest() -> None:
    buffer = TradeBuffer(capacity=100)
    buffer.put([batch(1, 2)])
    buffer.close()

    buffer.put([batch(3)])

    assert not buffer.wait(60)
    assert buffer.take_rest() == [Loss("BTCUSDT", 3, 1, 3, BEGIN + 1, BEGIN + 3)]
    assert buffer.take(most_trades=9) == []
