/** Adding and removing symbols: a subscription request to the flow, and its confirmation. */

import { agreed, byId, note, noteError, sleep } from "./page.js";
import { get, post, remove } from "./rest.js";

const PATIENCE = 30; // polls, one a second

export class Symbols {
  #venue; // new symbols are of the shown venue
  #dropped = new Set(); // by this page

  /** `onAdded(instrument)`, `onRemoved(instrument)`: the list has one more, or one less. */
  constructor({ onAdded, onRemoved }) {
    this.onAdded = onAdded;
    this.onRemoved = onRemoved;
    byId("add").onsubmit = (event) => {
      event.preventDefault();
      void this.#noted(() => this.#add(byId("add-symbol").value.trim()));
    };
  }

  choose(focus) {
    this.#venue = focus?.venue;
  }

  /** Records an instrument from now on. */
  add({ venue, symbol }) {
    void this.#noted(() => this.#follow(venue, symbol));
  }

  /** Asks the user, then removes a symbol; it leaves the list once the flow confirms it. */
  async drop({ venue, symbol }) {
    const isSure = await agreed({
      title: `Stop recording ${symbol}?`,
      text: `Recording of ${symbol} at ${venue} ends for everybody who uses this marketflow. What is stored stays; what is traded from now on is missing until it is recorded again.`,
      action: "Stop recording",
    });
    if (isSure) await this.#noted(() => this.#drop(venue, symbol));
  }

  /** Whether this page's own user removed it. */
  isOwn({ venue, symbol }) {
    return this.#dropped.has(`${venue} ${symbol}`);
  }

  async #drop(venue, symbol) {
    this.#dropped.add(`${venue} ${symbol}`);
    const states = await get("/api/symbols", { venue });
    const { streams = [] } = states.find((state) => state.symbol === symbol) ?? {};
    await remove(`/api/symbols/${encodeURIComponent(symbol)}`, { venue });
    const undo = { text: "Undo", run: () => void this.#noted(() => this.#follow(venue, symbol, streams)) };
    note(`${symbol} is no longer recorded`, { action: undo });
    if (await confirmed(venue, symbol, false)) this.onRemoved({ venue, symbol });
    else if (await isWanted(venue, symbol)) return; // by an undo
    else note(`${symbol} is still being recorded: the flow has not answered yet`, { bad: true });
  }

  async #add(name) {
    if (!name) return;
    const { symbol } = await this.#follow(this.#venue, name);
    byId("add-symbol").value = "";
    return symbol;
  }

  async #follow(wantedVenue, name, streams = []) {
    const { venue, symbol } = await post("/api/symbols", { symbol: name, venue: wantedVenue, streams });
    this.#dropped.delete(`${venue} ${symbol}`);
    this.onAdded({ venue, symbol });
    void this.#noted(async () => {
      if (await confirmed(venue, symbol, true)) note(`${symbol} is recorded`);
      else if (await isWanted(venue, symbol)) note(`${symbol} is not recorded yet: the flow has not answered`, { bad: true });
    });
    return { venue, symbol };
  }

  async #noted(work) {
    try {
      await work();
    } catch (error) {
      noteError(error);
    }
  }
}

async function stateOf(venue, symbol) {
  const states = await get("/api/symbols", { venue });
  return states.find((state) => state.symbol === symbol);
}

const isWanted = async (venue, symbol) => (await stateOf(venue, symbol))?.wanted ?? false;

/** Whether the flow follows it as wanted, within the patience, and unless something else is wanted meanwhile. */
async function confirmed(venue, symbol, followed) {
  for (let look = 0; look < PATIENCE; look++) {
    const found = await stateOf(venue, symbol);
    if ((found?.wanted ?? false) !== followed) return false;
    if ((found?.followed ?? false) === followed) return true;
    await sleep(1_000);
  }
  return false;
}
