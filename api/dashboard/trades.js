/** The last trades, of the broadcast and before them of the store, each once, newest first. */

import { byId, element, paintSoon, write } from "./page.js";
import { decimalsOf, fixed, precision } from "./format.js";
import { clock } from "./zone.js";

const ROWS = 60;

const rowOfTrade = () => element("div", "trade", element("span"), element("span"), element("span"));

export class Trades {
  #rows = Array.from({ length: ROWS }, rowOfTrade);
  #byId = new Map();
  #instrument = {};
  #first;
  #panel = byId("trades");

  constructor() {
    this.#panel.append(...this.#rows);
  }

  clear(instrument) {
    this.#instrument = instrument;
    this.#byId.clear();
    paintSoon(this.#paint);
  }

  take(trades) {
    for (const trade of trades) this.#byId.set(trade.id, trade);
    if (this.#byId.size > 4 * ROWS) this.#byId = new Map(this.#newest().map((trade) => [trade.id, trade]));
    paintSoon(this.#paint);
  }

  /** Another time zone was chosen. */
  retime() {
    paintSoon(this.#paint);
  }

  #newest() {
    return [...this.#byId.values()].sort((one, other) => other.id - one.id).slice(0, ROWS);
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
    const decimals = precision.see(this.#instrument, ...shown.map((trade) => trade.price));
    const places = Math.min(6, decimalsOf(shown.map((trade) => trade.quantity)));
    this.#rows.forEach((row, index) => {
      const trade = shown[index];
      row.hidden = !trade;
      if (!trade) return;
      const [price, quantity, time] = row.children;
      row.dataset.way = trade.buyer_is_maker ? "down" : "up"; // the taker sold, or bought
      write(price, fixed(trade.price, decimals));
      write(quantity, fixed(trade.quantity, places));
      write(time, clock(trade.timestamp));
    });
  };
}
