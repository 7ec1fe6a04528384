/** The trend lines of one chart: drawn, selected, moved by their ends or as a whole, deleted. */

import { Overlay } from "../chart/overlays.js";
import { placeOf, timeOf } from "../chart/places.js";
import { distanceTo, endOfRay } from "./geometry.js";
import { trends } from "./kept.js";

const END_PX = 8;
const LINE_PX = 6;
const HANDLE_PX = 4;

/** Draws `{ lines, selected }`, where a line is `{ from, to, isRay }` of points `{ x, y }`. */
class TrendOverlay extends Overlay {
  constructor(linesOf) {
    super("top");
    this.linesOf = linesOf;
  }

  draw(context, { width, place, y }) {
    const { lines, selected } = this.linesOf(place, y);
    lines.forEach(({ from, to, isRay }, index) => {
      if ([from.x, from.y, to.x, to.y].includes(null)) return;
      const end = isRay ? endOfRay(from, to, width) : to;
      context.strokeStyle = this.colours.accent;
      context.lineWidth = index === selected ? 2 : 1.5;
      context.beginPath();
      context.moveTo(from.x, from.y);
      context.lineTo(end.x, end.y);
      context.stroke();
      if (index !== selected) return;
      context.fillStyle = this.colours.panel;
      for (const { x, y: height } of [from, to]) {
        context.beginPath();
        context.arc(x, height, HANDLE_PX, 0, 2 * Math.PI);
        context.fill();
        context.stroke();
      }
    });
  }
}

export class TrendLines {
  #selected = null; // its number
  #moving = null; // the lines while one of them is dragged
  #preview = null; // the one that is being drawn
  #overlay;

  constructor(chart) {
    this.chart = chart;
    this.#overlay = new TrendOverlay((place, y) => {
      const shown = this.#preview ? [...this.#lines, this.#preview] : this.#lines;
      return { lines: shown.map((line) => this.#screen(line, place, y)), selected: this.#selected };
    });
    trends.onChange(() => this.paint());
  }

  /** The chart is there. */
  open() {
    this.chart.canvas.attach(this.#overlay);
    this.recolour();
  }

  recolour() {
    this.#overlay.paint(this.chart.canvas.colours);
  }

  choose() {
    this.#selected = null;
    this.#moving = this.#preview = null;
    this.paint();
  }

  paint() {
    if (this.#selected >= this.#lines.length) this.#selected = null;
    if (this.chart.canvas) this.recolour();
  }

  get selected() {
    return this.#selected;
  }

  /** A point of the screen as `{ time, price }`, at a candle; null where there is none. */
  pointAt(x, y) {
    const { canvas, candles, lengthMs } = this.chart;
    const { price, index } = canvas.placeAt(x, y);
    const time = timeOf(candles, lengthMs, index);
    return price === null || time === null ? null : { time, price };
  }

  /** Shows the line that is being drawn; null: none. */
  preview(line) {
    this.#preview = line;
    this.paint();
  }

  add(line) {
    trends.set(this.chart.focus, [...trends.of(this.chart.focus), line]);
    this.#select(trends.of(this.chart.focus).length - 1);
  }

  /** Deletes the selected one; whether there was one. */
  dropSelected() {
    if (this.#selected === null) return false;
    const kept = trends.of(this.chart.focus).filter((_, index) => index !== this.#selected);
    this.#selected = null;
    trends.set(this.chart.focus, kept);
    return true;
  }

  /** What a pointer takes hold of at a place of the screen: `{ cursor, move(x, y), drop() }`; null: nothing. */
  hit(x, y, reach = 0) {
    const { canvas } = this.chart;
    const lines = this.#lines.map((line) => this.#screen(line, (index) => canvas.xOf(index), (price) => canvas.yOf(price)));
    for (let index = lines.length - 1; index >= 0; index--) {
      const { from, to, isRay } = lines[index];
      if ([from.x, from.y, to.x, to.y].includes(null)) continue;
      const end = [from, to].findIndex((one) => Math.hypot(one.x - x, one.y - y) <= END_PX + reach);
      if (end >= 0) return this.#holdEnd(index, end ? "to" : "from");
      if (distanceTo({ x, y }, from, to, isRay) <= LINE_PX + reach) return this.#holdWhole(index, { x, y });
    }
    return null;
  }

  /** Nothing was hit: nothing is selected. */
  leave() {
    if (this.#selected !== null) this.#select(null);
  }

  get #lines() {
    return this.#moving ?? trends.of(this.chart.focus);
  }

  #select(index) {
    this.#selected = index;
    this.paint();
  }

  #holdEnd(index, name) {
    const change = (line, x, y) => ({ ...line, [name]: this.pointAt(x, y) ?? line[name] });
    return this.#hold(index, "grab", change);
  }

  #holdWhole(index, begin) {
    const start = trends.of(this.chart.focus)[index];
    const [at, from, to] = [this.chart.canvas.placeAt(begin.x, begin.y), ...[start.from, start.to].map((point) => this.#placeOf(point))];
    const moved = (point, place, index, price) => ({ time: this.#timeOf(place + index), price: point.price + price });
    const change = (line, x, y) => {
      const now = this.chart.canvas.placeAt(x, y);
      if (now.price === null || at.price === null) return line;
      const [wide, high] = [now.index - at.index, now.price - at.price];
      return { ...line, from: moved(start.from, from, wide, high), to: moved(start.to, to, wide, high) };
    };
    return this.#hold(index, "move", change);
  }

  #hold(index, cursor, change) {
    return {
      cursor,
      take: () => this.#select(index),
      move: (x, y) => {
        this.#moving = this.#lines.map((line, each) => (each === index ? change(line, x, y) : line));
        this.paint();
      },
      drop: () => {
        const moved = this.#moving;
        this.#moving = null;
        if (moved) trends.set(this.chart.focus, moved);
      },
    };
  }

  #placeOf({ time }) {
    return placeOf(this.chart.candles, this.chart.lengthMs, time);
  }

  #timeOf(place) {
    return Math.round(timeOf(this.chart.candles, this.chart.lengthMs, place));
  }

  #screen({ from, to, isRay }, xOf, yOf) {
    const of = (point) => {
      const place = this.#placeOf(point);
      return { x: place === null ? null : xOf(place), y: yOf(point.price) };
    };
    return { from: of(from), to: of(to), isRay };
  }
}
