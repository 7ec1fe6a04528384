/** Stored candles by timeframe and result of the comparison with the exchange's own, and what is proven at each venue. */

import { fixed } from "../format.js";
import { element } from "../page.js";

const UNITS_MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const DOUBTFUL = ["partial", "unproven"];

const lengthOf = (timeframe) => Number.parseInt(timeframe, 10) * UNITS_MS[timeframe.at(-1)];

/** Sums of series as `/api/quality` has them, by timeframe, shortest first. */
export function sumsOf(series) {
  const sums = new Map();
  for (const { timeframe, candles, proofs, by_status: statuses } of series) {
    const sum = sums.get(timeframe) ?? { timeframe, candles: 0, equal: 0, ours: 0, theirs: 0, own: 0, open: 0, doubtful: 0 };
    sum.candles += candles;
    sum.equal += proofs.equal ?? 0;
    sum.ours += proofs["ours wrong"] ?? 0;
    sum.theirs += proofs["theirs wrong"] ?? 0;
    sum.own += proofs["exchange's own"] ?? 0;
    sum.doubtful += DOUBTFUL.reduce((total, status) => total + (statuses[status] ?? 0), 0);
    sum.open = sum.candles - sum.equal - sum.ours - sum.theirs - sum.own;
    sums.set(timeframe, sum);
  }
  return [...sums.values()].sort((one, other) => lengthOf(one.timeframe) - lengthOf(other.timeframe));
}

/** A row of the table. */
export function rowOf(sum) {
  const cell = (count, mood = "") => {
    const made = element("td", "", fixed(count, 0));
    if (count && mood) made.dataset.way = mood;
    return made;
  };
  const { timeframe, candles, equal, ours, theirs, own, open, doubtful } = sum;
  const cells = [cell(candles), cell(equal, "up"), cell(ours, "down"), cell(theirs), cell(own), cell(open), cell(doubtful, "down")];
  return element("tr", "", element("th", "", timeframe), ...cells);
}
