/** Places of the time axis: numbers of candles, with fractions between them, and beyond the first and the last. */

/** The place of a time, ms UTC, among candles of a length, oldest first; null without any. */
export function placeOf(candles, lengthMs, time) {
  if (!candles.length) return null;
  const [first, last] = [candles[0], candles.at(-1)];
  if (time < first.time) return (time - first.time) / lengthMs;
  if (time >= last.time) return candles.length - 1 + (time - last.time) / lengthMs;
  const index = indexBefore(candles, time);
  return index + Math.min(1, (time - candles[index].time) / lengthMs); // a hole has no width
}

/** The time of a place, ms UTC; null without candles. */
export function timeOf(candles, lengthMs, place) {
  if (!candles.length) return null;
  const index = Math.floor(place);
  if (index < 0) return candles[0].time + place * lengthMs;
  if (index >= candles.length - 1) return candles.at(-1).time + (place - candles.length + 1) * lengthMs;
  return candles[index].time + (place - index) * lengthMs;
}

/** The number of the newest candle that begins at a time or before; the first one begins before. */
export function indexBefore(candles, time) {
  let low = 0, high = candles.length - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (candles[middle].time <= time) low = middle;
    else high = middle - 1;
  }
  return low;
}
