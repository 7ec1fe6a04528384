"""The stored data: candles, volume profile, accuracy, and a small study.

`marimo edit notebooks/explore.py` opens it; `python notebooks/explore.py` runs it as a script and prints the figures.
The stores are those of the settings, and the flow may be writing them.
"""
# marimo passes arguments by name, and formats the cells itself
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
    from flows.dataframes import open_frames
    from flows.settings import load_settings

    alt.data_transformers.disable_max_rows()
    UP, DOWN = "#26a69a", "#ef5350"
    WIDTH = 640
    SHORT = alt.Axis(format="~s", tickCount=5)
    TIME = alt.Axis(format="%H:%M", labelOverlap=True)

    def table(frame):
        """A frame as a Markdown table: the interactive table is for long frames."""
        with pl.Config(tbl_formatting="MARKDOWN", tbl_hide_column_data_types=True, tbl_hide_dataframe_shape=True):
            return mo.md(str(frame) if frame.height else "")


@app.cell
def choose_venue():
    settings = load_settings()
    venue = mo.ui.dropdown(list(settings.by_venue), value=next(iter(settings.by_venue)), label="venue")
    venue if len(settings.by_venue) > 1 else None
    return settings, venue


@app.cell
def choices(settings, venue):
    frames = open_frames(settings, venue=venue.value)
    _nothing = "**Nothing is stored yet.** Start the flow (`make demo`), or name the stores in `marketflow.toml`."
    try:
        _symbols = frames.candle_symbols()
    except ConnectionError as _error:
        _symbols, _nothing = [], f"**Nothing can be read.** {_error}"
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
    # The hours end with the newest candle, so a replay of an old day is shown like that day.
    start = max(_newest - hours.value * 3_600_000, 0)
    candles = frames.candles(symbol.value, timeframe.value, start)
    return candles, start


@app.cell
def candle_chart(candles, symbol, timeframe):
    _newest = candles.tail(500)
    _shown = alt.Chart(_newest).encode(
        x=alt.X("utcyearmonthdatehoursminutes(timestamp):T", title=None, axis=TIME),
        color=alt.condition("datum.close >= datum.open", alt.value(UP), alt.value(DOWN)),
        tooltip=["timestamp:T", "open", "high", "low", "close", "volume", "trades", "status"],
    )
    _width = max(1, min(8, 0.7 * WIDTH / _newest.height))
    _wicks = _shown.mark_rule().encode(y=alt.Y("low:Q", title="price").scale(zero=False), y2="high:Q")
    _bodies = _shown.mark_bar(size=_width).encode(y=alt.Y("open:Q").scale(zero=False), y2="close:Q")
    _volumes = _shown.mark_bar(size=_width, opacity=0.6).encode(y=alt.Y("volume:Q", axis=SHORT))
    _title = f"{symbol.value} {timeframe.value}, the last {_newest.height} candles (UTC)"
    alt.vconcat(
        (_wicks + _bodies).properties(width=WIDTH, height=300, title=_title),
        _volumes.properties(width=WIDTH, height=80),
        spacing=4,
    ).resolve_scale(x="shared")
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
    # A row extends half a tick beyond its prices, so the levels lie within it. Sold volume follows the bought.
    _half = profile.tick / 2
    _rows = pl.DataFrame(
        [
            {"low": row.low - _half, "high": row.high + _half, "side": side, "from": begin, "to": end}
            for row in profile.rows
            for side, begin, end in (("bought", 0.0, row.buy_volume), ("sold", row.buy_volume, row.volume))
        ]
    )
    _bars = (
        alt.Chart(_rows)
        .mark_rect()
        .encode(
            y=alt.Y("low:Q", title="price").scale(zero=False),
            y2="high:Q",
            x=alt.X("from:Q", title="volume", axis=SHORT),
            x2="to:Q",
            color=alt.Color("side:N", title="takers").scale(domain=["bought", "sold"], range=[UP, DOWN]),
            tooltip=["low", "high", "side", "from", "to"],
        )
    )
    _levels = pl.DataFrame({"price": [profile.poc, profile.vah, profile.val], "level": ["POC", "VAH", "VAL"]})
    _lines = alt.Chart(_levels).mark_rule(strokeDash=[4, 3]).encode(y="price:Q")
    _names = (
        alt.Chart(_levels)
        .mark_text(align="left", dx=4, fontWeight="bold")
        .encode(y="price:Q", text="level:N", x=alt.value(WIDTH))
    )
    _title = f"{symbol.value}: volume by price, {profile.trades:,} trades"
    (_bars + _lines + _names).properties(width=WIDTH, height=360, title=_title)
    return


@app.cell
def accuracy(candles, completeness, frames, start, symbol):
    by_status = candles.group_by("status", "proof").len("candles").sort("status", "proof")
    incidents = frames.incidents(symbol.value, start).group_by("kind").len("incidents").sort("kind")
    _closed = candles.filter("is_closed")
    _equal = _closed.filter(pl.col("proof") == "equal").height
    mo.vstack(
        [
            mo.md("## How accurate it is"),
            mo.hstack(
                [
                    mo.stat(
                        "none stored" if completeness is None else f"{completeness:.4%}",
                        label="trades",
                        caption="of those that the exchange issued",
                    ),
                    mo.stat(
                        f"{_equal:,} of {_closed.height:,}", label="closed candles", caption="equal the exchange's"
                    ),
                    mo.stat(int(incidents["incidents"].sum()), label="incidents", caption="each with its outcome"),
                ],
                justify="start",
                gap=2,
            ),
            mo.hstack([table(by_status), table(incidents)], justify="start", gap=3),
        ]
    )
    return by_status, incidents


@app.cell
def analysis_chart(frames, start, symbol):
    analyses = frames.analysis(symbol.value, start)
    mo.stop(analyses.is_empty(), mo.md("No analysis of these hours is stored; the API stores one a minute."))
    _scores = analyses.explode("timeframes").select("timestamp", pl.col("timeframes").struct.unnest())
    _rows = (
        alt.Chart(_scores)
        .mark_rect()
        .encode(
            x=alt.X("yearmonthdatehoursminutes(timestamp):O", title=None, axis=alt.Axis(labels=False, ticks=False)),
            y=alt.Y("timeframe:N", title=None, sort=_scores["timeframe"].unique(maintain_order=True).to_list()),
            color=alt.Color("score:Q").scale(scheme="redyellowgreen", domain=[-1, 1]),
            tooltip=["timestamp:T", "timeframe", "score", "trend", "momentum", "volume", "volatility"],
        )
    )
    _last = analyses.row(-1, named=True)
    _title = f"Analysis by minute; last: {_last['signal']}, confidence {_last['confidence']:.0%}"
    _rows.properties(width=WIDTH, height=140, title=_title)
    return


@app.cell
def study(candles):
    # Does a candle in which takers buy go up, and the next one too?
    _moves = candles.filter(pl.col("is_closed") & (pl.col("volume") > 0)).select(
        bought=pl.col("taker_buy_volume") / pl.col("volume"),
        same=(pl.col("close") / pl.col("open")).log(),
        next=(pl.col("close") / pl.col("open")).log().shift(-1),
    )
    correlations = _moves.select(
        same_candle=pl.corr("bought", "same"), next_candle=pl.corr("bought", "next"), candles=pl.len()
    )
    _points = alt.Chart(_moves.tail(2_000)).mark_circle(size=12, opacity=0.4, color="#5c6bc0")
    _bought = alt.X("bought:Q", title="share that takers bought", axis=alt.Axis(format="%"))
    _side = {"width": WIDTH // 2 - 40, "height": 200}
    _same, _next = (
        _points.encode(x=_bought, y=alt.Y(f"{name}:Q", title="return", axis=alt.Axis(format=".2%"))).properties(
            title=f"{title}: correlation {correlations[column].item() or 0:+.2f}", **_side
        )
        for name, title, column in (
            ("same", "return of the same candle", "same_candle"),
            ("next", "return of the next", "next_candle"),
        )
    )
    mo.vstack(
        [mo.md("## A small study\n\nDoes a candle go up in which takers buy, and the next one too?"), _same | _next]
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
