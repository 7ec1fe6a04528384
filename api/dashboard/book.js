/** The order book: best levels of both sides around the spread, with bars of the cumulative quantity. */

import { byId, element, paintSoon, write } from "./page.js";
import { Curve, imbalanceOf } from "./depth/curve.js";
import { amount, compact, decimalsOf, decimalsUpTo, fixed, precision, wayOf } from "./format.js";

const MOST_LEVELS = 50; // of a side; those that do not fit are cut by the style, unless all are wanted
const KEPT_DEPTH = "marketflow.depth";
const KEPT_LEVELS = "marketflow.levels";
const TALL_PX = 1_000; // a window that has room for the depth chart beside enough levels

export class Book {
  #panel = byId("book");
  #asks = new Side(byId("asks")); // the style puts the best ask at the bottom
  #bids = new Side(byId("bids"));
  #data = null;
  #state = null;
  #instrument = {};
  #curve = new Curve(() => paintSoon(this.#paint));

  constructor() {
    const kept = localStorage.getItem(KEPT_DEPTH);
    this.#showDepth(kept === null ? innerHeight >= TALL_PX : kept === "on");
    byId("depth-on").onclick = () => {
      this.#showDepth(byId("depth").hidden);
      localStorage.setItem(KEPT_DEPTH, byId("depth").hidden ? "off" : "on");
    };
    this.#showLevels(localStorage.getItem(KEPT_LEVELS) === "all");
    byId("levels-on").onclick = () => {
      this.#showLevels(!this.#panel.classList.contains("all"));
      localStorage.setItem(KEPT_LEVELS, this.#panel.classList.contains("all") ? "all" : "fitting");
      const middle = byId("mid").parentElement;
      this.#panel.scrollTop = middle.offsetTop + (middle.offsetHeight - this.#panel.clientHeight) / 2;
    };
  }

  /** All levels, which are scrolled, or those that fit. */
  #showLevels(areAll) {
    this.#panel.classList.toggle("all", areAll);
    this.#panel.tabIndex = areAll ? 0 : -1;
    byId("levels-on").setAttribute("aria-pressed", String(areAll));
  }

  #showDepth(isShown) {
    byId("depth").hidden = !isShown;
    byId("depth-on").setAttribute("aria-pressed", String(isShown));
    paintSoon(this.#paint);
  }

  /** Dark or light. */
  recolour() {
    this.#curve.recolour();
    paintSoon(this.#paint);
  }

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
    const bids = known ? data.bids.slice(0, MOST_LEVELS) : [];
    const asks = known ? data.asks.slice(0, MOST_LEVELS) : [];
    const shown = [...bids, ...asks];
    const decimals = precision.see(this.#instrument, ...shown.map(([price]) => price));
    const places = Math.min(5, decimalsOf(shown.map(([, quantity]) => quantity)));
    const most = Math.max(total(bids), total(asks));
    const sums = most < 10_000 ? (sum) => fixed(sum, decimalsUpTo(most, places)) : compact;
    this.#bids.paint(bids, decimals, places, { most, sums });
    this.#asks.paint(asks, decimals, places, { most, sums });
    this.#paintMiddle(bids, asks, decimals);
    this.#curve.paint(bids, asks, decimals);
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
    const share = imbalanceOf(bids, asks);
    byId("imbalance").style.setProperty("--share", share ?? 0.5);
    write(byId("imbalance-share"), share === null ? "" : `bids ${Math.round(100 * share)}%`);
    byId("imbalance-share").dataset.way = share === null ? "" : wayOf(share - 0.5, 2);
    byId("imbalance").title = `bids ${compact(total(bids))}, asks ${compact(total(asks))} in ${bids.length} and ${asks.length} levels`;
  }
}

const total = (levels) => levels.reduce((sum, [, quantity]) => sum + quantity, 0);

/** The levels of a side, best first; as many rows as there ever were. */
class Side {
  #rows = [];

  constructor(body) {
    this.body = body;
  }

  paint(levels, decimals, places, { most, sums }) {
    while (this.#rows.length < levels.length) this.#add();
    let sum = 0;
    this.#rows.forEach(({ row, price, quantity, sum: total }, index) => {
      const level = levels[index];
      row.hidden = !level;
      sum += level ? level[1] : 0;
      write(price, level ? fixed(level[0], decimals) : "");
      write(quantity, level ? amount(level[1], places) : "");
      write(total, level ? sums(sum) : "");
      row.style.backgroundSize = `${level ? (100 * sum) / most : 0}% 100%`;
    });
  }

  #add() {
    const row = element("div", "level", element("span"), element("span"), element("span"));
    const [price, quantity, sum] = row.children;
    this.body.append(row);
    this.#rows.push({ row, price, quantity, sum });
  }
}
