/** Candles of an instrument over REST: stored ones, or bars that are made of the stored trades. */

import { get } from "../rest.js";
import { lacksTrades, lengthMs } from "./candles.js";
import { readAmounts } from "./amounts.js";
import { isOfFlow, isOfTime, pageOf } from "./timeframe.js";

const PAGE = 500;
const WEEK_MS = 7 * 86_400_000;
const UNPROVEN = "made of the stored trades: the exchange has no such candle that it could be compared with";
const MONDAY_MS = 4 * 86_400_000; // the first one, since 1970

/**
 * The newest candles that begin before `end` (ms UTC), now without it: `{ candles, history }`, where `history` is the
 * flow's work on older ones; or `{ wait_s }` while it fetches them. Throws a `Failure`.
 */
export function readCandles(focus, { end } = {}) {
  if (isOfFlow(focus.timeframe)) return readStored(focus, end);
  return isOfTime(focus.timeframe) ? readBars(focus, end) : readAmounts(focus, end);
}

function readStored({ venue, symbol, timeframe }, end) {
  return get(`/api/chart/${encodeURIComponent(symbol)}/${timeframe}`, { limit: PAGE, venue, end });
}

async function readBars(focus, end) {
  const length = lengthMs(focus.timeframe);
  const until = end ?? (await newestTime(focus)) + 1;
  const start = Math.max(0, beginOf(until - 1, length) - (pageOf(focus.timeframe) - 1) * length);
  return readBarsFrom(focus, start, until);
}

/** Bars that begin in `[start, end)`; without an end up to now. */
export async function readBarsFrom({ venue, symbol, timeframe }, start, end) {
  const answer = await get(`/api/bars/${encodeURIComponent(symbol)}`, { venue, size: timeframe, start, end, limit: PAGE });
  return { candles: answer.bars.map((bar) => candleOf(bar, answer.lacking)) };
}

async function newestTime({ venue, symbol }) {
  const { trades } = await get("/api/trades", { symbol, venue, limit: 1 });
  return trades.length ? Math.max(...trades.map(({ timestamp }) => timestamp)) : Date.now();
}

/** When the period of a time begins; weeks begin on Mondays. */
export function beginOf(time, length) {
  const offset = length % WEEK_MS ? 0 : MONDAY_MS;
  return time - ((time - offset) % length);
}

function candleOf({ open_time: timestamp, close_time: closes, ...bar }, lacking) {
  const status = !bar.is_closed ? "forming" : lacksTrades(timestamp, closes, lacking) ? "partial" : "of stored trades";
  return { ...bar, timestamp, status, revision: 1, about: UNPROVEN };
}
