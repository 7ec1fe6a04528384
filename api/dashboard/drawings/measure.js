/** Measures in a chart: a box from where the pointer is pressed to where it is, with the way in price and time. */

import { timeOf } from "../chart/places.js";
import { element, write } from "../page.js";
import { fixed, percent, precision, signed, wayOf } from "../format.js";

/** `5 candles, 2 h 30 min`, of a number of candles with a length in ms. */
export function spanOf(candles, lengthMs) {
  const minutes = Math.round((Math.abs(candles) * lengthMs) / 60_000);
  const [days, hours, rest] = [Math.floor(minutes / 1_440), Math.floor(minutes / 60) % 24, minutes % 60];
  const time = [[days, "d"], [hours, "h"], [rest, "min"]].filter(([count]) => count).map(([count, unit]) => `${count} ${unit}`);
  return `${candles} ${Math.abs(candles) === 1 ? "candle" : "candles"}${time.length ? `, ${time.join(" ")}` : ""}`;
}

/** A tool of the glass that stays in use until it is put away. */
export class Measure {
  #box = element("div", "box");
  #text = element("span", "number");
  #begin = null;

  constructor(chart) {
    this.chart = chart;
    this.#box.append(this.#text);
    chart.parts.glass.append(this.#box);
  }

  open() {
    this.#box.hidden = true;
    this.#begin = null;
  }

  close() {
    this.open();
  }

  press(x, y) {
    this.#begin = { x, y, ...this.chart.canvas.placeAt(x, y) };
    this.#draw(x, y);
  }

  move(x, y) {
    if (this.#begin) this.#draw(x, y);
  }

  /** Whether the tool has done its work. */
  release() {
    this.#begin = null;
    return false;
  }

  /** The length of the candles between two numbers: the mean one where they have none of their own. */
  #lengthOf(from, to) {
    const { candles, lengthMs, isOfTime } = this.chart;
    if (isOfTime || from === to) return lengthMs;
    return Math.abs((timeOf(candles, lengthMs, to) - timeOf(candles, lengthMs, from)) / (to - from));
  }

  #draw(x, y) {
    const from = this.#begin, to = this.chart.canvas.placeAt(x, y);
    if (from.price === null || to.price === null) return;
    const { focus } = this.chart;
    const candles = to.index - from.index, lengthMs = this.#lengthOf(from.index, to.index);
    const decimals = precision.of(focus ?? {});
    const moved = to.price - from.price;
    const [left, top] = [Math.min(x, from.x), Math.min(y, from.y)];
    Object.assign(this.#box.style, {
      left: `${left}px`, top: `${top}px`, width: `${Math.abs(x - from.x)}px`, height: `${Math.abs(y - from.y)}px`,
    });
    this.#box.dataset.way = wayOf(moved, decimals);
    write(this.#text, `${signed(moved, decimals)} (${percent((100 * moved) / from.price)}) · ${spanOf(candles, lengthMs)} · at ${fixed(to.price, decimals)}`);
    this.#box.hidden = false;
  }
}
