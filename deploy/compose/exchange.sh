#!/bin/sh
# The synthetic market of `marketflow demo`, at the same three venues. It began when this volume was made, and goes on as
# the same one after every restart: candles that are stored stay right. `docker compose down --volumes` ends it.
set -eu
[ -s /data/begin ] || date +%s000 >/data/begin
exec marketflow replay --synthetic --seed 7 --beside kraken coinbase \
    --symbols BTCUSDT ETHUSDT SOLUSDT BTC-USD ETH-USD SOL-USD --host 0.0.0.0 --begin "$(cat /data/begin)"
