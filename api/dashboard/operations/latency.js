/** How long messages take from the exchange to clients, by venue: what came since the look before, and how that went on. */

import { age, NONE } from "../format.js";
import { quantileOf } from "./exposition.js";

const METRIC = "market_data_exchange_to_broadcast_seconds_bucket";
const SHARES = { middle: 0.5, late: 0.99 };
const SLOW_S = 1; // 99 of 100 messages should be sooner

export class Latency {
  #series;
  #histograms = new Map(); // buckets of the last look, by venue

  /** Keeps what was seen in a `Series`. */
  constructor(series) {
    this.#series = series;
  }

  /** Rows for a `Table`: the middle, and what 99 of 100 do not exceed, of the samples of the API's metrics, for some venue or "" for all. */
  rows(samples, wanted = "") {
    const byVenue = Map.groupBy(samples.get(METRIC) ?? [], ({ labels }) => labels.venue ?? "");
    return [...byVenue].filter(([venue]) => !wanted || venue === wanted).sort().map(([venue, all]) => this.#row(venue, all));
  }

  #row(venue, samples) {
    const buckets = samples.map(({ labels, value }) => [labels.le === "+Inf" ? Infinity : Number(labels.le), value]);
    const before = this.#histograms.get(venue);
    this.#histograms.set(venue, new Map(buckets));
    const [middle, late] = Object.values(SHARES).map((part) => (before ? quantileOf(buckets, before, part) : null));
    this.#series.take(venue, late);
    const text = (found) => (found === null ? NONE : age(found * 1_000));
    return { key: venue, head: venue, cells: [text(middle), text(late)], mood: late === null ? "" : late > SLOW_S ? "warn" : "good", values: this.#series.of(venue) };
  }
}
