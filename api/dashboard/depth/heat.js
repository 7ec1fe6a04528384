/** The heat map: the order book of the last hour behind the candles, brighter where more was offered. */

import { ROWS, SECONDS } from "./history.js";

const SECOND_MS = 1_000;
const STRONGEST = 190; // of 255

/** The colour `rgb(…)` or `rgba(…)` of the style as numbers. */
const partsOf = (colour) => (colour.match(/\d+(\.\d+)?/g) ?? [0, 0, 0]).slice(0, 3).map(Number);

/** A primitive of lightweight-charts. Columns are drawn once, on a canvas of a pixel for each second and row; that is stretched over the candles. */
export class HeatMap {
  #chart;
  #series;
  #update = () => {};
  #history = null;
  #lengthMs = 60_000;
  #candlesInView = () => [];
  #canvas = Object.assign(document.createElement("canvas"), { width: SECONDS, height: ROWS });
  #drawn = { history: null, version: -1, last: null };
  #colours = { bids: [0, 0, 0], asks: [0, 0, 0] };
  #view = { zOrder: () => "bottom", renderer: () => ({ draw: (target) => this.#draw(target) }) };

  attached({ chart, series, requestUpdate }) {
    this.#chart = chart;
    this.#series = series;
    this.#update = requestUpdate;
  }

  detached() {
    this.#update = () => {};
  }

  paneViews() {
    return [this.#view];
  }

  /** The history that is shown, null for none, below candles of this length; null: from the begin of each to that of the next. */
  show(history, lengthMs, candlesInView) {
    this.#history = history;
    this.#lengthMs = lengthMs;
    this.#candlesInView = candlesInView;
    this.#update();
  }

  /** Columns of bids and asks, as colours of the style. */
  setColours(bids, asks) {
    this.#colours = { bids: partsOf(bids), asks: partsOf(asks) };
    this.#drawn.version = -1;
    this.#update();
  }

  #draw(target) {
    const span = this.#history?.span;
    if (!span) return;
    this.#paintColumns(span);
    target.useMediaCoordinateSpace(({ context, mediaSize }) => {
      context.imageSmoothingEnabled = false;
      for (const part of this.#parts(span, mediaSize.width)) this.#paintPart(context, part);
    });
  }

  /** Brings the canvas up to date: the new seconds, or all of them. */
  #paintColumns({ first, last }) {
    const history = this.#history, drawn = this.#drawn;
    const isSame = drawn.history === history && drawn.version === history.version && drawn.last !== null;
    const context = this.#canvas.getContext("2d");
    const from = isSame ? Math.max(first, drawn.last) : first;
    for (let second = from; second <= last; second++) {
      context.putImageData(this.#imageOf(history.column(second)), second % SECONDS, 0);
    }
    this.#drawn = { history, version: history.version, last };
  }

  #imageOf(rows) {
    const image = new ImageData(1, ROWS);
    rows?.forEach((strength, row) => {
      if (!strength) return;
      const [red, green, blue] = strength > 0 ? this.#colours.bids : this.#colours.asks;
      image.data.set([red, green, blue, Math.abs(strength) * STRONGEST], 4 * (ROWS - 1 - row));
    });
    return image;
  }

  /** What of the canvas belongs to each candle in view: `{ from, to }` in seconds, `{ left, width }` on the screen. */
  * #parts({ first, last }, width) {
    if (this.#lengthMs === null) return yield* this.#partsOfCandles(first, last);
    const scale = this.#chart.timeScale(), length = this.#lengthMs / SECOND_MS;
    const spacing = scale.options().barSpacing;
    for (let begin = Math.floor(first / length) * length; begin <= last; begin += length) {
      const middle = scale.timeToCoordinate(begin);
      if (middle === null || middle + spacing < 0 || middle - spacing > width) continue;
      const from = Math.max(first, begin), to = Math.min(last + 1, begin + length);
      const left = middle - spacing / 2 + ((from - begin) / length) * spacing;
      yield { from, to, left, width: ((to - from) / length) * spacing };
    }
  }

  * #partsOfCandles(first, last) {
    const scale = this.#chart.timeScale(), { barSpacing: width } = scale.options();
    const candles = this.#candlesInView(), begins = candles.map(({ time }) => Math.floor(time / SECOND_MS));
    for (const [index, { time }] of candles.entries()) {
      const from = Math.max(first, begins[index]), to = Math.min(last + 1, begins[index + 1] ?? last + 1);
      const middle = scale.timeToCoordinate(time / 1_000);
      if (from < to && middle !== null) yield { from, to, left: middle - width / 2, width };
    }
  }

  /** The columns go round on the canvas, so a part may be two pieces of it. */
  #paintPart(context, { from, to, left, width }) {
    const { low, high } = this.#history.range;
    const top = this.#series.priceToCoordinate(high), bottom = this.#series.priceToCoordinate(low);
    if (top === null || bottom === null) return;
    const seconds = to - from, place = from % SECONDS, before = Math.min(seconds, SECONDS - place);
    const pieces = [[place, before, 0], [0, seconds - before, before]];
    for (const [x, count, done] of pieces) {
      if (count <= 0) continue;
      const at = left + (done / seconds) * width;
      context.drawImage(this.#canvas, x, 0, count, ROWS, at, top, Math.max(0.5, (count / seconds) * width), bottom - top);
    }
  }
}
