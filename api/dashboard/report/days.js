/** The strip of days: how whole each day of each symbol is, by the statuses of its stored hours. */

import { element } from "../page.js";
import { MONTHS } from "../zone.js";

export const DAYS = 30;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
export const HOURS = 24 * DAYS;

/** What the status of a stored candle means here. */
const MEANINGS = {
  final: "complete", forming: "complete", repaired: "repaired", venue: "repaired", partial: "unproven", unproven: "unproven",
};
const WORST_FIRST = ["missing", "unproven", "repaired", "complete"];

const dayOf = (time) => new Date(time).toISOString().slice(0, 10);

/** The days that end with the day of a time, ms UTC: the begin of each, oldest first. */
export function daysUntil(time, count = DAYS) {
  const last = Math.floor(time / DAY_MS) * DAY_MS;
  return Array.from({ length: count }, (_, index) => last - (count - 1 - index) * DAY_MS);
}

/**
 * Quality of days by candles of an hour, oldest first: `{ quality, counts }` for each day. Nothing is expected before the
 * first candle, and after the hour of `until`; a day without a candle to expect is `none`.
 */
export function qualityOf(candles, days, until) {
  const byTime = new Map(candles.map((candle) => [candle.timestamp, candle.status]));
  const first = candles[0]?.timestamp ?? Infinity;
  return days.map((day) => {
    const counts = {};
    for (let hour = day; hour < day + DAY_MS; hour += HOUR_MS) {
      if (hour < first || hour > until) continue;
      const meaning = MEANINGS[byTime.get(hour)] ?? "missing";
      counts[meaning] = (counts[meaning] ?? 0) + 1;
    }
    return { day, counts, quality: WORST_FIRST.find((meaning) => counts[meaning]) ?? "none" };
  });
}

/** The sentence of a day, as `2026-01-05: 22 hours complete, 2 repaired`. */
export function sentenceOf({ day, counts }) {
  const parts = WORST_FIRST.toReversed().filter((meaning) => counts[meaning]).map((meaning) => `${counts[meaning]} ${meaning}`);
  return `${dayOf(day)}: ${parts.length ? `hours ${parts.join(", ")}` : "not recorded"}`;
}

/** The day of the month; of its first day, the month. */
const dayHead = (day) => {
  const [, month, date] = dayOf(day).split("-");
  return date === "01" ? MONTHS[Number(month) - 1] : date;
};

/** The table of all series, `{ venue, symbol, candles }`. `onDay({ venue, symbol, day })` when one is pressed. */
export function tableOf(series, { onDay, chosen }) {
  const until = Math.max(0, ...series.map(({ candles }) => candles.at(-1)?.timestamp ?? 0));
  const days = daysUntil(until);
  const heads = days.map((day) => element("th", new Date(day).getUTCDate() === 1 ? "month" : "", dayHead(day)));
  const head = element("thead", "", element("tr", "", element("td"), ...heads));
  const rows = series.map((one) => rowOf(one, qualityOf(one.candles, days, until), { onDay, chosen }));
  return element("table", "number", head, element("tbody", "", ...rows));
}

function rowOf({ venue, symbol }, days, { onDay, chosen }) {
  const cells = days.map((day) => {
    const sentence = `${symbol} of ${venue}, ${sentenceOf(day)}`;
    const button = Object.assign(element("button", "", element("span", "hidden", sentence)), { title: sentence, tabIndex: -1 });
    button.dataset.quality = day.quality;
    const isChosen = chosen && chosen.venue === venue && chosen.symbol === symbol && chosen.day === day.day;
    button.setAttribute("aria-pressed", String(Boolean(isChosen)));
    button.onclick = () => onDay({ venue, symbol, day: day.day });
    return element("td", "", button);
  });
  return element("tr", "", element("th", "", symbol, element("small", "", venue)), ...cells);
}
