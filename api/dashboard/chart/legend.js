/** What a chart says of a candle: the one under the cursor, or the last. */

import { compact, decimalsOf, fixed, percent, precision, wayOf } from "../format.js";
import { write } from "../page.js";
import { minuteOf } from "../zone.js";

const PRICES = ["open", "high", "low", "close"];

/** Writes a candle, or with null none, into the elements of a chart. `isOfDays`: its time is a day of UTC. */
export function paintLegend(parts, candle, focus, isOfDays) {
  parts.legend.hidden = !candle;
  if (!candle) return;
  const decimals = Math.max(precision.of(focus), decimalsOf([candle.close]));
  for (const name of PRICES) write(parts[name], fixed(candle[name], decimals));
  write(parts.volume, compact(candle.volume));
  write(parts.move, percent((candle.close / candle.open - 1) * 100));
  parts.move.dataset.way = wayOf(candle.close - candle.open);
  const revised = candle.revision > 1 ? `, revision ${candle.revision}` : "";
  write(parts.status, `${minuteOf(candle.time, isOfDays)} · ${candle.status}${revised}`);
  parts.legend.dataset.open = candle.open;
  parts.legend.dataset.close = candle.close;
}
