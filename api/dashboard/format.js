/** Numbers and ages as the page writes them. */

const formats = new Map();

function format(decimals) {
  if (!formats.has(decimals)) {
    formats.set(
      decimals,
      new Intl.NumberFormat("en-US", {
        minimumFractionDigits: decimals,
        maximumFractionDigits: decimals,
        signDisplay: "negative", // what is rounded to zero has no sign
      }),
    );
  }
  return formats.get(decimals);
}

const short = new Intl.NumberFormat("en-US", { notation: "compact", maximumSignificantDigits: 4 });
const shortened = new Intl.NumberFormat("en-US", {
  notation: "compact", minimumSignificantDigits: 4, maximumSignificantDigits: 4,
}); // so that a column of them has its points in one place

export const NONE = "–";
const PERCENT_PLACES = 2;
const MOST_DECIMALS = 8;

export const fixed = (value, decimals) => (value == null ? NONE : format(decimals).format(value));
/** A quantity; one that is too small for so many decimals is written as less than the least that they can show. */
export const amount = (value, decimals) =>
  value > 0 && wayOf(value, decimals) === "" ? `<${fixed(10 ** -decimals, decimals)}` : fixed(value, decimals);
export const compact = (value) => (value == null ? NONE : (Math.abs(value) < 1_000 ? short : shortened).format(value));
export const signed = (value, decimals) => (value == null ? NONE : (wayOf(value, decimals) === "up" ? "+" : "") + fixed(value, decimals));
export const percent = (value) => (value == null ? NONE : `${signed(value, PERCENT_PLACES)}%`);

/** `up`, `down`, or "" for what is zero as it is written, with so many decimals. */
export function wayOf(value, decimals = MOST_DECIMALS) {
  const rounded = Math.abs(value ?? 0) < 0.5 * 10 ** -decimals ? 0 : value;
  return rounded > 0 ? "up" : rounded < 0 ? "down" : "";
}
export const wayOfPercent = (value) => wayOf(value, PERCENT_PLACES);

const size = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 4 });
const SIZES = ["B", "kB", "MB", "GB", "TB", "PB"];

/** Bytes in the largest unit of a thousand that fits. */
export function bytes(value) {
  if (value == null) return NONE;
  const power = Math.min(SIZES.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, value)) / 3)));
  return `${size.format(value / 1_000 ** power)} ${SIZES[power]}`;
}

/** A share in percent; 100 only when nothing is missing. */
export function share(value) {
  if (value == null) return NONE;
  return value >= 1 ? "100%" : `${(Math.floor(value * 100_000) / 1_000).toFixed(3)}%`;
}

/** Whether a time is before another, both ISO-8601; as texts, a whole second would sort after its fractions. */
export const isBefore = (iso, other) => Date.parse(iso) < Date.parse(other);

/** Milliseconds as the largest unit that fits. */
export function age(ms) {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1_000;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min`;
  return seconds < 86_400 ? `${Math.floor(seconds / 3_600)} h` : `${Math.floor(seconds / 86_400)} d`;
}

/** Decimals that are needed to write all of these numbers exactly, at most 8. */
export function decimalsOf(values) {
  let most = 0;
  for (const value of values) {
    if (value == null) continue;
    const [digits, exponent = "0"] = String(value).split("e");
    most = Math.max(most, (digits.split(".")[1] ?? "").length - Number(exponent));
  }
  return Math.min(most, MOST_DECIMALS);
}

/** Decimals of a column whose greatest number is `most`: four digits of that, and at most `places`. */
export const decimalsUpTo = (most, places) => Math.min(places, Math.max(0, 3 - Math.floor(Math.log10(most || 1))));

/** Decimals of the prices of each instrument, `{ venue, symbol }`: the most seen so far, so that columns do not jump. */
export class Precision {
  #seen = new Map();

  see(instrument, ...values) {
    const decimals = Math.max(this.of(instrument), decimalsOf(values));
    this.#seen.set(Precision.#keyOf(instrument), decimals);
    return decimals;
  }

  of(instrument) {
    return this.#seen.get(Precision.#keyOf(instrument)) ?? 2;
  }

  static #keyOf({ venue, symbol }) {
    return `${venue} ${symbol}`;
  }
}

export const precision = new Precision();
