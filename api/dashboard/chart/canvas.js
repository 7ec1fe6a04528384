/** Draws a chart with TradingView's lightweight-charts; throws where the library is not installed. */

import { colour } from "../page.js";
import { compact, fixed } from "../format.js";
import { ProfileOverlay, VacuumOverlay } from "./overlays.js";

const LIBRARY = "/static/vendor/lightweight-charts.standalone.production.mjs";
const LINES = {
  "ema:20": { ema: "line-1" },
  "ema:50": { ema: "line-2" },
  bbands: { upper: "line-3", lower: "line-3" },
  rsi: { rsi: "line-1" },
};
const PANE = { rsi: 1 };
const WAYS = ["up", "down"];

export async function openCanvas(host) {
  return new Canvas(await import(LIBRARY), host);
}

const seconds = (candle) => candle.time / 1_000;

class Canvas {
  #library;
  #chart;
  #candles;
  #volume;
  #lines = new Map();
  #colours = {};
  #profile = new ProfileOverlay();
  #vacuums = new VacuumOverlay();
  #shown = { profile: null, vacuums: [] };

  constructor(library, host) {
    const { createChart, CandlestickSeries, HistogramSeries, CrosshairMode } = library;
    this.#library = library;
    this.#chart = createChart(host, {
      autoSize: true,
      crosshair: { mode: CrosshairMode.Normal },
      timeScale: { timeVisible: true, rightOffset: 6, minBarSpacing: 1.5, barSpacing: 7 },
      rightPriceScale: { scaleMargins: { top: 0.08, bottom: 0.24 }, borderVisible: false },
      localization: { locale: "en-GB" },
    });
    this.#candles = this.#chart.addSeries(CandlestickSeries, { borderVisible: false });
    this.#volume = this.#chart.addSeries(HistogramSeries, {
      priceScaleId: "volume",
      priceFormat: { type: "custom", formatter: compact, minMove: 1e-8 },
      lastValueVisible: false,
      priceLineVisible: false,
    });
    this.#volume.priceScale().applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
    this.#candles.attachPrimitive(this.#vacuums);
    this.#candles.attachPrimitive(this.#profile);
    this.recolour();
  }

  /** Calls back with the time of the candle under the cursor, null outside. */
  onCursor(told) {
    this.#chart.subscribeCrosshairMove(({ time }) => told(time ? time * 1_000 : null));
  }

  /** Calls back with the number of candles left of the view. */
  onScroll(told) {
    this.#chart.timeScale().subscribeVisibleLogicalRangeChange((range) => range && told(range.from));
  }

  recolour() {
    for (const name of ["up", "down", "soft", "grid", "panel", "warn", "accent"]) this.#colours[name] = colour(name);
    for (const way of WAYS) this.#colours[`${way}-soft`] = colour(`${way}-soft`);
    const { up, down, soft, grid, panel } = this.#colours;
    this.#chart.applyOptions({
      layout: {
        background: { color: panel },
        textColor: soft,
        fontSize: 11,
        panes: { separatorColor: grid, separatorHoverColor: grid },
      },
      grid: { vertLines: { color: grid }, horzLines: { color: grid } },
      timeScale: { borderColor: grid },
    });
    this.#candles.applyOptions({ upColor: up, downColor: down, wickUpColor: up, wickDownColor: down });
    for (const [key, line] of this.#lines) line.applyOptions({ color: colour(key.split("/")[2]) });
    this.showProfile(this.#shown.profile);
    this.showVacuums(this.#shown.vacuums);
  }

  setDecimals(decimals) {
    this.#candles.applyOptions({ priceFormat: { type: "custom", formatter: (price) => fixed(price, decimals), minMove: 10 ** -decimals } });
  }

  setCandles(candles) {
    this.#candles.setData(candles.map((candle) => this.#bar(candle)));
    this.#volume.setData(candles.map((candle) => this.#column(candle)));
  }

  /** Draws the last candle, or with `amended` an earlier one. */
  update(candle, amended) {
    this.#candles.update(this.#bar(candle), amended);
    this.#volume.update(this.#column(candle), amended);
  }

  showNewest() {
    this.#chart.timeScale().resetTimeScale();
    this.#chart.priceScale("right").applyOptions({ autoScale: true });
  }

  showProfile(profile) {
    this.#shown.profile = profile;
    const { up, down, accent } = this.#colours;
    this.#profile.show(profile, { buy: up, sell: down, line: accent });
  }

  showVacuums(vacuums) {
    this.#shown.vacuums = vacuums;
    this.#vacuums.show(vacuums, { zone: this.#colours.warn });
  }

  /** Draws exactly these indicators. `times` are those of their entries, ms UTC. */
  showIndicators(times, indicators) {
    const wanted = new Set();
    for (const { wish, values } of indicators) {
      for (const [output, colourName] of Object.entries(LINES[wish])) {
        const key = `${wish}/${output}/${colourName}`;
        wanted.add(key);
        const points = times.map((time, index) => {
          const value = values[output][index];
          return value === null ? { time: time / 1_000 } : { time: time / 1_000, value };
        });
        this.#line(key, PANE[wish] ?? 0).setData(points);
      }
    }
    for (const [key, line] of this.#lines) {
      if (wanted.has(key)) continue;
      this.#chart.removeSeries(line);
      this.#lines.delete(key);
    }
    const [main, below] = this.#chart.panes();
    if (below) {
      main.setStretchFactor(4);
      below.setStretchFactor(1);
    }
  }

  #line(key, pane) {
    if (!this.#lines.has(key)) {
      const [wish, , colourName] = key.split("/");
      const options = {
        color: colour(colourName),
        lineWidth: 1,
        priceLineVisible: false,
        lastValueVisible: pane > 0,
        crosshairMarkerVisible: false,
        title: pane > 0 ? wish.toUpperCase() : "",
      };
      this.#lines.set(key, this.#chart.addSeries(this.#library.LineSeries, options, pane));
    }
    return this.#lines.get(key);
  }

  /** Marks a candle with missing trades. */
  #bar(candle) {
    const { open, high, low, close } = candle;
    const bar = { time: seconds(candle), open, high, low, close };
    const { warn } = this.#colours;
    return candle.status === "partial" || candle.status === "unproven" ? { ...bar, color: warn, wickColor: warn } : bar;
  }

  #column(candle) {
    const way = candle.close >= candle.open ? "up" : "down";
    return { time: seconds(candle), value: candle.volume, color: this.#colours[`${way}-soft`] };
  }
}
