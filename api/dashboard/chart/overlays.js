/** Drawn with the candles: the volume profile as bars at the right edge, vacuums as zones, footprints as figures. */

import { compact } from "../format.js";

/**
 * A primitive of lightweight-charts: calls `draw(context, { width, height, x, y, step })` in media coordinates, where
 * `x(time)` is of a candle, ms UTC, `y(price)`, and `step` the width of a candle.
 */
export class Overlay {
  #update = () => {};
  #series;
  #scale;
  drawn = null;
  colours = {};
  #view;

  /** `order`: `bottom`, behind all, or `top`. */
  constructor(order = "bottom") {
    this.#view = { zOrder: () => order, renderer: () => ({ draw: (target) => this.#draw(target) }) };
  }

  attached({ series, chart, requestUpdate }) {
    this.#series = series;
    this.#scale = chart.timeScale();
    this.#update = requestUpdate;
  }

  detached() {
    this.#update = () => {};
  }

  paneViews() {
    return [this.#view];
  }

  show(drawn) {
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    this.#update();
  }

  /** The colours of the style sheet, by name. */
  paint(colours) {
    this.colours = colours;
    this.#update();
  }

  #draw(target) {
    target.useMediaCoordinateSpace(({ context, mediaSize }) => {
      const y = (price) => this.#series.priceToCoordinate(price);
      const x = (time) => this.#scale.timeToCoordinate(time / 1_000);
      const place = (index) => this.#scale.logicalToCoordinate(index);
      context.save();
      this.draw(context, { ...mediaSize, x, y, place, step: this.#scale.options().barSpacing });
      context.restore();
    });
  }
}

const MARK_PX = 2.5;
const MARK_GAP_PX = 8;

/** Dots below candles, `[time, low]` each. Not the library's markers: with these each new price would draw the chart twice. */
export class MarkOverlay extends Overlay {
  constructor() {
    super("top");
  }

  draw(context, { x, y }) {
    context.fillStyle = this.colours.accent;
    for (const [time, low] of this.drawn ?? []) {
      const across = x(time), down = y(low);
      if (across === null || down === null) continue;
      context.beginPath();
      context.arc(across, down + MARK_GAP_PX, MARK_PX, 0, 2 * Math.PI);
      context.fill();
    }
  }
}

const WIDEST = 0.22; // of the chart's width, for the row with the most volume

export class ProfileOverlay extends Overlay {
  draw(context, { width, y }) {
    const profile = this.drawn;
    if (!profile) return;
    const { up: buy, down: sell, accent: line } = this.colours;
    const most = Math.max(...profile.rows.map((row) => row.volume));
    for (const row of profile.rows) {
      const top = y(row.high + profile.tick), bottom = y(row.low);
      if (top === null || bottom === null || !row.volume) continue;
      const height = Math.max(1, bottom - top - 0.5);
      const sold = (row.sell_volume / most) * width * WIDEST, bought = (row.buy_volume / most) * width * WIDEST;
      context.globalAlpha = row.high <= profile.vah && row.low >= profile.val ? 0.32 : 0.15;
      context.fillStyle = sell;
      context.fillRect(width - sold, top, sold, height);
      context.fillStyle = buy;
      context.fillRect(width - sold - bought, top, bought, height);
    }
    context.globalAlpha = 0.8;
    context.fillStyle = line;
    const poc = y(profile.poc);
    if (poc !== null) context.fillRect(width * (1 - WIDEST), poc, width * WIDEST, 1);
    context.globalAlpha = 1;
  }
}

export class VacuumOverlay extends Overlay {
  draw(context, { width, y }) {
    context.fillStyle = this.colours.warn;
    for (const { low, high, fill } of this.drawn ?? []) {
      const top = y(high), bottom = y(low);
      if (top === null || bottom === null) continue;
      context.globalAlpha = 0.22 * (1 - Math.min(1, fill)) + 0.06;
      context.fillRect(0, top, width, Math.max(1, bottom - top));
    }
    context.globalAlpha = 1;
  }
}

const LEAST_WIDE = 46; // pixels between candles, for two figures beside each other
const IMBALANCE = 3; // times what stands against it, one price away
const FONT = "10px ui-monospace, Menlo, Consolas, monospace";

/** Whether candles are wide enough for footprints. */
export const hasRoom = (step) => step >= LEAST_WIDE;

export class FootprintOverlay extends Overlay {
  constructor() {
    super("top");
  }

  draw(context, { x, y, step }) {
    if (!this.drawn || !hasRoom(step)) return;
    const { tick, candles } = this.drawn;
    context.font = FONT;
    context.textBaseline = "middle";
    for (const candle of candles) {
      const middle = x(candle.open_time);
      if (middle !== null) this.#drawCandle(context, candle, { middle, half: step / 2 - 2, tick, y });
    }
  }

  #drawCandle(context, candle, { middle, half, tick, y }) {
    const { panel, up, down, soft, text } = this.colours;
    const most = Math.max(...candle.levels.map(({ bid, ask }) => Math.max(bid, ask)));
    const asks = new Map(candle.levels.map(({ price, ask }) => [keyOf(price, tick), ask]));
    const bids = new Map(candle.levels.map(({ price, bid }) => [keyOf(price, tick), bid]));
    for (const { price, bid, ask } of candle.levels) {
      const bottom = y(price), top = y(price + tick);
      if (bottom === null || top === null) continue;
      const height = Math.max(1, bottom - top - 1), centre = (top + bottom) / 2;
      const cell = (left, width, share, colour) => {
        context.globalAlpha = 1;
        context.fillStyle = panel;
        context.fillRect(left, top, width, height);
        context.globalAlpha = 0.1 + 0.4 * share;
        context.fillStyle = colour;
        context.fillRect(left, top, width, height);
      };
      cell(middle - half, half - 1, bid / most, down);
      cell(middle + 1, half - 1, ask / most, up);
      if (height < 9) continue;
      context.globalAlpha = 1;
      const isSold = bid >= IMBALANCE * (asks.get(keyOf(price, tick) + 1) ?? 0) && bid > 0.2 * most;
      const isBought = ask >= IMBALANCE * (bids.get(keyOf(price, tick) - 1) ?? 0) && ask > 0.2 * most;
      write(context, compact(bid), { at: middle - 4, align: "right", centre, most: half - 4, colour: isSold ? down : text });
      write(context, compact(ask), { at: middle + 4, align: "left", centre, most: half - 4, colour: isBought ? up : text });
    }
    this.#drawBody(context, candle, { middle, y });
    const below = y(candle.levels[0]?.price ?? candle.low);
    if (below === null) return;
    const colour = candle.delta > 0 ? up : candle.delta < 0 ? down : soft;
    write(context, `Δ ${signedShort(candle.delta)}`, { at: middle, align: "center", centre: below + 10, most: 2 * half, colour });
  }

  /** Open and close, as a bar between the figures. */
  #drawBody(context, { open, close }, { middle, y }) {
    const from = y(open), to = y(close);
    if (from === null || to === null) return;
    context.globalAlpha = 1;
    context.fillStyle = close >= open ? this.colours.up : this.colours.down;
    context.fillRect(middle - 1, Math.min(from, to), 2, Math.max(1, Math.abs(to - from)));
  }
}

const keyOf = (price, tick) => Math.round(price / tick);
const signedShort = (value) => (value > 0 ? "+" : "") + compact(value);

function write(context, text, { at, align, centre, most, colour }) {
  context.fillStyle = colour;
  context.textAlign = align;
  context.fillText(text, at, centre, Math.max(8, most));
}
