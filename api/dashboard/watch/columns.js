/** The columns of the list: what each one shows of an instrument, and what the list is sorted by. Pure. */

import { compact, fixed, NONE, percent, precision, wayOf, wayOfPercent } from "../format.js";

const SPREAD_PLACES = 3;
const NARROW = 0.00005; // spreads below are written with more digits
const NARROW_PLACES = 5;
const FUNDING_PLACES = 4;

/** How bad a state is, the worst last. */
const STATES = ["live", "quiet", "behind", "unsynced", "silent", "halted", "cut", "unknown", "gone"];

/** The middle of best bid and ask, and what is between them as a share of it; null where one is not known. */
export function spreadOf(tick) {
  const { bid, ask } = tick ?? {};
  if (!(bid > 0) || !(ask > 0)) return null;
  return (ask - bid) / ((ask + bid) / 2);
}

/**
 * By name: title, explanation, width in pixels (the price's grows with its digits), the longest usual text, the figure
 * that is sorted by (the greatest first; null where it is not known) and the text, of a record
 * `{ venue, symbol, data, tick, funding, reading, state }`.
 */
export const COLUMNS = {
  price: {
    title: "Price", about: "the last price",
    value: ({ data }) => data?.price,
    text: (record) => (record.data ? fixed(record.data.price, precision.of(record)) : "…"),
  },
  change: {
    title: "24 h", about: "change in 24 hours", width: 60, longest: "+00.00%",
    value: ({ data }) => data?.price_change_percent_24h,
    text: ({ data }) => (data ? percent(data.price_change_percent_24h) : ""),
    way: ({ data }) => wayOfPercent(data?.price_change_percent_24h),
  },
  volume: {
    title: "Volume", about: "traded in 24 hours, in the quote asset", width: 58, longest: "000.0M",
    value: ({ data }) => (data?.volume_24h == null ? null : data.volume_24h * data.price),
    text: (record) => compact(COLUMNS.volume.value(record)),
  },
  spread: {
    title: "Spread", about: "between best bid and ask, as a share of the price", width: 62, longest: "0.00000%",
    value: ({ tick }) => spreadOf(tick),
    text: ({ tick }) => {
      const spread = spreadOf(tick);
      return spread === null ? NONE : `${fixed(100 * spread, spread < NARROW ? NARROW_PLACES : SPREAD_PLACES)}%`;
    },
  },
  funding: {
    title: "Funding", about: "rate of a contract at its next payment", width: 64, longest: "-0.0000%",
    value: ({ funding }) => funding?.rate,
    text: ({ funding }) => (funding?.rate == null ? NONE : `${fixed(100 * funding.rate, FUNDING_PLACES)}%`),
    way: ({ funding }) => wayOf(funding && 100 * funding.rate, FUNDING_PLACES),
  },
  signal: {
    title: "Signal", about: "the reading of all timeframes", width: 76, longest: "strong down",
    value: ({ reading }) => reading?.score,
    text: ({ reading }) => reading?.signal ?? NONE,
    way: ({ reading }) => wayOf(reading?.score, 2),
  },
  state: {
    title: "State", about: "whether its price is of now", width: 62, longest: "unsynced",
    value: ({ state }) => (state ? STATES.indexOf(state) : null),
    text: ({ state }) => state ?? NONE,
  },
};

export const USUAL_COLUMNS = ["price", "change"];

/** What a list can be sorted by besides its columns: the viewer's own order of a group. */
export const OWN_ORDER = "own";

/** The first way in which a list is sorted by a column: names from A, figures from the greatest. */
export const firstWayOf = (column) => (column === "name" || column === OWN_ORDER ? 1 : -1);

/**
 * Records in the order of a column, `way` 1 or -1; those with a star first, what is not known last in each part, equal
 * ones by name. `placeOf(record)` is that in the viewer's own order.
 */
export function inOrder(records, { column, way, isStarred = () => false, placeOf = () => null }) {
  const value = column === OWN_ORDER ? placeOf : (COLUMNS[column]?.value ?? (() => 0));
  const ranked = records.map((record) => ({
    record, star: isStarred(record) ? 1 : 0, value: value(record) ?? null, name: `${record.symbol} ${record.venue}`,
  }));
  const byName = (one, other) => (one.name < other.name ? -1 : one.name > other.name ? 1 : 0);
  const byValue = (one, other) => {
    if (one.value === null || other.value === null) return (one.value === null) - (other.value === null);
    return way * ((one.value > other.value) - (one.value < other.value));
  };
  const byColumn = column === "name" ? (one, other) => way * byName(one, other) : byValue;
  return ranked.sort((one, other) => other.star - one.star || byColumn(one, other) || byName(one, other)).map(({ record }) => record);
}
