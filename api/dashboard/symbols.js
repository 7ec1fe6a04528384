/** Adding and removing symbols: a subscription request to the flow, and its confirmation. */

import { byId, element, note, sleep } from "./page.js";
import { get, post, remove } from "./rest.js";

const PATIENCE = 30; // polls, one a second

export class Symbols {
  #venue; // new symbols are of the shown venue

  constructor(prices) {
    this.prices = prices;
    byId("add").onsubmit = (event) => {
      event.preventDefault();
      void this.#told(() => this.#add(byId("add-symbol").value.trim()));
    };
    byId("add-symbol").onfocus = () => void this.#told(() => this.#offer());
  }

  choose({ venue }, isOneOfSeveral) {
    this.#venue = venue;
    byId("add-symbol").placeholder = isOneOfSeveral ? `Add at ${venue}  /` : "Add a symbol  /";
  }

  /** Removes a symbol once the flow confirms it. */
  async drop({ venue, symbol }) {
    await this.#told(async () => {
      await remove(`/api/symbols/${encodeURIComponent(symbol)}`, { venue });
      if (await confirmed(venue, symbol, false)) this.prices.forget(venue, symbol);
      else note(`the flow has not let go of ${symbol} yet`, { bad: true });
    });
  }

  async #add(name) {
    if (!name) return;
    const { venue, symbol } = await post("/api/symbols", { symbol: name, venue: this.#venue });
    byId("add-symbol").value = "";
    this.prices.expect(venue, symbol);
    if (await confirmed(venue, symbol, true)) note(`${symbol} is followed`);
    else note(`the flow does not follow ${symbol} yet`, { bad: true });
  }

  async #offer() {
    const { symbols } = await get("/api/supported-symbols", { venue: this.#venue });
    const options = symbols.map(({ symbol }) => Object.assign(element("option"), { value: symbol }));
    byId("supported").replaceChildren(...options);
  }

  async #told(work) {
    try {
      await work();
    } catch (error) {
      note(error.message, { bad: true });
    }
  }
}

async function confirmed(venue, symbol, followed) {
  for (let look = 0; look < PATIENCE; look++) {
    const states = await get("/api/symbols", { venue });
    const found = states.find((state) => state.symbol === symbol);
    if ((found?.followed ?? false) === followed) return true;
    await sleep(1_000);
  }
  return false;
}
