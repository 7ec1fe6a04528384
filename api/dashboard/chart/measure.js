/** Measures in the chart: a box from where the pointer is pressed to where it is, with the way in price and time. */

import { byId, element, write } from "../page.js";
import { fixed, percent, signed, wayOf } from "../format.js";

/** `5 candles, 2 h 30 min`, of a number of candles with a length in ms. */
export function spanOf(candles, lengthMs) {
  const minutes = Math.round((Math.abs(candles) * lengthMs) / 60_000);
  const [days, hours, rest] = [Math.floor(minutes / 1_440), Math.floor(minutes / 60) % 24, minutes % 60];
  const time = [[days, "d"], [hours, "h"], [rest, "min"]].filter(([count]) => count).map(([count, unit]) => `${count} ${unit}`);
  return `${candles} ${Math.abs(candles) === 1 ? "candle" : "candles"}${time.length ? `, ${time.join(" ")}` : ""}`;
}

export class Measure {
  #pane = byId("measure");
  #box = element("div", "box");
  #text = element("span", "number");
  #begin = null;

  /** `placeAt(x, y)` is `{ price, index }` of a place of the pane; `of()` is `{ lengthMs, decimals }`. */
  constructor({ placeAt, of, onEnd }) {
    Object.assign(this, { placeAt, of, onEnd });
    this.#box.append(this.#text);
    this.#pane.append(this.#box);
    this.#pane.onpointerdown = (event) => this.#start(event);
    this.#pane.onpointermove = (event) => this.#begin && this.#draw(event);
    this.#pane.onpointerup = () => (this.#begin = null);
  }

  get isOn() {
    return !this.#pane.hidden;
  }

  set isOn(on) {
    this.#pane.hidden = !on;
    this.#box.hidden = true;
    this.#begin = null;
    if (!on) this.onEnd();
  }

  #start(event) {
    this.#pane.setPointerCapture(event.pointerId);
    this.#begin = { x: event.offsetX, y: event.offsetY, ...this.placeAt(event.offsetX, event.offsetY) };
    this.#draw(event);
  }

  #draw({ offsetX: x, offsetY: y }) {
    const from = this.#begin, to = this.placeAt(x, y);
    if (from.price === null || to.price === null) return;
    const { lengthMs, decimals } = this.of();
    const moved = to.price - from.price;
    const [left, top] = [Math.min(x, from.x), Math.min(y, from.y)];
    Object.assign(this.#box.style, {
      left: `${left}px`, top: `${top}px`, width: `${Math.abs(x - from.x)}px`, height: `${Math.abs(y - from.y)}px`,
    });
    this.#box.dataset.way = wayOf(moved, decimals);
    write(this.#text, `${signed(moved, decimals)} (${percent((100 * moved) / from.price)}) · ${spanOf(to.index - from.index, lengthMs)} · at ${fixed(to.price, decimals)}`);
    this.#box.hidden = false;
  }
}
