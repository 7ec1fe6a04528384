/** A line of the list: star, a link to the chart with the figures, and what can be done with the instrument. It is used again for another one. */

import { addressOf } from "../address.js";
import { element, put, write } from "../page.js";
import { COLUMNS } from "./columns.js";
import { flash } from "./flash.js";

const button = (className, text) => Object.assign(element("button", className, text), { tabIndex: -1 });

export class Line {
  record = null;
  index = 0; // its number in the list
  isFresh = true; // whether it was not painted since it has its record
  #cells = new Map();
  #columns = "";
  #symbol = element("span", "symbol", "");
  #venue = element("span", "of-venue", "");
  #name = element("span", "name", this.#symbol, this.#venue);

  /** `on` has what is done: `star(record)`, `group(record, button)`, `remove(record)`. */
  constructor(on) {
    this.link = Object.assign(element("a", "row", this.#name), { tabIndex: -1, draggable: false });
    this.star = Object.assign(button("star", "☆"), { title: "a star: yours alone, it comes first" });
    this.group = button("into", "▤");
    this.close = button("remove", "×");
    this.star.onclick = () => on.star(this.record);
    this.group.onclick = () => on.group(this.record, this.group);
    this.close.onclick = () => on.remove(this.record);
    this.element = element("li", "", this.star, this.link, this.group, this.close);
  }

  get parts() {
    return [this.star, this.link, this.group, this.close];
  }

  /** Gives it another instrument. */
  take(record) {
    if (this.record === record) return;
    const { venue, symbol } = (this.record = record);
    this.isFresh = true;
    Object.assign(this.element.dataset, { symbol, venue });
    this.star.setAttribute("aria-label", `Star for ${symbol} of ${venue}`);
    this.group.setAttribute("aria-label", `Groups of ${symbol} of ${venue}`);
    this.group.title = `groups of ${symbol}`;
    this.close.setAttribute("aria-label", `Record ${symbol} of ${venue} no more`);
    this.close.title = `record ${symbol} no more`;
    write(this.#symbol, symbol);
    write(this.#venue, venue);
    this.#flash("");
  }

  /** Where it stands: the place in pixels and its length along the list, and its number of so many. */
  place({ begin, length, index, count, isStrip }) {
    const { style } = this.element;
    this.index = index;
    style.left = isStrip ? `${begin}px` : ""; // a transform would have the browser keep a drawing of each line
    style.top = isStrip ? "" : `${begin}px`;
    style.width = isStrip ? `${length}px` : "";
    this.element.setAttribute("aria-posinset", index + 1);
    this.element.setAttribute("aria-setsize", count);
  }

  mark({ isChosen, isReached, isStarred, timeframe }) {
    put(this.link, "aria-current", isChosen ? "true" : null);
    for (const part of this.parts) put(part, "tabindex", isReached ? "0" : "-1");
    write(this.star, isStarred ? "★" : "☆");
    put(this.star, "aria-pressed", String(isStarred));
    this.element.classList.toggle("starred", isStarred);
    put(this.link, "href", `./${addressOf({ ...this.record, timeframe })}`); // with a path: a bare # is a place of this page
  }

  /** Writes the figures, and flashes where the price moved. `state` is how current it is. */
  paint(columns, state) {
    this.#setColumns(columns);
    for (const [name, { cell, text }] of this.#cells) {
      write(text, COLUMNS[name].text(this.record));
      if (COLUMNS[name].way) put(cell, "data-way", COLUMNS[name].way(this.record));
    }
    const { moved } = this.record;
    if (moved && !this.isFresh) this.#flash(moved > 0 ? "up" : "down");
    this.record.moved = 0;
    this.isFresh = false;
    this.paintState(state);
  }

  paintState({ isCurrent, about, state }) {
    this.element.classList.toggle("old", !isCurrent);
    put(this.element, "data-currency", state);
    put(this.element, "title", isCurrent ? this.record.venue : `${this.record.venue} · ${about}`);
    const shown = this.#cells.get("state");
    if (shown) write(shown.text, state);
  }

  #setColumns(columns) {
    if (this.#columns === columns.join()) return;
    this.#columns = columns.join();
    this.#cells = new Map(columns.map((name) => [name, cellOf(name)]));
    this.link.replaceChildren(this.#name, ...[...this.#cells.values()].map(({ cell }) => cell));
  }

  #flash(way) {
    const price = this.#cells.get("price");
    if (price) flash(price.cell, way);
  }
}

/** Price and change speak for themselves; what else a line has is named for those who do not see the head of the column. */
function cellOf(name) {
  const text = element("span", "", "");
  const named = name === "price" || name === "change" ? [] : [element("span", "hidden", `, ${COLUMNS[name].title} `)];
  const cell = element("span", `cell ${name} number`, ...named, text);
  if (named.length) cell.dataset.title = COLUMNS[name].title; // for the strip, which has no head
  return { cell, text };
}
