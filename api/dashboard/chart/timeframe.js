/**
 * Timeframes: those of the flow, which have stored candles, and others, of which bars are made of trades: any other length,
 * and bars of so many trades (`500t`), so much volume (`12.5v`) or so much value in the quote asset (`1000000q`).
 */

import { lengthMs } from "./candles.js";

/** Those of the flow, in the order of their keys. */
export const TIMEFRAMES = ["1m", "5m", "15m", "1h", "4h", "1d"];
const USUAL_BARS = 500;
const MOST_SPAN_MS = 14 * 86_400_000; // of trades that one answer reads
const LEAST_BARS = 30;

const AMOUNT = /^\s*(\$?)\s*0*(\d{1,15}(?:\.\d{1,8})?)\s*(k|m)?\s*(t|ticks?|trades?|v|vol|volume|q|quote|value|\$|)\s*$/i;
const UNITS = { t: "t", v: "v", q: "q", $: "q" };
const KINDS = { t: "tick", v: "volume", q: "dollar" };
const MANY = { k: 1_000, m: 1_000_000 };
const MOST_TRADES = 10_000_000;
const MOST_AMOUNT = 1e15;
const THINGS = { tick: "trades", volume: "volume", dollar: "value" };

/** What a text means, as `7m` for `7 min`, `500t` for `500 trades`, `250000q` for `$250k`; "" where it is no timeframe. */
export function timeframeOf(text) {
  return lengthOf(text) || amountOf(text);
}

/** `volume` and `value` begin with the same letter. */
function amountOf(text) {
  const [, sign, number, many, name] = AMOUNT.exec(text) ?? [];
  if (!number || (sign ? name && name !== "$" : !name)) return "";
  const unit = sign || /^value$/i.test(name) ? "q" : UNITS[name[0].toLowerCase()];
  const size = Number((Number(number) * (many ? MANY[many.toLowerCase()] : 1)).toFixed(8));
  const isRight = unit === "t" ? Number.isInteger(size) && size <= MOST_TRADES : size < MOST_AMOUNT;
  return size >= 1e-6 && isRight ? size + unit : "";
}

/** `{ kind, size }` of the interface: kind `time` with a length, `tick`, `volume` or `dollar` with an amount. */
export function barsOf(timeframe) {
  const kind = KINDS[timeframe.at(-1)] ?? "time";
  return { kind, size: kind === "time" ? timeframe : timeframe.slice(0, -1) };
}

/** Whether its bars have a length in time. */
export const isOfTime = (timeframe) => lengthMs(timeframe) !== Infinity;

/** As people read it: `5m`, `500 trades`. */
export function titleOf(timeframe) {
  const { kind, size } = barsOf(timeframe);
  return kind === "time" ? timeframe : `${Number(size).toLocaleString("en-GB", { maximumFractionDigits: 8 })} ${THINGS[kind]}`;
}

function lengthOf(text) {
  const found = /^\s*0*([1-9]\d{0,2})\s*(s|sec|m|min|h|d|w)\s*$/i.exec(text);
  if (!found) return "";
  const name = found[1] + found[2][0].toLowerCase();
  return TIMEFRAMES.find((one) => lengthMs(one) === lengthMs(name)) ?? name;
}

/** Whether the flow keeps candles of it, and says how they form. */
export const isOfFlow = (timeframe) => TIMEFRAMES.includes(timeframe);

/** How many bars are read at a time: a part of a second or a week is not the same number of trades. */
export const pageOf = (timeframe) =>
  Math.min(USUAL_BARS, Math.max(LEAST_BARS, Math.floor(MOST_SPAN_MS / lengthMs(timeframe))));
