/** The rules of alerts of the deployment: listed, made, moved and deleted over the REST API. */

import { note, noteError } from "../page.js";
import { get, post, remove } from "../rest.js";

const PRICES = new Set(["price_above", "price_below", "price_cross"]);
const TERMS = ["kind", "symbol", "venue", "price", "percent", "span_s", "direction", "for_s", "rearm", "rearm_s"];

const plain = (symbol) => symbol.toUpperCase().replace(/[-/_]/g, "");

/** What a rule says, without what it does not have. */
export const termsOf = (rule) =>
  Object.fromEntries(TERMS.filter((name) => rule[name] != null && rule[name] !== "").map((name) => [name, rule[name]]));

export class Rules {
  #rules = [];
  #listeners = new Set();
  isOn = false; // whether alerts are on in the settings

  /** Calls `work` when there are others. */
  onChange(work) {
    this.#listeners.add(work);
  }

  get list() {
    return this.#rules;
  }

  /** Reads them; throws a `Failure`. */
  async refresh() {
    const { rules, watched } = await get("/api/alerts");
    this.isOn = watched;
    this.#set(rules);
  }

  /** Those about prices of an instrument; none while alerts are off. */
  ofPrice({ venue, symbol }) {
    if (!this.isOn) return [];
    const isOf = (rule) => rule.symbol && plain(rule.symbol) === plain(symbol) && (!rule.venue || rule.venue === venue);
    return this.#rules.filter((rule) => PRICES.has(rule.kind) && isOf(rule));
  }

  /** Whether it has fired for good. */
  isOver({ rearm, last }) {
    return rearm === "once" && last !== null;
  }

  /** Makes one of these terms; whether it could be made. */
  async add(terms) {
    return this.#act(async () => {
      const made = await post("/api/alerts", terms);
      note(`alert: ${textOf(made)}`, { action: { text: "Undo", run: () => void this.drop(made) } });
      this.#set([...this.#rules.filter(({ id }) => id !== made.id), made]);
    });
  }

  async drop(rule) {
    return this.#act(async () => {
      await remove(`/api/alerts/${encodeURIComponent(rule.id)}`);
      this.#set(this.#rules.filter(({ id }) => id !== rule.id));
    });
  }

  /** The same rule at another price: it is a new one, which is armed. */
  async move(rule, price) {
    return this.#act(async () => {
      const made = await post("/api/alerts", { ...termsOf(rule), price });
      if (made.id !== rule.id) await remove(`/api/alerts/${encodeURIComponent(rule.id)}`);
      this.#set([...this.#rules.filter(({ id }) => id !== rule.id && id !== made.id), made]);
    });
  }

  /** What fails leaves the rules as they are stored. */
  async #act(work) {
    try {
      await work();
      return true;
    } catch (error) {
      noteError(error);
      await this.refresh().catch(() => this.#set(this.#rules));
      return false;
    }
  }

  #set(rules) {
    this.#rules = rules;
    for (const work of this.#listeners) work();
  }
}

const WORDS = {
  price_above: ({ price }) => `above ${price}`,
  price_below: ({ price }) => `below ${price}`,
  price_cross: ({ price }) => `crosses ${price}`,
  price_change: ({ percent, span_s: span, direction }) =>
    `moves ${percent}%${direction === "either" ? "" : ` ${direction}`} within ${span} s`,
  silence: ({ for_s: time }) => `no trades come for ${time ?? 10} s`,
  unsynced: ({ for_s: time }) => `book not in step for ${time ?? 10} s`,
  gap: () => "trades are missing",
  mismatch: () => "a candle differs from the exchange's",
  store_outage: ({ for_s: time }) => `a store takes nothing for ${time ?? 0} s`,
};

/** `BTCUSDT of binance: above 120000`. */
export function textOf(rule) {
  const of = rule.symbol ? rule.symbol + (rule.venue ? ` of ${rule.venue}` : "") : rule.venue || "every symbol";
  return `${of}: ${WORDS[rule.kind]?.(rule) ?? rule.kind}`;
}
