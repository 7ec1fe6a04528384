/** The table of incidents: filters, pages, and links to the chart at that time. */

import { addressOf } from "../address.js";
import { age } from "../format.js";
import { byId, element, write } from "../page.js";
import { get } from "../rest.js";
import { momentOf } from "../zone.js";

/** What each kind of incident is, for people. */
export const KINDS = {
  gap: "trades missing",
  repair: "trades refilled",
  late: "late trades",
  partial: "incomplete candle",
  mismatch: "differs from the exchange's",
  history: "history fetched",
  resync: "book read anew",
  reject: "input refused",
  disconnect: "line lost",
  reconnect: "line back",
  silent: "exchange silent",
  stale: "data too old",
  feed_down: "no data at all",
  store_outage: "store not reached",
  lag: "flow behind",
  clock: "clocks differ",
  unlisted: "not listed",
  retention: "old data removed",
  error: "error",
};
const PAGE = 100;
const DAY_MS = 86_400_000;

/** The timeframe of a chart in which a time that long ago is a few screens away. */
export function timeframeFor(ageMs) {
  if (ageMs < 2 * DAY_MS) return "1m";
  if (ageMs < 10 * DAY_MS) return "5m";
  return ageMs < 60 * DAY_MS ? "1h" : "1d";
}

export class Incidents {
  #filter = {};
  #shown = [];
  #next = null;
  #generation = 0;

  constructor() {
    const all = Object.assign(element("option", "", "everything"), { value: "" });
    const options = Object.entries(KINDS).map(([kind, words]) => Object.assign(element("option", "", words), { value: kind }));
    byId("kind").append(all, ...options);
    byId("more").onclick = () => void this.#read(this.#next);
  }

  /** Shows those of a venue, symbol, kind and time, each "" for all; `start` and `end` are ms UTC. */
  choose(filter) {
    this.#filter = filter;
    this.#generation += 1;
    void this.#read(null);
  }

  /** Writes them again, as in another time zone. */
  paint() {
    byId("incidents").replaceChildren(...this.#shown.map(rowOf));
    byId("more").hidden = !this.#next;
    write(byId("incidents-state"), this.#shown.length ? "" : "none");
  }

  async #read(cursor) {
    const generation = this.#generation;
    const { venue, symbol, kind, start, end } = this.#filter;
    let page;
    try {
      page = await get("/api/incidents", { venue, symbol, kinds: kind, start, end, limit: PAGE, cursor: cursor ?? "" });
    } catch (error) {
      if (generation === this.#generation) write(byId("incidents-state"), error.message);
      return;
    }
    if (generation !== this.#generation) return;
    this.#shown = cursor ? [...this.#shown, ...page.incidents] : page.incidents;
    this.#next = page.next;
    this.paint();
  }
}

function rowOf({ kind, venue, symbol, begin, end, cause, outcome }) {
  const [from, to] = [Date.parse(begin), Date.parse(end)];
  const link = symbol ? chartLink(venue, symbol, from) : "";
  const row = element(
    "tr",
    "",
    element("td", "", momentOf(begin)),
    element("td", "", to > from ? age(to - from) : ""),
    element("td", "", KINDS[kind] ?? kind),
    element("td", "", venue),
    element(symbol ? "th" : "td", "", symbol),
    element("td", "why", [cause, outcome].filter(Boolean).join(": ")),
    element("td", "", link),
  );
  row.dataset.kind = kind;
  return row;
}

function chartLink(venue, symbol, time) {
  const timeframe = timeframeFor(Date.now() - time);
  const link = element("a", "", "chart");
  link.href = `/${addressOf({ venue, symbol, timeframe, time })}`;
  link.setAttribute("aria-label", `chart of ${symbol} at ${momentOf(time)}`);
  return link;
}
