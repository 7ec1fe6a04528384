/** Timeframes: those of the flow, which have stored candles, and any other length, of which bars are made of trades. */

import { lengthMs } from "./candles.js";

/** Those of the flow, in the order of their keys. */
export const TIMEFRAMES = ["1m", "5m", "15m", "1h", "4h", "1d"];
const USUAL_BARS = 500;
const MOST_SPAN_MS = 14 * 86_400_000; // of trades that one answer reads
const LEAST_BARS = 30;

/** What a text means, as `7m` for `7 min`; "" where it is no timeframe. */
export function timeframeOf(text) {
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
