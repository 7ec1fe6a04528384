/** What the chart shows as files: a picture, and a table of the candles in view. */

/** CSV of candles and the values of their indicators, as `columns`: lists by name, one value for each candle. */
export function csvOf(candles, columns) {
  const names = Object.keys(columns);
  const head = ["timestamp", "open", "high", "low", "close", "volume", "status", ...names];
  const rows = candles.map((candle, index) => {
    const { open, high, low, close, volume, status } = candle;
    const time = new Date(candle.time).toISOString();
    return [time, open, high, low, close, volume, status, ...names.map((name) => columns[name][index] ?? "")];
  });
  return [head, ...rows].map((row) => `${row.join(",")}\r\n`).join("");
}

/** Gives the user a file. */
export function download(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // until the browser has read it
}
