/** The last trades, of the broadcast and before them of the store, each once, newest first; those of a size of the viewer's choice. */

import { byId, element, note, paintCalmly, write } from "./page.js";
import { amount, compact, decimalsOf, fixed, precision } from "./format.js";
import { clock } from "./zone.js";

const ROWS = 60;
const MOST_KEPT = 2_000;
const KEPT_LEAST = "marketflow.least";
const LARGE_SHARE = 0.98; // of the trades are smaller than a large one,
const LARGE_TIMES = 4; // which is also so many times one in the middle
const FEWEST = 20; // trades to tell what is large

const rowOfTrade = () => element("div", "trade", element("span"), element("span"), element("span"));

export const valueOf = ({ price, quantity }) => price * quantity;

/** From which value on a trade is large among others, by their values; Infinity while there are too few. */
export function largeFrom(values) {
  if (values.length < FEWEST) return Infinity;
  const sorted = values.toSorted((one, other) => one - other);
  return Math.max(sorted[Math.floor((sorted.length - 1) * LARGE_SHARE)], LARGE_TIMES * sorted[sorted.length >> 1]);
}

export class Trades {
  #rows = Array.from({ length: ROWS }, rowOfTrade);
  #byId = new Map();
  #instrument = {};
  #first;
  #least = Number(localStorage.getItem(KEPT_LEAST)) || 0; // value in the quote asset
  #panel = byId("trades");

  /** `onLeast()`: another least size was chosen, so that more of the past is wanted. */
  constructor({ onLeast = () => {} } = {}) {
    this.#panel.append(...this.#rows);
    byId("least").value = this.#least || "";
    byId("least").onchange = () => {
      if (!byId("least").validity.valid) return note("the least size is a number above 0", { bad: true });
      this.#least = byId("least").valueAsNumber || 0;
      localStorage.setItem(KEPT_LEAST, this.#least);
      this.#first = undefined;
      paintCalmly(this.#paint);
      onLeast();
    };
  }

  /** How many trades of the past are wanted. */
  get wanted() {
    return this.#least ? 1_000 : ROWS;
  }

  clear(instrument) {
    this.#instrument = instrument;
    this.#byId.clear();
    paintCalmly(this.#paint);
  }

  take(trades) {
    for (const trade of trades) this.#byId.set(trade.id, trade);
    if (this.#byId.size > 1.2 * MOST_KEPT) this.#drop();
    paintCalmly(this.#paint);
  }

  /** Another time zone was chosen. */
  retime() {
    paintCalmly(this.#paint);
  }

  /** Of the old ones only those stay that the viewer wants to see. */
  #drop() {
    const sorted = [...this.#byId.values()].sort((one, other) => other.id - one.id);
    const wanted = sorted.slice(MOST_KEPT).filter((trade) => this.#least && valueOf(trade) >= this.#least).slice(0, ROWS);
    this.#byId = new Map([...sorted.slice(0, MOST_KEPT), ...wanted].map((trade) => [trade.id, trade]));
  }

  #newest() {
    const found = [...this.#byId.values()].filter((trade) => valueOf(trade) >= this.#least);
    return found.sort((one, other) => other.id - one.id).slice(0, ROWS);
  }

  /** Rows of remaining trades keep their text: new trades reuse the last rows, moved to the top. */
  #moveDown(shown) {
    const fresh = shown.findIndex((trade) => trade.id === this.#first);
    this.#first = shown[0]?.id;
    if (fresh <= 0) return;
    const moved = this.#rows.splice(-fresh);
    this.#rows.unshift(...moved);
    this.#panel.prepend(...moved);
  }

  #paint = () => {
    const shown = this.#newest();
    this.#moveDown(shown);
    const large = largeFrom([...this.#byId.values()].map(valueOf));
    const decimals = precision.see(this.#instrument, ...shown.map((trade) => trade.price));
    const places = Math.min(6, decimalsOf(shown.map((trade) => trade.quantity)));
    byId("none-so-large").hidden = shown.length > 0 || !this.#byId.size;
    this.#rows.forEach((row, index) => {
      const trade = shown[index];
      row.hidden = !trade;
      if (!trade) return;
      const [price, quantity, time] = row.children;
      row.dataset.way = trade.buyer_is_maker ? "down" : "up"; // the taker sold, or bought
      const isLarge = valueOf(trade) >= large;
      if (row.classList.toggle("large", isLarge)) row.title = `large: ${compact(valueOf(trade))} in the quote asset`;
      else row.removeAttribute("title");
      write(price, fixed(trade.price, decimals));
      write(quantity, amount(trade.quantity, places));
      write(time, clock(trade.timestamp));
    });
  };
}
