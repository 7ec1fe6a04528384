/** Shows everywhere on the page how current what it shows is: light, head, panels, list, and a line of what is missing. */

import { age } from "./format.js";
import { LIQUIDATIONS, OF_BOOK, OF_CANDLES, OF_MARK, OF_PRICE, OF_TRADES } from "./freshness.js";
import { byId, write } from "./page.js";

const PANELS = {
  head: OF_PRICE,
  tape: OF_TRADES,
  analysis: OF_CANDLES,
  book: OF_BOOK,
  contract: OF_MARK,
};
const ORIGINS = {
  live: "",
  testnet: "testnet: these are not the market's prices",
  replay: "replay: recorded data, not the market of now",
  synthetic: "synthetic: generated data, not a market",
};

/** What of the data is real. */
export function paintOrigin(origin) {
  const text = ORIGINS[origin] ?? origin;
  byId("banner").hidden = !text;
  write(byId("banner"), text);
}

export class Currency {
  #heardAt = 0;
  #down = []; // sentences for dependencies and venue connections that are down

  /** `focus()` is the chosen instrument; the rest are parts of the page. */
  constructor({ focus, freshness, broadcast, panes, prices, book, contract, quality, accounts }) {
    Object.assign(this, { focus, freshness, broadcast, panes, prices, book, contract, quality, accounts });
  }

  /** A message came. */
  hear() {
    this.#heardAt = performance.now();
  }

  /** What is down by the API's status. */
  takeDown(sentences) {
    this.#down = sentences;
    this.paint();
  }

  /** Paints all states: data that is not current is grey, with the reason. All of one moment. */
  paint = () => this.freshness.atOnce(() => this.#paint());

  #paint() {
    this.#paintLight();
    this.#paintMissing();
    this.accounts.paintStates();
    this.prices.paintStates();
    this.panes.paintStates(({ venue, symbol }) => this.freshness.of(venue, symbol, OF_CANDLES));
    const focus = this.focus();
    if (focus) this.#paintPanels(focus);
  }

  #paintPanels(focus) {
    const { venue, symbol } = focus;
    const price = this.freshness.ofPrice(venue, symbol);
    const of = (channels) => (channels === OF_PRICE ? price : this.freshness.of(venue, symbol, channels));
    for (const [id, channels] of Object.entries(PANELS)) {
      byId(id).classList.toggle("old", !of(channels).isCurrent);
      byId(id).dataset.currency = of(channels).state;
    }
    const shown = price.state === "live" ? "" : price.text;
    write(byId("state"), shown);
    byId("state").title = shown && price.about;
    write(byId("tape-state"), of(OF_TRADES).isCurrent ? "" : of(OF_TRADES).text);
    this.book.say(of(OF_BOOK));
    this.contract.say(of(OF_MARK), { hasOrders: this.freshness.has(venue, symbol, LIQUIDATIONS) });
    this.contract.tick();
    this.quality.paintLatency(price.isCurrent);
  }

  #paintLight() {
    const { name, url, retryAt } = this.broadcast.state;
    const cut = name !== "live";
    const silent = this.#heardAt ? `data ${age(performance.now() - this.#heardAt)} old` : "no data yet";
    const waits = Math.max(0, Math.ceil((retryAt - performance.now()) / 1_000));
    const again = name === "waiting" ? `again in ${waits} s` : "connecting…";
    document.body.classList.toggle("cut", cut && this.#heardAt > 0);
    if (cut) return light(name, `${silent} · ${again}`, `${url ?? "the broadcast"} is not reached; click to try now`);
    if (!this.focus()) return light("connecting", "waiting for the first prices", "the broadcast is live, and has no price yet");
    const { state, text, about, isCurrent } = this.#stateOfFocus();
    if (isCurrent && this.panes.active.chart.isWaiting) {
      return light("connecting", "waiting for the first candles", about || "the broadcast is live");
    }
    light(state, text, about);
  }

  /** The worst state of the chosen instrument; while all is current, that of its price. */
  #stateOfFocus() {
    const { venue, symbol } = this.focus();
    const whole = this.freshness.of(venue, symbol);
    return whole.isCurrent ? this.freshness.ofPrice(venue, symbol) : whole;
  }

  /** What is down by the API's status, and what is not current by the states of this page. */
  #paintMissing() {
    const missing = [...this.#down, ...this.freshness.missing()];
    byId("missing").hidden = !missing.length;
    write(byId("missing"), missing.join(" · "));
  }
}

function light(state, text, about) {
  byId("light").dataset.state = state;
  byId("light").title = about;
  write(byId("light-text"), text);
}
