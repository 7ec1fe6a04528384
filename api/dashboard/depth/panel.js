/** The order book over time: collects the views of the hub while the page is open, and draws them behind the candles. */

import { byId, colour, paintSoon } from "../page.js";
import { HeatMap } from "./heat.js";
import { BookHistory } from "./history.js";

const KEPT = "marketflow.heat";
const MOST_KEPT = 4; // instruments whose hour is kept, the last ones that were shown

const keyOf = ({ venue, symbol }) => `${venue}:${symbol}`;

export class BookOverTime {
  #histories = new Map();
  #focus = null;
  #isOn = localStorage.getItem(KEPT) === "on";
  #maps = new WeakMap(); // by canvas of a chart

  /** `panes` are the charts of the page. */
  constructor(panes) {
    this.panes = panes;
    byId("heat-on").setAttribute("aria-pressed", String(this.#isOn));
    byId("heat-on").onclick = () => {
      this.#isOn = !this.#isOn;
      localStorage.setItem(KEPT, this.#isOn ? "on" : "off");
      byId("heat-on").setAttribute("aria-pressed", String(this.#isOn));
      this.#paint();
    };
  }

  recolour() {
    for (const map of this.#shown.map(([, one]) => one)) map.setColours(colour("up"), colour("down"));
  }

  choose(focus) {
    this.#focus = focus;
    if (focus) {
      const key = keyOf(focus), history = this.#histories.get(key) ?? new BookHistory();
      this.#histories.delete(key);
      this.#histories.set(key, history); // the last one shown is the last one dropped
      for (const old of [...this.#histories.keys()].slice(0, -MOST_KEPT)) this.#histories.delete(old);
    }
    this.#paint();
  }

  /** The shown instrument's book. */
  take({ bids, asks, synced, timestamp }) {
    if (!this.#focus) return;
    this.#histories.get(keyOf(this.#focus))?.take(synced === false ? null : { bids, asks }, timestamp);
    if (this.#isOn) paintSoon(this.#paint);
  }

  /** The charts with their maps; one that never had one gets it when maps are shown, as it is a picture of an hour. */
  get #shown() {
    const charts = this.panes.all.map(({ chart }) => chart).filter(({ canvas }) => canvas && (this.#isOn || this.#maps.has(canvas)));
    return charts.map((chart) => [chart, this.#mapOf(chart.canvas)]);
  }

  #mapOf(canvas) {
    if (!this.#maps.has(canvas)) {
      const map = new HeatMap();
      canvas.attach(map);
      map.setColours(colour("up"), colour("down"));
      this.#maps.set(canvas, map);
    }
    return this.#maps.get(canvas);
  }

  #paint = () => {
    for (const [chart, map] of this.#shown) {
      const history = this.#isOn && chart.focus ? this.#histories.get(keyOf(chart.focus)) : null;
      map.show(history ?? null, chart.isOfTime ? chart.lengthMs : null, () => chart.candlesInView);
    }
  };
}
