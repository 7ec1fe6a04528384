/** The same asset on all venues: the newest prices by quote asset, and the spread between those that are current. */

import { byId, element } from "./page.js";
import { age, decimalsOf, fixed } from "./format.js";
import { assetsOf } from "./instruments.js";
import { get } from "./rest.js";

export class Compare {
  #focus = null;
  #base = "";

  choose(focus) {
    this.#focus = focus;
    this.#base = "";
    byId("compare").hidden = true;
  }

  /** Reads the prices again. The panel is there where more than one venue or quote asset has a price. */
  async refresh() {
    const focus = this.#focus;
    if (!focus) return;
    let found = null;
    try {
      const base = this.#base || (await assetsOf(focus)).base;
      if (focus !== this.#focus) return;
      this.#base = base;
      if (base) found = await get(`/api/compare/${encodeURIComponent(base)}`);
    } catch {
      found = null; // no list of instruments, or no prices
    }
    if (focus === this.#focus) paint(found, focus);
  }
}

function paint(found, focus) {
  const quotes = found?.quotes ?? [];
  const several = quotes.reduce((count, { prices }) => count + prices.length, 0) > 1;
  byId("compare").hidden = !several;
  if (!several) return;
  byId("compare-base").textContent = found.base;
  byId("compared").replaceChildren(...quotes.flatMap((quote) => rowsOf(quote, focus)));
}

function rowsOf(quote, focus) {
  const decimals = Math.max(2, decimalsOf(quote.prices.map(({ price }) => price)));
  return [headOf(quote, decimals), ...quote.prices.map((price) => rowOf(price, decimals, focus))];
}

function headOf({ quote, spread, spread_percent: percent }, decimals) {
  const text = spread === null ? "" : `spread ${fixed(spread, decimals)} (${fixed(percent, 3)}%)`;
  const cell = element("td", "", text);
  cell.colSpan = 2;
  return element("tr", "quote", element("th", "", quote), cell);
}

function rowOf(price, decimals, focus) {
  const cells = [element("th", "", price.venue), element("td", "", fixed(price.price, decimals))];
  const row = element("tr", price.stale ? "old" : "", ...cells);
  row.append(element("td", "", price.stale ? (price.state ?? "stale") : age(price.age_ms)));
  row.title = `${price.symbol}, ${price.state ?? "state unknown"}, ${age(price.age_ms)} old`;
  if (price.venue === focus.venue && price.symbol === focus.symbol) row.setAttribute("aria-current", "true");
  return row;
}
