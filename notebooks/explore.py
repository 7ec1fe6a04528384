"""A look at what is stored: candles, volume profile, how accurate it is, and a small study.

`marimo edit notebooks/explore.py` opens it; `python notebooks/explore.py` runs it as a script and prints the figures.
The stores are those of the settings, and the flow may be writing them.
"""
# marimo calls the cells by the names of their arguments, and writes their form itself
# ruff: noqa: ANN001, ANN201, D103, INP001, PLR1711, T201

import marimo

app = marimo.App(width="medium", app_title="marketflow: explore")

with app.setup:
    import sys
    from pathlib import Path

    import altair as alt
    import marimo as mo
    import polars as pl

    sys.path.insert(0, str(Path(__file__).parents[1]))

    from api.analytics.profile import VolumeByPrice
    from flows.settings import load_settings
    from sinks.frames import Frames

    alt.data_transformers.disable_max_rows()
    UP, DOWN = "#26a69a", "#ef5350"


@app.cell
def choices():
    frames = Frames(load_settings())
    _symbols = frames.candle_symbols()
    _nothing = "**Nothing is stored yet.** Start the flow (`make demo`), or name the stores in `marketflow.toml`."
    if not _symbols and not mo.running_in_notebook():
        print(_nothing)
    mo.stop(not _symbols, mo.md(_nothing))
    symbol = mo.ui.dropdown(_symbols, value=_symbols[0], label="symbol")
    timeframe = mo.ui.dropdown(["1m", "5m", "15m", "1h", "4h", "1d"], value="1m", label="timeframe")
    hours = mo.ui.slider(1, 168, value=24, label="hours", show_value=True)
    mo.vstack([mo.md(f"# What is stored of {frames.venue}"), mo.hstack([symbol, timeframe, hours], justify="start")])
    return frames, hours, symbol, timeframe


@app.cell
def read_candles(frames, hours, symbol, timeframe):
    _newest = frames.last_candle(symbol.value, timeframe.value)
    mo.stop(_newest is None, mo.md(f"No {timeframe.value} candles of {symbol.value} are stored."))
    # The hours end with the newest candle, so that a replay of an old day is shown as that day was.
    start = max(_newest - hours.value * 3_600_000, 0)
    candles = frames.candles(symbol.value, timeframe.value, start)
    return candles, start


@app.cell
def candle_chart(candles, symbol, timeframe):
    _shown = alt.Chart(candles.tail(500)).encode(
        x=alt.X("timestamp:T", title=None),
        color=alt.condition("datum.close >= datum.open", alt.value(UP), alt.value(DOWN)),
        tooltip=["timestamp:T", "open", "high", "low", "close", "volume", "trades", "status"],
    )
    _prices = alt.Y("low:Q", title="price").scale(zero=False)
    _wicks = _shown.mark_rule().encode(y=_prices, y2="high:Q")
    _bodies = _shown.mark_bar(size=2).encode(y=alt.Y("open:Q").scale(zero=False), y2="close:Q")
    _title = f"{symbol.value} {timeframe.value}, the last {min(candles.height, 500)} candles"
    _volumes = _shown.mark_bar(size=2).encode(y=alt.Y("volume:Q", title="volume")).properties(width=680, height=80)
    (_wicks + _bodies).properties(width=680, height=300, title=_title) & _volumes
    return


@app.cell
def read_trades(frames, start, symbol):
    _counted = VolumeByPrice()
    _ids = []
    _has_trades = (frames.trades_path / frames.venue).is_dir()
    _wanted = ("id", "time", "price", "quantity", "buyer_is_maker")
    for _part in frames.iterate_trades(symbol.value, start, columns=_wanted) if _has_trades else ():
        _counted.add(_part)
        _ids += [_part["id"].min(), _part["id"].max()]
    profile = _counted.profile(bins=80) if _counted.trades else None
    completeness = _counted.trades / (max(_ids) - min(_ids) + 1) if _ids else None
    return completeness, profile


@app.cell
def profile_chart(profile, symbol):
    mo.stop(profile is None, mo.md("No trades of these hours are stored."))
    # A row of one tick has no height of its own: it is drawn up to the next. What was sold stands behind the bought.
    _rows = pl.DataFrame(
        [
            {"low": row.low, "high": row.high, "end": row.high + profile.tick, "side": side, "from": begin, "to": end}
            for row in profile.rows
            for side, begin, end in (("bought", 0.0, row.buy_volume), ("sold", row.buy_volume, row.volume))
        ]
    )
    _bars = (
        alt.Chart(_rows)
        .mark_rect()
        .encode(
            y=alt.Y("low:Q", title="price").scale(zero=False),
            y2="end:Q",
            x=alt.X("from:Q", title="volume"),
            x2="to:Q",
            color=alt.Color("side:N", title=None).scale(domain=["bought", "sold"], range=[UP, DOWN]),
            tooltip=["low", "high", "side", "from", "to"],
        )
    )
    _levels = pl.DataFrame({"price": [profile.poc, profile.vah, profile.val], "level": ["POC", "VAH", "VAL"]})
    _lines = alt.Chart(_levels).mark_rule(strokeDash=[4, 3]).encode(y="price:Q")
    _names = alt.Chart(_levels).mark_text(align="right", dy=-6).encode(y="price:Q", text="level:N", x=alt.value(675))
    _title = f"{symbol.value}: volume by price, {profile.trades:,} trades"
    (_bars + _lines + _names).properties(width=680, height=360, title=_title)
    return


@app.cell
def accuracy(candles, completeness, frames, start, symbol):
    by_status = candles.group_by("status", "proof").len("candles").sort("status", "proof")
    incidents = frames.incidents(symbol.value, start).group_by("kind").len("incidents").sort("kind")
    _share = "no trades are stored" if completeness is None else f"{completeness:.4%} of the trades issued are stored"
    mo.vstack(
        [
            mo.md(f"## How accurate it is\n\n{_share}. Candles by status and by proof against the exchange's own:"),
            mo.ui.table(by_status, selection=None),
            mo.md("What went wrong:" if incidents.height else "Nothing went wrong."),
            mo.ui.table(incidents, selection=None) if incidents.height else mo.md(""),
        ]
    )
    return by_status, incidents


@app.cell
def study(candles):
    # Who takes: does a candle in which takers buy go up, and the next one too?
    _moves = candles.filter(pl.col("is_closed") & (pl.col("volume") > 0)).select(
        bought=pl.col("taker_buy_volume") / pl.col("volume"),
        same=(pl.col("close") / pl.col("open")).log(),
        next=(pl.col("close") / pl.col("open")).log().shift(-1),
    )
    correlations = _moves.select(
        same_candle=pl.corr("bought", "same"), next_candle=pl.corr("bought", "next"), candles=pl.len()
    )
    mo.vstack(
        [
            mo.md(
                "## A small study\n\nHow the share that takers bought goes with the candle's return, and the next's:"
            ),
            mo.ui.table(correlations, selection=None),
        ]
    )
    return (correlations,)


@app.cell
def as_script(by_status, candles, completeness, correlations, incidents, profile, symbol, timeframe):
    if not mo.running_in_notebook():
        print(f"{symbol.value} {timeframe.value}: {candles.height} candles")
        if profile:
            print(f"POC {profile.poc:g}, VAH {profile.vah:g}, VAL {profile.val:g} of {profile.trades} trades")
            print(f"trades stored: {completeness:.4%}")
        print(by_status, incidents, correlations, sep="\n")
    return


if __name__ == "__main__":
    app.run()
