/** The panel of all symbols: price, move of 24 hours, and a flash when it changes. */

import { byId, element, paintSoon, write } from "./page.js";
import { fixed, percent, precision } from "./format.js";

const FLASH_MS = 450;

const keyOf = (venue, symbol) => `${venue}:${symbol}`;

export class Prices {
  #rows = new Map();
  #changed = new Set();
  #chosen = "";
  #body = byId("prices");

  constructor({ onChoose, onRemove }) {
    this.onChoose = onChoose;
    this.onRemove = onRemove;
  }

  /** Takes a price of the hub or the REST API. */
  take(data, venue) {
    const row = this.#row(venue, data.symbol);
    if (row.data && data.timestamp < row.data.timestamp) return;
    row.moved += row.data ? data.price - row.data.price : 0;
    row.data = data;
    precision.see(row, data.price);
    this.#changed.add(row);
    paintSoon(this.#paint);
  }

  /** A symbol that is wanted but has no price yet. */
  expect(venue, symbol) {
    this.#row(venue, symbol);
  }

  forget(venue, symbol) {
    const row = this.#rows.get(keyOf(venue, symbol));
    if (!row) return;
    row.line.remove();
    this.#rows.delete(keyOf(venue, symbol));
    this.#showVenues();
  }

  /** The list names the venues where there is more than one. */
  #showVenues() {
    const venues = new Set([...this.#rows.values()].map(({ venue }) => venue));
    this.#body.classList.toggle("venues", venues.size > 1);
  }

  /** Greys prices that are not current, and shows why. */
  mark(venue, symbol, { isCurrent, about, state }) {
    const row = this.#rows.get(keyOf(venue, symbol));
    if (!row) return;
    row.line.classList.toggle("old", !isCurrent);
    row.line.dataset.currency = state;
    row.line.title = isCurrent ? venue : `${venue} · ${about}`;
  }

  choose(venue, symbol) {
    this.#rows.get(this.#chosen)?.line.removeAttribute("aria-selected");
    this.#chosen = keyOf(venue, symbol);
    const line = this.#row(venue, symbol).line;
    line.setAttribute("aria-selected", "true");
    line.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  latest(venue, symbol) {
    return this.#rows.get(keyOf(venue, symbol))?.data;
  }

  get instruments() {
    return this.#inOrder().map(({ venue, symbol }) => ({ venue, symbol }));
  }

  /** The instrument `step` rows below the chosen one, wrapping around. */
  neighbour(step) {
    const rows = this.#inOrder();
    const index = rows.findIndex((row) => keyOf(row.venue, row.symbol) === this.#chosen);
    return rows[(index + step + rows.length) % rows.length];
  }

  #inOrder() {
    const rank = ({ symbol, venue }) => `${symbol} ${venue}`;
    return [...this.#rows.values()].sort((one, other) => (rank(one) < rank(other) ? -1 : 1));
  }

  #row(venue, symbol) {
    const key = keyOf(venue, symbol);
    if (this.#rows.has(key)) return this.#rows.get(key);
    const price = element("span", "price number", "…");
    const change = element("span", "change number", "");
    const close = element("button", "remove", "×");
    close.title = `follow ${symbol} no more`;
    close.tabIndex = -1;
    const name = element("span", "name", symbol, element("span", "of-venue", venue));
    const line = element("li", "", name, price, change, close);
    line.setAttribute("role", "option");
    line.dataset.symbol = symbol;
    line.dataset.venue = venue;
    line.title = venue;
    line.onclick = () => this.onChoose({ venue, symbol });
    close.onclick = (event) => {
      event.stopPropagation();
      this.onRemove({ venue, symbol });
    };
    const row = { venue, symbol, line, price, change, moved: 0 };
    this.#rows.set(key, row);
    this.#showVenues();
    const after = this.#inOrder()[this.#inOrder().indexOf(row) + 1];
    this.#body.insertBefore(line, after?.line ?? null);
    return row;
  }

  #paint = () => {
    for (const row of this.#changed) {
      const { data, moved, price, change } = row;
      write(price, fixed(data.price, precision.of(row)));
      write(change, percent(data.price_change_percent_24h));
      change.dataset.way = wayOf(data.price_change_percent_24h);
      if (moved) flash(row, moved);
      row.moved = 0;
    }
    this.#changed.clear();
  };
}

export const wayOf = (value) => (value > 0 ? "up" : value < 0 ? "down" : "");

/** Highlights for a moment; without an animation, which would cost a paint each frame. */
function flash(row, moved) {
  row.price.dataset.flash = moved > 0 ? "up" : "down";
  clearTimeout(row.dark);
  row.dark = setTimeout(() => delete row.price.dataset.flash, FLASH_MS);
}
