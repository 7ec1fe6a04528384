/** The last hour of an order book, by second: what the heat map is drawn of. Bounded: a second is one column of so many rows. Pure. */

export const SECONDS = 3_600;
export const ROWS = 400;
const HELD_S = 30; // a book that does not change sends nothing: so long the one before is taken to hold
const ROOM = 0.4; // of the range of prices, above and below, so that it is seldom laid out anew
const SECOND_MS = 1_000;
const LEVELS = 50; // of a side

const UNKNOWN = 255; // levels of a side of a second whose book is not known

/** The books of an hour as numbers in one block, which is as large at its begin as ever: for each second prices and quantities of bids, then of asks. */
class Seconds {
  #levels = 0; // of a side that there is room for
  #numbers = new Float64Array();
  #counts = new Uint8Array(2 * SECONDS).fill(UNKNOWN); // of bids and asks

  put(second, bids, asks) {
    const [bidCount, askCount] = [Math.min(bids.length, LEVELS), Math.min(asks.length, LEVELS)];
    const most = Math.max(bidCount, askCount);
    if (most > this.#levels) this.#grow(most);
    const place = second % SECONDS;
    this.#counts[2 * place] = bidCount;
    this.#counts[2 * place + 1] = askCount;
    this.#write(this.#begin(place), bids, bidCount);
    this.#write(this.#begin(place) + 2 * this.#levels, asks, askCount);
  }

  forget(second) {
    this.#counts.fill(UNKNOWN, 2 * (second % SECONDS), 2 * (second % SECONDS) + 2);
  }

  /** The book of a second is that of another one, also where that is not known. */
  copy(from, to) {
    const [source, target] = [from % SECONDS, to % SECONDS];
    this.#numbers.copyWithin(this.#begin(target), this.#begin(source), this.#begin(source + 1));
    this.#counts.copyWithin(2 * target, 2 * source, 2 * source + 2);
  }

  /** Prices and quantities of bids and of asks, best first; null where the book is not known. */
  at(second) {
    const place = second % SECONDS, begin = this.#begin(place), asks = begin + 2 * this.#levels;
    const [bidCount, askCount] = [this.#counts[2 * place], this.#counts[2 * place + 1]];
    if (bidCount === UNKNOWN) return null;
    return { bids: this.#numbers.subarray(begin, begin + 2 * bidCount), asks: this.#numbers.subarray(asks, asks + 2 * askCount) };
  }

  #begin(place) {
    return 4 * this.#levels * place;
  }

  #write(begin, levels, count) {
    for (let index = 0; index < count; index++) {
      this.#numbers[begin + 2 * index] = levels[index][0];
      this.#numbers[begin + 2 * index + 1] = levels[index][1];
    }
  }

  #grow(levels) {
    const [numbers, length] = [this.#numbers, 2 * this.#levels];
    this.#levels = levels;
    this.#numbers = new Float64Array(SECONDS * 4 * levels);
    for (let side = 0; side < 2 * SECONDS; side++) this.#numbers.set(numbers.subarray(side * length, (side + 1) * length), side * 2 * levels);
  }
}

export class BookHistory {
  #seconds = new Seconds();
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
    const isKnown = Boolean(book && (book.bids.length || book.asks.length));
    this.#fill(second, isKnown);
    if (isKnown) this.#seconds.put(second, book.bids, book.asks);
    else this.#seconds.forget(second);
    this.#first = Math.max(this.#first ?? second, second - SECONDS + 1);
    this.#last = second;
    if (isKnown) this.#cover(this.#seconds.at(second));
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
    const book = second >= this.#first && second <= this.#last ? this.#seconds.at(second) : null;
    if (!book || !this.#step) return null;
    const rows = new Float32Array(ROWS);
    this.#add(rows, book.bids, 1);
    this.#add(rows, book.asks, -1);
    return rows;
  }

  /** Seconds without a message hold what was before, unless it is too long ago or the book was lost. */
  #fill(second, isKnown) {
    if (this.#last === null) return;
    const isHeld = isKnown && second - this.#last <= HELD_S;
    for (let one = Math.max(this.#last + 1, second - SECONDS + 1); one < second; one++) {
      if (isHeld) this.#seconds.copy(this.#last, one);
      else this.#seconds.forget(one);
    }
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
