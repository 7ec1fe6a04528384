/** The panel of all symbols: price, move of 24 hours, and a flash when it changes. Each row is a link to its chart. */

import { addressOf } from "./address.js";
import { fixed, percent, precision, wayOfPercent } from "./format.js";
import { byId, element, paintSoon, write } from "./page.js";

const FLASH_MS = 450;
const REVEAL_MS = 5_000; // after the choice the chosen row stays in view while others come
const KEPT_STARS = "marketflow.stars";
const KEPT_ORDER = "marketflow.order";
const figure = (value) => value ?? -Infinity; // what is not known comes last

/** What a row is sorted by, the greatest first; the name decides between equal ones. */
const ORDERS = {
  name: () => 0,
  change: ({ data }) => figure(data?.price_change_percent_24h),
  volume: ({ data }) => figure(data?.volume_24h == null ? null : data.volume_24h * data.price), // in the quote asset
};

const keyOf = (venue, symbol) => `${venue}:${symbol}`;

export class Prices {
  #rows = new Map();
  #changed = new Set();
  #chosen = "";
  #chosenAt = 0;
  #timeframe = "1m";
  #longest = { name: 0, price: 0 }; // letters
  #body = byId("prices");
  #stars = new Set(JSON.parse(localStorage.getItem(KEPT_STARS) ?? "[]"));
  #order = localStorage.getItem(KEPT_ORDER) ?? "name";

  /** `onRemove(instrument)`: the user wants to record one no more. */
  constructor({ onRemove }) {
    this.onRemove = onRemove;
    this.#body.onkeydown = (event) => this.#onKey(event);
    if (!ORDERS[this.#order]) this.#order = "name";
    byId("sort").value = this.#order;
    byId("sort").onchange = () => {
      this.#order = byId("sort").value;
      localStorage.setItem(KEPT_ORDER, this.#order);
      this.arrange();
    };
    byId("starred").onclick = () => this.#showStarred(byId("starred").getAttribute("aria-pressed") !== "true");
  }

  #showStarred(only) {
    byId("starred").setAttribute("aria-pressed", String(only));
    this.#body.classList.toggle("only-starred", only);
  }

  has(venue, symbol) {
    return this.#rows.has(keyOf(venue, symbol));
  }

  /** Puts the rows into their order again: what they are sorted by changes. */
  arrange() {
    const lines = this.#inOrder().map(({ line }) => line);
    if (lines.every((line, index) => line === this.#body.children[index])) return;
    const focused = this.#body.contains(document.activeElement) ? document.activeElement : null;
    this.#body.append(...lines);
    focused?.focus({ preventScroll: true }); // an element that moves loses it
  }

  #toggleStar(row) {
    const key = keyOf(row.venue, row.symbol);
    if (!this.#stars.delete(key)) this.#stars.add(key);
    localStorage.setItem(KEPT_STARS, JSON.stringify([...this.#stars]));
    this.#paintStar(row);
    this.arrange();
  }

  #paintStar({ star, line, venue, symbol }) {
    const has = this.#stars.has(keyOf(venue, symbol));
    star.textContent = has ? "★" : "☆";
    star.setAttribute("aria-pressed", String(has));
    line.classList.toggle("starred", has);
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

  /** Whether it was there. */
  forget(venue, symbol) {
    const row = this.#rows.get(keyOf(venue, symbol));
    if (!row) return false;
    row.line.remove();
    this.#rows.delete(keyOf(venue, symbol));
    this.#showVenues();
    return true;
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

  /** Shows the chosen one, null for none; links lead to the chosen timeframe. */
  choose(focus) {
    const had = this.#body.contains(document.activeElement);
    const before = this.#rows.get(this.#chosen);
    before?.link.removeAttribute("aria-current");
    for (const part of before ? [before.star, before.link, before.close] : []) part.tabIndex = -1;
    const isOther = this.#chosen !== (this.#chosen = focus ? keyOf(focus.venue, focus.symbol) : "");
    if (!focus) return;
    const { line, star, link, close } = this.#row(focus.venue, focus.symbol);
    link.setAttribute("aria-current", "true");
    for (const part of [star, link, close]) part.tabIndex = 0; // one of the rows is reached by the tab key, the others from there
    if (isOther) {
      this.#chosenAt = performance.now();
      line.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
    if (had) link.focus();
    if (focus.timeframe === this.#timeframe) return;
    this.#timeframe = focus.timeframe;
    for (const row of this.#rows.values()) row.link.href = addressOf({ ...row, timeframe: this.#timeframe });
  }

  latest(venue, symbol) {
    return this.#rows.get(keyOf(venue, symbol))?.data;
  }

  get instruments() {
    return this.#inOrder().map(({ venue, symbol }) => ({ venue, symbol }));
  }

  /** The instrument `step` rows below the chosen one, wrapping around; undefined in an empty list. */
  neighbour(step) {
    const rows = this.#inOrder();
    const index = rows.findIndex((row) => keyOf(row.venue, row.symbol) === this.#chosen);
    return rows.at((index + step) % rows.length);
  }

  #onKey(event) {
    const line = event.target.closest("li");
    if (event.key !== "Delete" || !line) return;
    event.preventDefault();
    this.onRemove({ venue: line.dataset.venue, symbol: line.dataset.symbol });
  }

  /** Those with a star first, each part in the chosen order. */
  #inOrder() {
    const value = ORDERS[this.#order];
    const ranked = [...this.#rows].map(([key, row]) => ({
      row, star: this.#stars.has(key) ? 1 : 0, value: value(row), name: `${row.symbol} ${row.venue}`,
    }));
    ranked.sort((one, other) => other.star - one.star || (other.value > one.value) - (other.value < one.value) || (one.name < other.name ? -1 : 1));
    return ranked.map(({ row }) => row);
  }

  #row(venue, symbol) {
    const key = keyOf(venue, symbol);
    if (this.#rows.has(key)) return this.#rows.get(key);
    const price = element("span", "price number", "…");
    const change = element("span", "change number", "");
    const name = element("span", "name", symbol, element("span", "of-venue", venue));
    const link = Object.assign(element("a", "row", name, price, change), {
      href: addressOf({ venue, symbol, timeframe: this.#timeframe }),
      tabIndex: -1,
      draggable: false,
    });
    const close = Object.assign(element("button", "remove", "×"), { title: `record ${symbol} no more`, tabIndex: -1 });
    close.setAttribute("aria-label", `Record ${symbol} of ${venue} no more`);
    close.onclick = () => this.onRemove({ venue, symbol });
    const star = Object.assign(element("button", "star"), { tabIndex: -1, title: "a star: yours alone, it comes first" });
    star.setAttribute("aria-label", `Star for ${symbol} of ${venue}`);
    star.onclick = () => this.#toggleStar(row);
    const line = Object.assign(element("li", "", star, link, close), { title: venue });
    line.dataset.symbol = symbol;
    line.dataset.venue = venue;
    const row = { venue, symbol, line, star, link, close, price, change, moved: 0 };
    this.#rows.set(key, row);
    this.#paintStar(row);
    this.#showVenues();
    this.#makeRoom("name", symbol.length);
    const after = this.#inOrder()[this.#inOrder().indexOf(row) + 1];
    this.#body.insertBefore(line, after?.line ?? null);
    if (performance.now() - this.#chosenAt < REVEAL_MS) paintSoon(this.#reveal);
    return row;
  }

  /** Rows that came before the chosen one have moved it. */
  #reveal = () => this.#rows.get(this.#chosen)?.line.scrollIntoView({ block: "nearest", inline: "nearest" });

  /** The panel is as wide as the longest name and price need; it grows only, so that it does not move with each price. */
  #makeRoom(part, letters) {
    if (letters <= this.#longest[part]) return;
    this.#longest[part] = letters;
    document.documentElement.style.setProperty(`--longest-${part}`, letters);
  }

  #paint = () => {
    for (const row of this.#changed) {
      const { data, moved, price, change } = row;
      const text = fixed(data.price, precision.of(row));
      this.#makeRoom("price", text.length);
      write(price, text);
      write(change, percent(data.price_change_percent_24h));
      change.dataset.way = wayOfPercent(data.price_change_percent_24h);
      if (moved) flash(row, moved);
      row.moved = 0;
    }
    this.#changed.clear();
  };
}

/** Highlights for a moment; without an animation, which would cost a paint each frame. */
function flash(row, moved) {
  row.price.dataset.flash = moved > 0 ? "up" : "down";
  clearTimeout(row.dark);
  row.dark = setTimeout(() => delete row.price.dataset.flash, FLASH_MS);
}
