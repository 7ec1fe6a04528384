/**
 * Bars of so many trades, so much volume or value. They have no common begin, so they are counted anew with each part of the
 * day: a UTC day, or where that has too many of them, an hour or a minute. So all viewers see the same bars of a part.
 */

import { Failure, get } from "../rest.js";
import { lacksTrades } from "./candles.js";
import { barsOf } from "./timeframe.js";

const PARTS_MS = [86_400_000, 3_600_000, 60_000];
const NAMES = { 86_400_000: "day", 3_600_000: "hour", 60_000: "minute" };
const MOST_EXPECTED = 2_000; // bars of a part
const PAGE = 5_000;
const MOST_PAGES = 4;
const SAMPLE = 1_000; // trades by which the length of a part is chosen
const SETTLED_MS = 10_000; // by then the last trades of a part are stored
const APART_MS = 0.01; // between bars that open in the same millisecond: a chart has one for each time
const parts = new WeakMap(); // by the chart's `{ venue, symbol, timeframe }`

/** The bars of the newest part that begins before `end` (ms UTC), now without it, as `{ candles }`. Throws a `Failure`. */
export async function readAmounts(focus, end) {
  const length = parts.get(focus) ?? (await partOf(focus));
  parts.set(focus, length);
  const until = end === undefined ? undefined : Math.floor(end / length) * length;
  const [newest] = (await tradesBefore(focus, until, 1)).slice(-1);
  if (!newest) return { candles: [] };
  const begin = Math.floor(newest.timestamp / length) * length;
  return { candles: await read(focus, { begin, length, isOver: end !== undefined }) };
}

/** What follows the candles of a chart, oldest first, up to the time `now` of its venue, ms UTC: the forming one, and those after it. */
export async function readAmountsAfter(focus, candles, now) {
  const length = parts.get(focus);
  const last = candles.at(-1);
  if (!length || !last) return [];
  const begin = Math.floor(last.time / length) * length;
  const closed = candles.slice(-3).findLast((one) => one.is_closed && one.time >= begin);
  const isOver = now >= begin + length + SETTLED_MS;
  const found = await read(focus, { begin, length, isOver, after: closed });
  if (!isOver) return found;
  const next = Math.floor(now / length) * length;
  return [...found, ...(await read(focus, { begin: next, length, isOver: false }))];
}

/** The longest part that has not too many bars, by the pace of the newest trades. */
async function partOf(focus) {
  const { kind, size } = barsOf(focus.timeframe);
  const trades = await tradesBefore(focus, undefined, SAMPLE);
  const amount = { tick: () => 1, volume: ({ quantity }) => quantity, dollar: ({ price, quantity }) => price * quantity }[kind];
  const spanMs = trades.length > 1 ? Math.max(1_000, trades.at(-1).timestamp - trades[0].timestamp) : Infinity;
  const perMs = trades.reduce((sum, one) => sum + amount(one), 0) / Number(size) / spanMs;
  return PARTS_MS.find((length) => perMs * length <= MOST_EXPECTED) ?? PARTS_MS.at(-1);
}

async function tradesBefore({ venue, symbol }, end, limit) {
  return (await get("/api/trades", { symbol, venue, end, limit })).trades;
}

/** Bars of a part, behind the closed one `after` if there is one; `isOver`: the last one grows no more. */
async function read({ venue, symbol, timeframe }, { begin, length, isOver, after }) {
  const query = { venue, ...barsOf(timeframe), start: begin, end: begin + length, limit: PAGE };
  let cursor = after && `${after.closes}.${after.last_id}`, before = after?.time ?? -Infinity;
  const candles = [];
  for (let pages = 0; pages < MOST_PAGES; pages++) {
    const { bars, lacking, next } = await get(`/api/bars/${encodeURIComponent(symbol)}`, { ...query, cursor });
    for (const bar of bars) {
      candles.push(candleOf(bar, { lacking, before, isCut: isOver && !next && bar === bars.at(-1), length }));
      before = candles.at(-1).timestamp;
    }
    if (!next) return candles;
    cursor = next;
  }
  throw new Failure("too_many_bars", `there are more than ${PAGE * MOST_PAGES} such bars in a ${NAMES[length]}: take larger ones`);
}

function candleOf({ open_time: opens, close_time: closes, is_closed: isClosed, ...bar }, { lacking, before, isCut, length }) {
  const part = NAMES[length];
  const of = isClosed ? "of stored trades" : `ends with the ${part}`;
  const status = !isClosed && !isCut ? "forming" : lacksTrades(opens, closes, lacking) ? "partial" : of;
  const about = `made of the stored trades, and counted anew each ${part} (UTC): the exchange has no such candle that it could be compared with`;
  return { ...bar, timestamp: Math.max(opens, before + APART_MS), closes, is_closed: isClosed || isCut, status, revision: 1, about };
}
