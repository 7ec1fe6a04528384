/** The last hour of an order book, by second: what the heat map is drawn of. Bounded: a second is one column of so many rows. Pure. */

export const SECONDS = 3_600;
export const ROWS = 400;
const HELD_S = 30; // a book that does not change sends nothing: so long the one before is taken to hold
const ROOM = 0.4; // of the range of prices, above and below, so that it is seldom laid out anew
const SECOND_MS = 1_000;
const LEVELS = 50; // of a side

/** A book as numbers: prices and quantities of bids, then of asks, best first. */
class Sample {
  constructor(bids, asks) {
    this.bids = flat(bids);
    this.asks = flat(asks);
  }
}

const flat = (levels) => Float64Array.from(levels.slice(0, LEVELS).flatMap(([price, quantity]) => [price, quantity]));

export class BookHistory {
  #samples = new Array(SECONDS).fill(null);
  #first = null; // the seconds since the epoch of the oldest and the newest column
  #last = null;
  #low = 0;
  #step = 0; // of the price, from row to row
  #full = 0; // the quantity that is drawn in full
  version = 0; // rises when all columns have to be drawn again

  /** Takes a book, `{ bids, asks }` of `[price, quantity]` best first, at a time (ms UTC); null where it is not known. */
  take(book, time) {
    const second = Math.floor(time / SECOND_MS);
    if (this.#last !== null && second < this.#last) return; // late
    const sample = book && (book.bids.length || book.asks.length) ? new Sample(book.bids, book.asks) : null;
    this.#fill(second, sample !== null);
    this.#samples[second % SECONDS] = sample;
    this.#first = Math.max(this.#first ?? second, second - SECONDS + 1);
    this.#last = second;
    if (sample) this.#cover(sample);
  }

  /** Seconds of the oldest and the newest column, both inclusive; null without any. */
  get span() {
    return this.#last === null ? null : { first: this.#first, last: this.#last };
  }

  /** The price of the lower edge of the lowest row, and of the upper edge of the highest. */
  get range() {
    return { low: this.#low, high: this.#low + ROWS * this.#step };
  }

  /**
   * How strong each row of a second is, lowest price first: up to 1 for bids, down to -1 for asks; null where the book was not known.
   * The strength is the quantity as a share of what is large in this hour.
   */
  column(second) {
    const sample = second >= this.#first && second <= this.#last ? this.#samples[second % SECONDS] : null;
    if (!sample || !this.#step) return null;
    const rows = new Float32Array(ROWS);
    this.#add(rows, sample.bids, 1);
    this.#add(rows, sample.asks, -1);
    return rows;
  }

  /** Seconds without a message hold what was before, unless it is too long ago or the book was lost. */
  #fill(second, isKnown) {
    if (this.#last === null) return;
    const before = this.#samples[this.#last % SECONDS];
    const held = isKnown && second - this.#last <= HELD_S ? before : null;
    for (let one = Math.max(this.#last + 1, second - SECONDS + 1); one < second; one++) this.#samples[one % SECONDS] = held;
  }

  #add(rows, levels, sign) {
    for (let index = 0; index < levels.length; index += 2) {
      const row = Math.floor((levels[index] - this.#low) / this.#step);
      if (row >= 0 && row < ROWS) rows[row] = sign * Math.min(1, Math.abs(rows[row]) + levels[index + 1] / this.#full);
    }
  }

  /** Lays the rows out anew where a price is outside of them, and the strengths where quantities became much larger. */
  #cover({ bids, asks }) {
    const prices = [bids[0], bids.at(-2), asks[0], asks.at(-2)].filter((price) => price !== undefined);
    const [low, high] = [Math.min(...prices), Math.max(...prices)];
    const large = largeOf(bids, asks);
    const isOutside = !this.#step || low < this.#low || high >= this.#low + ROWS * this.#step;
    if (!isOutside && large <= 2 * this.#full) return;
    if (isOutside) {
      const range = this.range;
      const [from, to] = this.#step ? [Math.min(low, range.low + (range.high - range.low) * ROOM), Math.max(high, range.high - (range.high - range.low) * ROOM)] : [low, high];
      const room = Math.max((to - from) * ROOM, high * 1e-5);
      this.#low = from - room;
      this.#step = (to - from + 2 * room) / ROWS;
    }
    this.#full = Math.max(this.#full, large) || 1;
    this.version += 1;
  }
}

/** The quantity that nine of ten levels do not exceed. */
function largeOf(bids, asks) {
  const quantities = [...bids, ...asks].filter((_, index) => index % 2).sort((one, other) => one - other);
  return quantities[Math.floor(quantities.length * 0.9)] ?? 0;
}
