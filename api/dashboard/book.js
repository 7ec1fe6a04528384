/** The order book: best levels of both sides around the spread, with bars of the cumulative quantity. */

import { byId, element, paintSoon, write } from "./page.js";
import { compact, decimalsOf, decimalsUpTo, fixed, precision } from "./format.js";

const LEVELS = 14;

export class Book {
  #panel = byId("book");
  #asks = sideOf(byId("asks"), LEVELS); // the style puts the best ask at the bottom
  #bids = sideOf(byId("bids"), LEVELS);
  #data = null;
  #state = null;
  #instrument = {};

  clear(instrument) {
    this.#instrument = instrument;
    this.#data = null;
    paintSoon(this.#paint);
  }

  /** Shows the state of the book. */
  say(state) {
    if (state.text === this.#state?.text) return;
    this.#state = state;
    paintSoon(this.#paint);
  }

  take(data) {
    this.#data = data;
    paintSoon(this.#paint);
  }

  #paint = () => {
    const data = this.#data;
    const known = Boolean(data && data.synced !== false && (data.bids.length || data.asks.length));
    this.#panel.classList.toggle("unknown", !known);
    write(byId("book-state"), this.#words(known));
    const bids = known ? data.bids.slice(0, LEVELS) : [];
    const asks = known ? data.asks.slice(0, LEVELS) : [];
    const shown = [...bids, ...asks];
    const decimals = precision.see(this.#instrument, ...shown.map(([price]) => price));
    const places = Math.min(5, decimalsOf(shown.map(([, quantity]) => quantity)));
    const most = Math.max(total(bids), total(asks));
    const sums = most < 10_000 ? (sum) => fixed(sum, decimalsUpTo(most, places)) : compact;
    paintSide(this.#bids, bids, decimals, places, { most, sums });
    paintSide(this.#asks, asks, decimals, places, { most, sums });
    this.#paintMiddle(bids, asks, decimals);
  };

  #words(known) {
    if (this.#state && !this.#state.isCurrent) return this.#state.text;
    if (known) return "";
    return this.#data ? "not in step with the exchange" : "no book yet";
  }

  #paintMiddle(bids, asks, decimals) {
    const both = bids.length && asks.length;
    const spread = both ? asks[0][0] - bids[0][0] : null;
    write(byId("mid"), both ? fixed((asks[0][0] + bids[0][0]) / 2, decimals + 1) : "–");
    write(byId("spread"), both ? `spread ${fixed(spread, decimals)}` : "");
    const share = both ? total(bids) / (total(bids) + total(asks)) : 0.5;
    byId("imbalance").style.setProperty("--share", share);
    byId("imbalance").title = `bids ${compact(total(bids))}, asks ${compact(total(asks))} in ${LEVELS} levels`;
  }
}

const total = (levels) => levels.reduce((sum, [, quantity]) => sum + quantity, 0);

function sideOf(body, count) {
  const rows = Array.from({ length: count }, () => {
    const row = element("div", "level", element("span"), element("span"), element("span"));
    const [price, quantity, sum] = row.children;
    return { row, price, quantity, sum };
  });
  body.append(...rows.map(({ row }) => row));
  return rows;
}

function paintSide(rows, levels, decimals, places, { most, sums }) {
  let sum = 0;
  rows.forEach(({ row, price, quantity, sum: total }, index) => {
    const level = levels[index];
    sum += level ? level[1] : 0;
    write(price, level ? fixed(level[0], decimals) : "");
    write(quantity, level ? fixed(level[1], places) : "");
    write(total, level ? sums(sum) : "");
    row.style.backgroundSize = `${level ? (100 * sum) / most : 0}% 100%`;
  });
}
