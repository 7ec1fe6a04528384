/** One chart of the page, with what is drawn in it. */

import { Chart } from "../chart/chart.js";
import { Compared } from "../chart/compared.js";
import { indexBefore, placeOf, timeOf } from "../chart/places.js";
import { Studies } from "../chart/studies.js";
import { titleOf } from "../chart/timeframe.js";
import { Volumes } from "../chart/volumes.js";
import { DrawAlert, DrawTrend, Glass } from "../drawings/glass.js";
import { Measure } from "../drawings/measure.js";
import { Pointer } from "../drawings/pointer.js";
import { AlertLines, Levels } from "../drawings/price_lines.js";
import { TrendLines } from "../drawings/trend_lines.js";
import { firstDrawn, write } from "../page.js";

const LEAST_SHOWN = 5; // candles of a chart that follows the time of another

const isSame = (one, other) =>
  one?.venue === other?.venue && one?.symbol === other?.symbol && one?.timeframe === other?.timeframe;

export class Pane {
  #glass;
  #tools;
  #scale = "linear";
  #pointer;

  /**
   * `parts` are its elements, `extras` and `rules` what is drawn in all. `onCandles(pane)`, `onCursor(pane, time)`,
   * `onView(pane)` and `onCompared()` say what has changed, `onAlert(focus, price)` that an alert is wanted there,
   * and `onToolDone()` that the tool in use has done its work.
   */
  constructor(parts, { extras, rules, onCandles, onCursor, onView, onCompared, onAlert, onToolDone }) {
    this.parts = parts;
    this.chart = new Chart({
      parts,
      onClosed: () => {
        this.refresh();
        onCandles(this);
      },
      onCursor: (time) => {
        this.compared.paintValues();
        onCursor(this, time);
      },
      onView: () => {
        this.volumes.move();
        this.compared.paintValues();
        onView(this);
      },
    });
    this.studies = new Studies(this.chart, extras);
    this.volumes = new Volumes(this.chart, extras);
    this.trends = new TrendLines(this.chart);
    this.levels = new Levels(this.chart);
    this.alerts = new AlertLines(this.chart, rules);
    this.compared = new Compared(this.chart, () => {
      this.#applyScale();
      onCompared();
    });
    this.#glass = new Glass(this.chart, onToolDone);
    this.#tools = {
      measure: new Measure(this.chart),
      trend: new DrawTrend(this.trends),
      alert: new DrawAlert(this.chart, this.alerts, (price) => onAlert(this.chart.focus, price)),
    };
    this.#pointer = new Pointer(this.chart, [this.trends, this.alerts, this.levels], () => parts.glass.hidden);
    extras.onChange(() => this.refresh());
  }

  get focus() {
    return this.chart.focus;
  }

  async open() {
    await this.chart.open();
    if (!this.chart.canvas) return;
    this.volumes.open();
    this.trends.open();
    this.#applyScale();
    this.#paintRules();
    this.compared.choose();
    this.refresh();
  }

  /** Shows another chart. */
  choose(focus) {
    if (isSame(focus, this.focus)) return;
    if (!focus) this.chart.close();
    else void this.chart.choose(focus);
    write(this.parts.name, focus ? `${focus.symbol} · ${titleOf(focus.timeframe)}` : "");
    this.parts.name.title = focus?.venue ?? "";
    this.studies.choose(focus);
    this.volumes.choose(focus);
    this.trends.choose();
    this.#paintRules();
    this.compared.choose();
  }

  /** Draws what is made of its candles. */
  async refresh() {
    await firstDrawn;
    void this.studies.refresh();
    void this.volumes.refresh();
  }

  /** Takes a candle of the broadcast. */
  take(data) {
    this.chart.take(data);
    this.compared.take(data);
  }

  takePrice(latest) {
    this.chart.takePrice(latest);
    this.volumes.follow();
  }

  async reload(options) {
    this.compared.reload();
    await this.chart.reload(options);
  }

  poll() {
    void this.chart.poll();
    void this.compared.poll();
  }

  recolour() {
    if (!this.chart.canvas) return;
    this.chart.recolour();
    this.volumes.recolour();
    this.trends.recolour();
  }

  set scale(name) {
    this.#scale = name;
    this.#applyScale();
  }

  /** Takes a tool, `measure`, `trend` or `alert`; "" puts the one in use away. */
  use(name) {
    this.#glass.use(this.#tools[name] ?? null);
  }

  /** Times at the edges of the view, ms UTC; null without candles. */
  get span() {
    const { canvas, candles, lengthMs } = this.chart;
    const edges = candles.length ? canvas?.edges : null;
    return edges && { from: timeOf(candles, lengthMs, edges.from), to: timeOf(candles, lengthMs, edges.to) };
  }

  /** Shows the same times as another one; a chart of long candles at least some of them. */
  follow(span) {
    const { canvas, candles, lengthMs } = this.chart;
    if (!canvas || !candles.length) return;
    const [from, to] = [span.from, span.to].map((time) => placeOf(candles, lengthMs, time));
    canvas.setView({ from: Math.min(from, to - LEAST_SHOWN), to });
  }

  /** Puts the cursor at the candle of a time; null takes it away. */
  point(time) {
    const { candles } = this.chart;
    const isThere = time !== null && candles.length && time >= candles[0].time;
    this.chart.point(isThere ? candles[indexBefore(candles, time)] : null);
  }

  /** Comparisons are in percent, whatever the viewer chose. */
  #applyScale() {
    this.chart.canvas?.setScale(this.compared.list.length ? "percent" : this.#scale);
  }

  #paintRules() {
    this.levels.paint();
    this.alerts.paint();
  }
}
