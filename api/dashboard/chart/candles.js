/** The candles of one chart: ordered, each once; an older version never replaces a newer one. */

const UNITS_MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** Infinity where bars have no length in time: those of trades, volume or value. */
export const lengthMs = (timeframe) => (timeframe.at(-1) in UNITS_MS ? Number.parseInt(timeframe, 10) * UNITS_MS[timeframe.at(-1)] : Infinity);

/** Whether a bar of `/api/bars` may lack trades, by the `lacking` of the answer: those of a gap, or from before the first stored one. */
export const lacksTrades = (opens, closes, { gaps, since }) =>
  opens < since || gaps.some(({ begin, end }) => begin <= closes && end >= opens);

export class Candles {
  #byTime = new Map();
  #sorted = [];

  constructor(timeframe) {
    this.lengthMs = lengthMs(timeframe);
  }

  get list() {
    return this.#sorted;
  }

  get first() {
    return this.#sorted[0];
  }

  get last() {
    return this.#sorted.at(-1);
  }

  at(time) {
    return this.#byTime.get(time);
  }

  /** Adds candles, oldest first; they may overlap those held. */
  merge(candles) {
    for (const candle of candles.map(timed)) if (!this.#isOlder(candle)) this.#byTime.set(candle.time, candle);
    this.#sorted = [...this.#byTime.values()].sort((one, other) => one.time - other.time);
  }

  /** Of candles before a time, oldest first, the newest ones that follow each other up to it. */
  meeting(candles, next = Infinity) {
    let place = candles.length;
    for (let end = next; place > 0; place--) {
      const time = candles[place - 1].timestamp;
      if (end !== Infinity && time + this.lengthMs < end) break;
      end = time;
    }
    return candles.slice(place);
  }

  /** Times of the candles before which others are missing, the newest first. */
  edges() {
    if (this.lengthMs === Infinity) return [];
    const follows = ({ time }, index) => !index || time === this.#sorted[index - 1].time + this.lengthMs;
    return this.#sorted.filter((candle, index) => !follows(candle, index)).map(({ time }) => time).reverse();
  }

  /** Adds those of some candles, oldest first, that lie in the hole before a time; whether there were any. */
  fill(candles, edge) {
    const before = this.#sorted[this.#indexOf(edge) - 1].time;
    const missing = candles.filter(({ timestamp }) => timestamp > before && timestamp < edge);
    this.merge(missing);
    return missing.length > 0;
  }

  /**
   * Adds one of the broadcast. Returns `last` or `amended` to draw, `late`: it was missing between others, `old`: nothing
   * new, `hole`: candles are missing.
   */
  put(news) {
    const candle = timed(news);
    if (this.#isOlder(candle)) return "old";
    const last = this.last;
    if (last && candle.time > last.time + this.lengthMs) return "hole";
    const known = this.#byTime.has(candle.time);
    if (!known && last && candle.time < last.time) {
      if (candle.time < this.first.time) return "old"; // before the loaded range
      this.merge([news]);
      return "late";
    }
    this.#byTime.set(candle.time, candle);
    if (!known) this.#sorted.push(candle);
    else this.#sorted[this.#indexOf(candle.time)] = candle;
    return !last || candle.time >= last.time ? "last" : "amended";
  }

  #isOlder(candle) {
    const held = this.#byTime.get(candle.time);
    if (!held) return false;
    return held.is_closed ? !candle.is_closed || candle.revision < held.revision : false;
  }

  #indexOf(time) {
    let index = this.#sorted.length - 1;
    while (this.#sorted[index].time !== time) index--;
    return index;
  }
}

const timed = (candle) => ({ ...candle, time: candle.timestamp });
