/** The dialog's part that makes a rule of alerts, about the shown instrument or about all. */

import { byId, element } from "../page.js";

const KINDS = {
  price_cross: { about: "the price crosses", fields: ["price"] },
  price_above: { about: "the price is above", fields: ["price"] },
  price_below: { about: "the price is below", fields: ["price"] },
  price_change: { about: "the price moves by", fields: ["percent", "span_s", "direction"] },
  silence: { about: "no trades come", fields: ["for_s"] },
  unsynced: { about: "the book is not in step", fields: ["for_s"] },
  gap: { about: "trades are missing", fields: [], hasNoEnd: true },
  mismatch: { about: "a candle differs from the exchange's", fields: [], hasNoEnd: true },
  store_outage: { about: "a store takes nothing", fields: ["for_s"], isOfVenue: true },
};
const LONGEST_S = 86_400;
const FIELDS = {
  price: { text: "price", least: 0, most: 1e12, needed: true },
  percent: { text: "percent", least: 0, most: 1_000, usual: 2, needed: true },
  span_s: { text: "within seconds", least: 1, most: LONGEST_S, usual: 60, needed: true },
  for_s: { text: "for seconds", least: 0, most: LONGEST_S, usual: 10 },
  rearm_s: { text: "seconds later", least: 1, most: 31_536_000, usual: 3_600, needed: true },
};

export class RuleForm {
  #focus = null;
  #price = "";

  constructor(rules) {
    this.rules = rules;
    byId("rule-kind").append(...Object.entries(KINDS).map(([kind, { about }]) => optionOf(kind, about)));
    byId("rule-kind").onchange = () => this.#paint();
    byId("rule-rearm").onchange = () => this.#paintAfter();
    byId("add-rule").onsubmit = (event) => {
      event.preventDefault();
      void this.#add();
    };
  }

  /** The shown instrument, and its price. */
  choose(focus, price) {
    this.#focus = focus;
    this.#price = price ?? "";
    this.#paint();
  }

  #paint() {
    const kind = KINDS[byId("rule-kind").value];
    const repeated = byId("rule-rearm");
    for (const option of repeated.options) option.disabled = option.value === "on_return" && Boolean(kind.hasNoEnd);
    if (repeated.selectedOptions[0].disabled) repeated.value = "once";
    byId("rule-fields").replaceChildren(...kind.fields.map((name) => this.#fieldOf(name)));
    this.#paintAfter();
    const { symbol = "", venue = "" } = this.#focus ?? {};
    byId("rule-of").replaceChildren(
      ...(kind.isOfVenue ? [] : [optionOf("symbol", `${symbol} of ${venue}`)]),
      ...(kind.fields.includes("price") ? [] : [optionOf("venue", `all of ${venue}`), optionOf("all", "all venues")]),
    );
  }

  #paintAfter() {
    const isAfter = byId("rule-rearm").value === "after";
    byId("rule-after").replaceChildren(...(isAfter ? [this.#fieldOf("rearm_s")] : []));
  }

  #fieldOf(name) {
    if (name === "direction") {
      const choice = element("select", "", optionOf("either", "up or down"), optionOf("up", "up"), optionOf("down", "down"));
      choice.name = name;
      choice.ariaLabel = "direction";
      return choice;
    }
    const { text, least, most, usual = this.#price, needed = false } = FIELDS[name];
    const field = Object.assign(element("input"), { type: "number", step: "any", min: least, max: most, name, value: usual, required: needed });
    return element("label", "", `${text} `, field);
  }

  async #add() {
    const { symbol, venue } = this.#focus ?? {};
    const of = { symbol: { symbol, venue }, venue: { venue }, all: {} }[byId("rule-of").value] ?? {};
    const terms = { kind: byId("rule-kind").value, ...of, rearm: byId("rule-rearm").value };
    for (const { name, value, type } of byId("add-rule").querySelectorAll("[name]")) {
      if (value !== "") terms[name] = type === "number" ? Number(value) : value;
    }
    await this.rules.add(terms);
  }
}

const optionOf = (value, text) => Object.assign(element("option", "", text), { value });
