/** In which asset the page shows what balances are worth: as the flow values them, or in another one that has a price. */

import { element } from "./page.js";

const KEPT = "marketflow.quote";
const USUAL = ["USDT", "USDC", "USD", "EUR", "BTC", "ETH"];

const msOf = (time) => (typeof time === "string" ? Date.parse(time) : time);

/** `{ rate, time }`: how much of `wanted` one of `quote` is, by a price of `time`; null where no market has it.
 * `priceOf(symbol)` is `{ price, timestamp }` of an instrument. */
export function rateOf(quote, wanted, priceOf) {
  if (quote === wanted) return { rate: 1, time: null };
  for (const between of ["", "-"]) {
    const direct = priceOf(quote + between + wanted);
    if (direct?.price > 0) return { rate: direct.price, time: msOf(direct.timestamp) };
    const inverse = priceOf(wanted + between + quote);
    if (inverse?.price > 0) return { rate: 1 / inverse.price, time: msOf(inverse.timestamp) };
  }
  return null;
}

/** `{ value, quote, time }` of balances of one account together, in `wanted` or, without it, in their own quote; null
 * where none of them has a value. `time` is that of the oldest price in it, null without any. */
export function worthOf(balances, wanted, priceOf) {
  let worth = null;
  for (const { value, quote, price_time: priceTime } of balances) {
    const rate = value == null ? null : rateOf(quote, wanted || quote, priceOf);
    if (!rate) continue;
    const times = [worth?.time, priceTime, rate.time].filter((time) => time != null);
    const time = times.length ? Math.min(...times) : null;
    worth = { value: (worth?.value ?? 0) + value * rate.rate, quote: wanted || quote, time };
  }
  return worth;
}

/** The assets in which balances can be shown, in the order of the alphabet. */
export function choicesOf(balances, priceOf) {
  const own = new Set(balances.flatMap(({ quote }) => quote ?? []));
  const known = (asset) => [...own].some((quote) => rateOf(quote, asset, priceOf));
  return [...new Set([...own, ...balances.map(({ asset }) => asset), ...USUAL])].filter(known).sort();
}

/** The user's choice, in a select of the page. */
export class QuoteChoice {
  #select;
  #shown = "";

  constructor(select, onChange) {
    this.#select = select;
    select.onchange = () => {
      localStorage.setItem(KEPT, select.value);
      onChange();
    };
  }

  /** What was chosen; "" for each balance's own quote. */
  get wanted() {
    return localStorage.getItem(KEPT) ?? "";
  }

  /** Offers these assets, of which `own` is the one that is shown without a choice. */
  offer(assets, own) {
    const { wanted } = this;
    const offered = [...new Set([...assets, ...(wanted ? [wanted] : [])])];
    if (this.#shown === offered.join() || !offered.length) return;
    this.#shown = offered.join();
    this.#select.replaceChildren(...offered.map((asset) => element("option", "", asset)));
    this.#select.value = wanted || own;
  }
}
