/** What a chart says of a candle: the one under the cursor, or the last. */

import { compact, decimalsOf, fixed, percent, precision, wayOfPercent } from "../format.js";
import { write } from "../page.js";
import { minuteOf } from "../zone.js";

/** Those of a candle that does not begin with a minute. */
const secondsOf = (time) => (time % 60_000 ? `:${String(Math.floor(time / 1_000) % 60).padStart(2, "0")}` : "");

const PRICES = ["open", "high", "low", "close"];

/** Writes a candle, or with null none, into the elements of a chart. `isOfDays`: its time is a day of UTC. */
export function paintLegend(parts, candle, focus, isOfDays) {
  parts.legend.hidden = !candle;
  if (!candle) return;
  const decimals = Math.max(precision.of(focus), decimalsOf([candle.close]));
  for (const name of PRICES) write(parts[name], fixed(candle[name], decimals));
  write(parts.volume, compact(candle.volume));
  const move = (candle.close / candle.open - 1) * 100;
  write(parts.move, percent(move));
  parts.move.dataset.way = wayOfPercent(move);
  const revised = candle.revision > 1 ? `, revision ${candle.revision}` : "";
  write(parts.status, `${minuteOf(candle.time, isOfDays)}${secondsOf(candle.time)} · ${candle.status}${revised}`);
  parts.status.title = candle.about ?? "";
  parts.legend.dataset.open = candle.open;
  parts.legend.dataset.close = candle.close;
}
