/** What charts leave out of their candles for speed: quote volume, and what takers bought. */

import { get } from "../rest.js";
import { isOfFlow } from "./timeframe.js";

const PAGE = 1_000;
const AGAIN_MS = 5_000; // a candle that has just closed is stored by then

export class Traded {
  #focus = null;
  #byTime = new Map();
  #triedAt = new Map(); // by the newest candle without figures
  #isReading = false;

  choose(focus) {
    this.#focus = focus;
    this.#byTime.clear();
    this.#triedAt.clear();
    this.#isReading = false;
  }

  /** The candles with both figures, where they are known. */
  fill(candles) {
    return candles.map((candle) => (isFull(candle) ? candle : { ...candle, ...this.#byTime.get(candle.time) }));
  }

  /** Reads what some candles, oldest first, lack; whether there is more than before. */
  async read(candles) {
    const focus = this.#focus;
    if (!focus || !isOfFlow(focus.timeframe) || this.#isReading) return false;
    this.#isReading = true;
    let isMore = false;
    while (focus === this.#focus) {
      const lacking = candles.filter((candle) => !isFull(candle) && !this.#byTime.has(candle.time) && this.#isDue(candle));
      if (!lacking.length) break;
      const newest = lacking.at(-1).time;
      this.#triedAt.set(newest, performance.now());
      const found = await this.#page(focus, newest);
      if (focus !== this.#focus) return false;
      const fresh = found.filter(({ timestamp }) => !this.#byTime.has(timestamp));
      for (const { timestamp, quote_volume, taker_buy_volume } of fresh) this.#byTime.set(timestamp, { quote_volume, taker_buy_volume });
      if (!fresh.length) break;
      isMore = true;
    }
    this.#isReading = false;
    return isMore;
  }

  #isDue({ time }) {
    return !(this.#triedAt.get(time) > performance.now() - AGAIN_MS);
  }

  async #page({ venue, symbol, timeframe }, newest) {
    try {
      const query = { venue, end: newest + 1, limit: PAGE };
      return (await get(`/api/candles/${encodeURIComponent(symbol)}/${timeframe}`, query)).candles;
    } catch {
      return [];
    }
  }
}

const isFull = ({ taker_buy_volume: bought, quote_volume: quote }) => bought !== undefined && quote !== undefined;
