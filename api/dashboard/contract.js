/** The panel of a futures contract: mark price, index, funding with its countdown, open interest, last liquidations. */

import { byId, element, paintSoon, write } from "./page.js";
import { compact, decimalsOf, fixed, NONE, precision, signed, wayOf } from "./format.js";
import { clock, momentOf } from "./zone.js";

const ROWS = 20;
const PRICE_PLACES = 4;
const RATE_PLACES = 4;

const rowOfOrder = () => element("div", "trade", element("span"), element("span"), element("span"));
const percentOf = (rate) => (rate == null ? NONE : `${signed(100 * rate, RATE_PLACES)}%`);

/** Milliseconds as hours, minutes and seconds; 0 when they are over. */
export function countdown(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1_000));
  const parts = [Math.floor(seconds / 3_600), Math.floor(seconds / 60) % 60, seconds % 60];
  return parts.map((part) => String(part).padStart(2, "0")).join(":");
}

export class Contract {
  #rows = Array.from({ length: ROWS }, rowOfOrder);
  #data = {};
  #orders = [];
  #instrument = {};

  /** `timeNow()` is the venue's time, ms UTC; null while it is not known. */
  constructor(timeNow) {
    this.timeNow = timeNow;
    byId("liquidations").append(...this.#rows);
  }

  clear(instrument) {
    this.#instrument = instrument;
    this.#data = {};
    this.#orders = [];
    paintSoon(this.#paint);
  }

  /** Takes a message of one of its channels; what is older than known changes nothing. */
  take(type, data) {
    const known = this.#data[type];
    if (!known || data.timestamp >= known.timestamp) this.#data[type] = data;
    paintSoon(this.#paint);
  }

  /** Takes liquidations, each once, in any order. */
  takeOrders(orders) {
    const keyOf = ({ timestamp, side, price, quantity }) => `${timestamp} ${side} ${price} ${quantity}`;
    const known = new Map([...this.#orders, ...orders].map((order) => [keyOf(order), order]));
    const newestFirst = (one, other) => other.timestamp - one.timestamp;
    this.#orders = [...known.values()].sort(newestFirst).slice(0, ROWS);
    paintSoon(this.#paint);
  }

  /** Another time zone was chosen. */
  retime() {
    paintSoon(this.#paint);
  }

  /** Writes the time until the next payment again. */
  tick() {
    const next = this.#data.Funding?.next_time, now = this.timeNow();
    write(byId("funding-in"), next && now !== null ? countdown(next - now) : NONE);
  }

  /** Says in the head that it is not of now, and of liquidations that never come why. */
  say({ isCurrent, text, about }, { hasOrders }) {
    write(byId("no-liquidations"), hasOrders ? "none lately" : "not recorded here");
    write(byId("contract-state"), isCurrent ? "" : text);
    byId("contract-state").title = isCurrent ? "" : about;
  }

  #paint = () => {
    const { MarkPrice: mark, Funding: funding, OpenInterest: interest } = this.#data;
    byId("contract").hidden = !(mark || funding || interest || this.#orders.length);
    const places = Math.max(precision.of(this.#instrument), Math.min(PRICE_PLACES, decimalsOf([mark?.mark_price])));
    write(byId("mark"), fixed(mark?.mark_price, places));
    write(byId("index"), fixed(mark?.index_price || null, places));
    write(byId("funding-rate"), percentOf(funding?.rate));
    byId("funding-rate").dataset.way = wayOf(funding && 100 * funding.rate, RATE_PLACES);
    byId("funding-rate").title = funding?.interval_hours ? `every ${funding.interval_hours} hours` : "";
    write(byId("funding-last"), percentOf(funding?.last?.rate));
    byId("funding-last").title = funding?.last ? momentOf(funding.last.time) : "";
    write(byId("interest"), compact(interest?.quantity));
    const worth = interest && mark ? interest.quantity * mark.mark_price : null;
    write(byId("interest-value"), worth === null ? "" : `≈ ${compact(worth)}`);
    this.tick();
    this.#paintOrders();
  };

  #paintOrders() {
    const places = Math.min(6, decimalsOf(this.#orders.map(({ filled }) => filled)));
    byId("no-liquidations").hidden = this.#orders.length > 0;
    this.#rows.forEach((row, index) => {
      const order = this.#orders[index];
      row.hidden = !order;
      if (!order) return;
      const [price, quantity, time] = row.children;
      row.dataset.way = order.side === "SELL" ? "down" : "up"; // a long position ends, or a short one
      row.title = order.side === "SELL" ? "a long position was liquidated" : "a short position was liquidated";
      write(price, fixed(order.average_price || order.price, precision.of(this.#instrument)));
      write(quantity, fixed(order.filled || order.quantity, places));
      write(time, clock(order.timestamp));
    });
  }
}
