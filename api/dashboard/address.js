/** The address of a chart, `#venue/symbol/timeframe`, a time behind it to begin with, a layout behind `?`; the last one of the visit before. */

const KEPT = "marketflow.last";
const WORST_LENGTH = 8_000;

/**
 * `{ venue, symbol, timeframe, time, layout }` of an address; "" where it does not say one, and null without a time (ms UTC).
 * Older links have no venue.
 */
export function readAddress(hash) {
  const [name, layout = ""] = hash.replace(/^#/, "").slice(0, WORST_LENGTH).split("?");
  const parts = name.split("/").map(decoded);
  const [venue, symbol = "", timeframe = "", when = ""] = parts.length > 2 ? parts : ["", ...parts];
  return { venue, symbol, timeframe, time: Date.parse(when) || null, layout };
}

/** The address of a chart, at a `time` (ms UTC) if there is one. */
export function addressOf({ venue, symbol, timeframe, time = null }) {
  const when = time === null ? [] : [new Date(time).toISOString().slice(0, 16) + "Z"];
  return `#${[venue, symbol, timeframe].map(encodeURIComponent).concat(when).join("/")}`;
}

/** Keeps an address for the next visit. */
export const keepAddress = (address) => localStorage.setItem(KEPT, address);

/** The address of the last visit; "" on the first one. */
export const keptAddress = () => localStorage.getItem(KEPT) ?? "";

/** The instrument of a list that an address means; undefined where none is. */
export function instrumentOf(instruments, { venue, symbol }) {
  const alike = (one, other) => one.toUpperCase() === other.toUpperCase();
  const ofVenue = instruments.filter((one) => !venue || alike(one.venue, venue));
  return ofVenue.find((one) => one.symbol === symbol) ?? ofVenue.find((one) => alike(one.symbol, symbol));
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part; // a percent sign that escapes nothing
  }
}
