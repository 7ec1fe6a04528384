"""Every trade, and every version of a closed candle, once: `python docs/examples/kafka_results.py 127.0.0.1:9092`."""

import json
import sys

from confluent_kafka import Consumer


def main(brokers: str = "127.0.0.1:9092", prefix: str = "marketflow") -> None:
    newest: dict[tuple[str, ...], int] = {}  # ids of trades, revisions of candles: a repetition has no newer one
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "example", "auto.offset.reset": "earliest"})
    consumer.subscribe([f"{prefix}.trades", f"{prefix}.candles"])
    while True:
        message = consumer.poll(1.0)
        if message is None or message.error() or dict(message.headers() or ()).get("version") != b"1":
            continue
        data = json.loads(message.value() or b"")["data"]
        key = (data["venue"], data["symbol"])
        if "candle" in data:
            candle, key = data["candle"], (*key, data["timeframe"], str(data["candle"]["timestamp"]))
            if candle["revision"] > newest.get(key, -1):
                newest[key] = candle["revision"]
                print(*key, candle["close"], candle["status"], candle["revision"], flush=True)
        for trade in data.get("trades", ()):
            if data["late"] or trade["id"] > newest.get(key, -1):  # late ones fill a gap, or correct one
                print(*key, trade["id"], trade["price"], trade["quantity"], flush=True)
            newest[key] = max(trade["id"], newest.get(key, -1))


main(*sys.argv[1:])
