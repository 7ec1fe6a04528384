/** A pane of glass over a chart while a tool is in use: the pointer draws on it, and does not move the chart. */

import { priceAt } from "./price_lines.js";

const MOVED_PX = 4; // less is a click

export class Glass {
  #tool = null;

  /** `onDone()`: the tool in use has done its work. */
  constructor(chart, onDone) {
    this.pane = chart.parts.glass;
    const at = (work) => (event) => chart.canvas && chart.focus && this.#tool && work(event.offsetX, event.offsetY, event);
    this.pane.onpointerdown = at((x, y, event) => {
      this.pane.setPointerCapture(event.pointerId);
      this.#tool.press(x, y);
    });
    this.pane.onpointermove = at((x, y) => this.#tool.move(x, y));
    this.pane.onpointerup = at((x, y) => this.#tool.release(x, y) && onDone());
  }

  /** Takes a tool, or with null puts the one in use away. */
  use(tool) {
    this.#tool?.close();
    this.#tool = tool;
    this.pane.hidden = !tool;
    tool?.open();
  }
}

/** Draws a trend line: from where the pointer is pressed to where it is released, or from click to click. */
export class DrawTrend {
  #from = null;
  #pressed = null;

  constructor(lines) {
    this.lines = lines;
  }

  open() {
    this.#from = this.#pressed = null;
  }

  close() {
    this.lines.preview(null);
  }

  press(x, y) {
    this.#pressed = { x, y };
    this.#from ??= this.lines.pointAt(x, y);
  }

  move(x, y) {
    const to = this.#from && this.lines.pointAt(x, y);
    if (to) this.lines.preview({ from: this.#from, to, isRay: false });
  }

  release(x, y) {
    const to = this.lines.pointAt(x, y);
    const isFirstClick = Math.hypot(x - this.#pressed.x, y - this.#pressed.y) < MOVED_PX && isSame(this.#from, to);
    if (!this.#from || !to || isFirstClick) return false;
    this.lines.preview(null);
    this.lines.add({ from: this.#from, to, isRay: false });
    return true;
  }
}

const isSame = (one, other) => one && other && one.time === other.time && one.price === other.price;

/** Makes a price alert where the pointer is released. */
export class DrawAlert {
  constructor(chart, lines, onPrice) {
    Object.assign(this, { chart, lines, onPrice });
  }

  open() {}

  close() {
    this.lines.preview(null);
  }

  press(x, y) {
    this.move(x, y);
  }

  move(_, y) {
    this.lines.preview(priceAt(this.chart, y));
  }

  release(_, y) {
    const price = priceAt(this.chart, y);
    if (price !== null) this.onPrice(price);
    return price !== null;
  }
}
