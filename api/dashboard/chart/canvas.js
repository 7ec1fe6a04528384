/** Draws a chart with TradingView's lightweight-charts; throws where the library is not installed. */

import { colour, coloursOf } from "../page.js";
import { compact, fixed } from "../format.js";
import { minuteOf, tickOf } from "../zone.js";
import { Lines } from "./lines.js";
import { hasRoom, MarkOverlay } from "./overlays.js";

const LIBRARY = "../vendor/lightweight-charts.standalone.production.mjs";
const USUAL_WIDTH = 100; // candles
const [LEAST_TOP, MOST_TOP, BOTTOM] = [0.08, 0.3, 0.24]; // of the height, what is left free above and below prices
const COLOURS = ["up", "down", "up-soft", "down-soft", "soft", "text", "grid", "panel", "warn", "accent"];

export async function openCanvas(host) {
  return new Canvas(await import(LIBRARY), host);
}

const seconds = (candle) => candle.time / 1_000;

/** Whether trades were refilled, or what was published first was amended later. */
const isAmended = ({ status, revision, is_closed: isClosed }) => isClosed && (status === "repaired" || revision > 1);

class Canvas {
  #chart;
  #candles;
  #volume;
  #price; // its line
  #priceWay = "";
  #rules = { levels: [], alerts: [] }; // horizontal lines, by what they are of
  #modes; // of the price scale
  #lines;
  #marks = new MarkOverlay(); // below candles that were amended
  #marked = new Map(); // their lows, by time
  #last = { bar: "", column: "" }; // as they are drawn: each update of a series costs a computation of the whole chart
  #colours = {};
  #style; // of the library's lines
  #compared = new Map(); // series of other instruments, by key
  #library;
  #range = null; // of the prices of the candles in view: the library computes it before those of lines

  constructor(library, host) {
    const { createChart, CandlestickSeries, HistogramSeries, CrosshairMode, LineStyle, PriceScaleMode } = library;
    this.#modes = PriceScaleMode;
    this.#style = LineStyle;
    this.#library = library;
    this.#chart = createChart(host, {
      autoSize: true,
      crosshair: { mode: CrosshairMode.Normal },
      timeScale: { timeVisible: true, rightOffset: 6, minBarSpacing: 1.5, barSpacing: 7 },
      rightPriceScale: { scaleMargins: { top: LEAST_TOP, bottom: BOTTOM }, borderVisible: false },
      localization: { locale: "en-GB" },
      layout: { fontFamily: getComputedStyle(document.body).fontFamily }, // those of the library are looked for at length
    });
    // the library's own label is that of the last candle in view, which is another one after scrolling back
    const options = {
      borderVisible: false, lastValueVisible: false, priceLineVisible: false,
      autoscaleInfoProvider: (own) => {
        const info = own();
        this.#range = info?.priceRange ?? null;
        return info;
      },
    };
    this.#candles = this.#chart.addSeries(CandlestickSeries, options);
    this.#price = this.#candles.createPriceLine({ price: 0, lineWidth: 1, lineStyle: LineStyle.Dotted, title: "" });
    this.setPrice(null);
    this.#volume = this.#chart.addSeries(HistogramSeries, {
      priceScaleId: "volume",
      priceFormat: { type: "custom", formatter: compact, minMove: 1e-8 },
      lastValueVisible: false,
      priceLineVisible: false,
    });
    this.#volume.priceScale().applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
    this.attach(this.#marks);
    this.#lines = new Lines(library, this.#chart, () => this.#range);
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
    this.#colours = coloursOf(COLOURS);
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
    this.#lines.recolour();
    this.#marks.paint(this.#colours);
    for (const [kind, lines] of Object.entries(this.#rules)) this.setRules(kind, lines.map(({ given }) => given));
    for (const { series, colourName } of this.#compared.values()) series.applyOptions({ color: colour(colourName) });
    this.#paintPriceLine();
  }

  /** The colours of the style sheet, by name. */
  get colours() {
    return this.#colours;
  }

  /** Draws a primitive with the candles. */
  attach(primitive) {
    this.#candles.attachPrimitive(primitive);
  }

  /** Writes times in the chosen zone; those of candles of whole days are days of UTC. */
  setTimes(isOfDays) {
    this.#chart.applyOptions({
      localization: { timeFormatter: (time) => minuteOf(time * 1_000, isOfDays) },
      timeScale: { tickMarkFormatter: (time) => tickOf(time * 1_000, isOfDays) },
    });
  }

  /** The latest price, and which way it went; null without one. */
  setPrice(price, way = "") {
    const options = this.#price.options();
    const isShown = price !== null;
    if (way === this.#priceWay && options.price === (price ?? 0) && options.axisLabelVisible === isShown) return;
    const isOther = way !== this.#priceWay;
    this.#priceWay = way;
    this.#price.applyOptions({ price: price ?? 0, lineVisible: isShown, axisLabelVisible: isShown });
    if (isOther) this.#paintPriceLine();
  }

  /** The price that the axis names; null without one. */
  get axisPrice() {
    const { price, axisLabelVisible } = this.#price.options();
    return axisLabelVisible ? price : null;
  }

  /** Whether the newest candle is in view. */
  get newestIsInView() {
    return this.#chart.timeScale().scrollPosition() >= 0;
  }

  #paintPriceLine() {
    const color = this.#colours[this.#priceWay] ?? this.#colours.soft;
    if (color) this.#price.applyOptions({ color, axisLabelColor: color, axisLabelTextColor: this.#colours.panel });
  }

  setDecimals(decimals) {
    this.#candles.applyOptions({ priceFormat: { type: "custom", formatter: (price) => fixed(price, decimals), minMove: 10 ** -decimals } });
  }

  setCandles(candles) {
    this.#last = { bar: "", column: "" };
    this.#candles.setData(candles.map((candle) => this.#bar(candle)));
    this.#volume.setData(candles.map((candle) => this.#column(candle)));
    this.#marked = new Map(candles.filter(isAmended).map(({ time, low }) => [time, low]));
    this.#paintMarks();
  }

  /** Draws the last candle, or with `amended` an earlier one. */
  update(candle, amended) {
    this.#update("bar", this.#candles, this.#bar(candle), amended);
    this.#update("column", this.#volume, this.#column(candle), amended);
    const low = isAmended(candle) ? candle.low : undefined;
    if (low === this.#marked.get(candle.time)) return;
    if (low === undefined) this.#marked.delete(candle.time);
    else this.#marked.set(candle.time, low);
    this.#paintMarks();
  }

  #update(name, series, drawn, amended) {
    const text = Object.values(drawn).join();
    if (text === this.#last[name]) return;
    if (!amended) this.#last[name] = text;
    series.update(drawn, amended);
  }

  /** Times of the candles that are marked as refilled or amended, ms UTC. */
  get marked() {
    return [...this.#marked.keys()].sort((one, other) => one - other);
  }

  #paintMarks() {
    this.#marks.show([...this.#marked]);
  }

  showNewest() {
    this.#chart.timeScale().resetTimeScale();
    this.#chart.priceScale("right").applyOptions({ autoScale: true });
  }

  /** Scrolls so that a candle, which is the one with this number, stands in the middle, and marks it with the cursor. */
  showCandle(candle, index) {
    const scale = this.#chart.timeScale();
    const { from, to } = scale.getVisibleLogicalRange() ?? { from: 0, to: USUAL_WIDTH };
    scale.setVisibleLogicalRange({ from: index - (to - from) / 2, to: index + (to - from) / 2 });
    // a range is applied in the next frame, and the cursor stays at its place on the screen
    const mark = () => this.#chart.setCrosshairPosition(candle.close, seconds(candle), this.#candles);
    requestAnimationFrame(() => requestAnimationFrame(mark));
  }

  /** The price and the number of the candle at a place of the canvas; the price is null outside. */
  placeAt(x, y) {
    const index = this.#chart.timeScale().coordinateToLogical(x) ?? 0;
    return { price: this.#candles.coordinateToPrice(y), index: Math.round(index) };
  }

  /** The numbers of the candles in view, `{ from, to }` with `to` behind the last one. */
  view(count) {
    const range = this.#chart.timeScale().getVisibleLogicalRange() ?? { from: 0, to: count };
    const within = (place) => Math.min(count, Math.max(0, place));
    return { from: within(Math.ceil(range.from)), to: within(Math.floor(range.to) + 1) };
  }

  /** `linear`, `logarithmic` or `percent`. */
  setScale(name) {
    const { Normal, Logarithmic, Percentage } = this.#modes;
    const mode = { linear: Normal, logarithmic: Logarithmic, percent: Percentage }[name] ?? Normal;
    this.#chart.priceScale("right").applyOptions({ mode });
  }

  /** Draws exactly these horizontal lines of a kind, `{ price, title, isDashed, isFaint }`. */
  setRules(kind, wanted) {
    for (const { line } of this.#rules[kind]) this.#candles.removePriceLine(line);
    const { panel, soft } = this.#colours;
    this.#rules[kind] = wanted.map((given) => {
      const color = given.isFaint ? soft : this.#colours[kind === "alerts" ? "warn" : "accent"];
      const lineStyle = given.isDashed ? this.#style.Dashed : this.#style.Solid;
      const options = { price: given.price, color, lineWidth: 1, lineStyle, axisLabelColor: color, axisLabelTextColor: panel };
      return { given, line: this.#candles.createPriceLine({ ...options, title: given.title ?? "" }) };
    });
  }

  /** Moves the line with this number. */
  moveRule(kind, index, price) {
    this.#rules[kind][index]?.line.applyOptions({ price });
  }

  /** Leaves so many pixels above the prices free, for what is written there; at most a part of the height. */
  set head(pixels) {
    const height = this.#chart.panes()[0]?.getHeight() || Infinity;
    const top = Math.min(MOST_TOP, Math.max(LEAST_TOP, Math.round((100 * pixels) / height) / 100));
    if (top === this.#chart.priceScale("right").options().scaleMargins.top) return;
    this.#chart.priceScale("right").applyOptions({ scaleMargins: { top, bottom: BOTTOM } });
  }

  /** The prices of the viewer's horizontal lines. */
  get levels() {
    return this.#rules.levels.map(({ line }) => line.options().price);
  }

  /** Those of the price alerts. */
  get alerts() {
    return this.#rules.alerts.map(({ line }) => line.options().price);
  }

  /** Where a price is, in pixels from above. */
  yOf(price) {
    return this.#candles.priceToCoordinate(price);
  }

  /** Where the candle with a number is, in pixels; the number may have a fraction, and lie outside of what there is. */
  xOf(index) {
    return this.#chart.timeScale().logicalToCoordinate(index);
  }

  /** Whether dragging and wheels move the chart. */
  set isFrozen(on) {
    this.#chart.applyOptions({ handleScroll: !on, handleScale: !on });
  }

  /** `{ pricePerPixel }` for footprints; null where candles are too narrow. */
  get footprintScale() {
    const height = this.#chart.panes()[0]?.getHeight() ?? 0;
    const [top, bottom] = [this.#candles.coordinateToPrice(0), this.#candles.coordinateToPrice(height)];
    if (!hasRoom(this.#chart.timeScale().options().barSpacing) || top === null || bottom === null) return null;
    return { pricePerPixel: Math.abs(top - bottom) / height };
  }

  /** Shows the line of another instrument, `points` of `{ time, value }` at times of candles, s UTC. */
  setCompared(key, points, colourName) {
    if (!this.#compared.has(key)) {
      const options = { color: colour(colourName), lineWidth: 2, priceLineVisible: false, crosshairMarkerVisible: false };
      this.#compared.set(key, { series: this.#chart.addSeries(this.#library.LineSeries, options, 0), colourName });
    }
    this.#compared.get(key).series.setData(points);
  }

  /** Draws the last point of another instrument. */
  updateCompared(key, point) {
    this.#compared.get(key)?.series.update(point);
  }

  dropCompared(key) {
    const found = this.#compared.get(key);
    if (found) this.#chart.removeSeries(found.series);
    this.#compared.delete(key);
  }

  /** Shows the candles with these numbers, which may have fractions. */
  setView({ from, to }) {
    this.#chart.timeScale().setVisibleLogicalRange({ from, to });
  }

  /** The numbers of the candles at the edges of the view; null without any. */
  get edges() {
    return this.#chart.timeScale().getVisibleLogicalRange();
  }

  /** Puts the cursor at a candle; null takes it away. */
  setCursor(candle) {
    if (candle) this.#chart.setCrosshairPosition(candle.close, seconds(candle), this.#candles);
    else this.#chart.clearCrosshairPosition();
  }

  /** Width of a candle in pixels. */
  set candleWidth(pixels) {
    this.#chart.timeScale().applyOptions({ barSpacing: pixels });
  }

  /** A picture of the chart, as a canvas. */
  picture() {
    return this.#chart.takeScreenshot();
  }

  /** Lines of indicators. */
  get lines() {
    return this.#lines;
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
