/** Footprints of the candles in view: what takers sold and bought at each price, read once for each closed candle. */

import { decimalsOf, precision } from "../format.js";
import { get } from "../rest.js";
import { momentOf } from "../zone.js";

const ROW_PX = 13; // a row that can be read
const STEPS = [1, 2, 5, 10];
const MOST_CANDLES = 200;
const MOST_KEPT = 2_000;

/** The least step of 1, 2 or 5 times a power of ten that is not below `least`. */
export function niceStep(least) {
  const unit = 10 ** Math.floor(Math.log10(least));
  const step = STEPS.find((one) => one * unit >= least * (1 - 1e-9));
  return Number((step * unit).toPrecision(1));
}

/**
 * Why some candles in view have no footprint, "" where all have one. `seen` are `{ time, volume }`, `found` are those with one, oldest
 * first, `hasTrades` is whether any trade of the symbol is stored.
 */
export function whyMissing(seen, found, { symbol, hasTrades }) {
  const there = new Set(found.filter(({ levels }) => levels.length).map((one) => one.open_time));
  const traded = seen.slice(-MOST_CANDLES).filter(({ volume }) => volume > 0);
  const missing = traded.filter(({ time }) => !there.has(time));
  if (!missing.length) return "";
  if (!hasTrades) return `no trades of ${symbol} are stored`;
  if (!there.size) return "no trades of the time in view are stored";
  const first = traded.find(({ time }) => there.has(time));
  if (missing.every(({ time }) => time < first.time)) return `no trades before ${momentOf(first.time)} are stored`;
  return `no trades of ${missing.length} of the ${traded.length} candles in view are stored`;
}

/** `{ tick, candles }` of levels of which the most volume at one price is `most`, by the time of the candle. */
export class Footprints {
  #focus = null;
  #tick = 0;
  #closed = new Map(); // by time

  choose(focus) {
    this.#focus = focus;
    this.#closed.clear();
  }

  /** Those of some candles, oldest first, in rows as high as the price of `pricePerPixel` needs. Throws a `Failure`. */
  async read(candles, { pricePerPixel }) {
    const finest = 10 ** -Math.max(precision.of(this.#focus), decimalsOf(candles.map(({ close }) => close)));
    const tick = Math.max(finest, niceStep(ROW_PX * pricePerPixel));
    if (tick !== this.#tick || this.#closed.size > MOST_KEPT) this.#closed.clear();
    this.#tick = tick;
    const wanted = candles.slice(-MOST_CANDLES);
    const missing = wanted.filter(({ time }) => !this.#closed.has(time));
    const fresh = missing.length ? await this.#page(missing[0].time, missing.at(-1).time + 1, tick) : [];
    const found = new Map([...this.#closed].filter(([time]) => time >= wanted[0]?.time && time <= wanted.at(-1).time));
    for (const one of fresh) {
      if (tick === this.#tick && one.is_closed) this.#closed.set(one.open_time, one);
      found.set(one.open_time, one);
    }
    return { tick, candles: [...found.values()] };
  }

  /** Whether any trade is stored; one that was found is not looked for again. Throws a `Failure`. */
  async hasTrades() {
    const { venue, symbol } = this.#focus;
    return this.#closed.size > 0 || (await get("/api/trades", { venue, symbol, limit: 1 })).trades.length > 0;
  }

  async #page(start, end, tick) {
    const { venue, symbol, timeframe } = this.#focus;
    const query = { venue, start, end, tick, limit: MOST_CANDLES };
    return (await get(`/api/footprint/${encodeURIComponent(symbol)}/${timeframe}`, query)).candles;
  }
}
