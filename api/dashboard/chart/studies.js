/** The indicators of one chart: computed for all its candles, drawn, and written in its legend. */

import { compute, INDICATORS, parseLabel, settleOf } from "./indicators.js";
import { Traded } from "./traded.js";
import { compact, fixed, NONE, precision } from "../format.js";
import { element, write } from "../page.js";

const DAY_MS = 86_400_000;
const FOLLOW_MS = 500; // indicators follow the price so often: each time costs a drawing
const PLACES = 2; // of values that are no prices

export class Studies {
  #indicators = []; // with the values of all loaded candles
  #texts = new Map(); // elements of the values, by label
  #followedAt = 0;
  #following = null; // the timer of what came too soon
  #traded = new Traded();

  /** `extras` says which there are. */
  constructor(chart, extras) {
    this.chart = chart;
    this.extras = extras;
    chart.onPaint = () => this.#follow();
  }

  choose(focus) {
    this.#traded.choose(focus);
    this.#indicators = [];
    this.#draw();
  }

  /** Computes and draws all of them again. */
  async refresh() {
    if (!this.chart.focus || !this.chart.canvas) return;
    this.#redraw();
    const needsTraded = this.#labels.some(({ isTraded }) => isTraded);
    if (needsTraded && (await this.#traded.read(this.chart.candles)) && this.chart.focus) this.#redraw();
  }

  /** The values of an indicator for all loaded candles, a list for each of its outputs. */
  valuesOf(label) {
    return compute(parseLabel(label), this.#candles);
  }

  get #labels() {
    return this.extras.labels.map((label) => ({ label, ...INDICATORS[parseLabel(label).name] }));
  }

  get #candles() {
    return this.#traded.fill(this.chart.shown);
  }

  #redraw() {
    this.#compute();
    this.#draw();
  }

  /** The values of all loaded candles; the first ones of an average are left out until it has settled, if there are older candles. */
  #compute() {
    const candles = this.#candles;
    this.#indicators = (candles.length ? this.extras.labels : []).map((label) => {
      const parsed = parseLabel(label);
      const values = compute(parsed, candles);
      const open = this.chart.isWhole ? 0 : settleOf(parsed);
      for (const column of Object.values(values)) column.fill(null, 0, Math.min(column.length, open));
      return { label, ...INDICATORS[parsed.name], name: parsed.name, parameters: parsed.values, values };
    });
    return candles;
  }

  #draw() {
    const ofDay = this.chart.lengthMs ? Math.ceil(DAY_MS / this.chart.lengthMs) : 0;
    const needed = this.#labels.map(({ label, isOfDay }) => (isOfDay ? ofDay : settleOf(parseLabel(label))));
    this.chart.reserve = Math.max(0, ...needed);
    this.chart.canvas?.lines.draw(this.#indicators, this.chart.shown);
    this.#texts = new Map(this.#indicators.map((indicator) => [indicator.label, textsOf(indicator, this.chart.canvas.lines)]));
    this.chart.parts.lines.replaceChildren(...[...this.#texts.values()].map(({ line }) => line));
    this.#paintValues();
  }

  /** The last candle moved, or the cursor did. */
  #follow() {
    const due = this.#followedAt + FOLLOW_MS - performance.now();
    if (due > 0) {
      this.#following ??= setTimeout(() => this.#followLast(), due);
    } else if (this.#indicators.length && this.chart.cursor === null) {
      this.#followedAt = performance.now();
      const candles = this.#compute();
      if (candles.length) this.chart.canvas?.lines.update(this.#indicators, candles);
    }
    this.#paintValues();
  }

  /** The price that came meanwhile may be the last one for long. */
  #followLast() {
    this.#following = null;
    if (!document.hidden) this.#follow();
  }

  #paintValues() {
    const { candles, cursor, focus } = this.chart;
    const found = cursor === null ? -1 : candles.findIndex(({ time }) => time === cursor);
    for (const { label, isPrice, isTraded, values } of this.#indicators) {
      const shown = isTraded && !isPrice ? compact : (value) => fixed(value, isPrice && focus ? precision.of(focus) : PLACES);
      for (const [output, column] of Object.entries(values)) {
        const text = this.#texts.get(label)?.outputs[output];
        if (text) write(text, column.length ? shown(column.at(found)) : NONE);
      }
    }
  }
}

/** A line of the legend: name, parameters and a place for each value. */
function textsOf({ label, name, parameters, values }, lines) {
  const outputs = Object.fromEntries(Object.keys(values).map((output) => [output, element("b")]));
  for (const [output, text] of Object.entries(outputs)) {
    const colour = lines.colourOf(label, output);
    if (colour) text.style.color = `var(--${colour})`;
    text.title = output;
  }
  const head = `${name.toUpperCase()} ${parameters.join(" ")}`.trim();
  return { line: element("span", "", `${head} `, ...Object.values(outputs).flatMap((text) => [text, " "])), outputs };
}
