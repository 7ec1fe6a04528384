/** The address of a chart, `#venue/symbol/timeframe`: links, Back, pasted addresses; and the last one of the visit before. */

const KEPT = "marketflow.last";
const WORST_LENGTH = 200;

/** `{ venue, symbol, timeframe }` of an address; "" where it does not say one. Older links have no venue. */
export function readAddress(hash) {
  const parts = hash.replace(/^#/, "").slice(0, WORST_LENGTH).split("/").map(decoded);
  const [venue, symbol = "", timeframe = ""] = parts.length > 2 ? parts : ["", ...parts];
  return { venue, symbol, timeframe };
}

export const addressOf = ({ venue, symbol, timeframe }) => `#${[venue, symbol, timeframe].map(encodeURIComponent).join("/")}`;

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
