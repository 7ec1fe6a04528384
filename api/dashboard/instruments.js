/** What the venues' lists say of an instrument: its base and quote asset, for units and comparisons. */

import { get } from "./rest.js";

const known = new Map();

/** `{ base, quote }` of an instrument; both "" while its venue's list is not there, or does not say them. */
export function assetsOf({ venue, symbol }) {
  const key = `${venue} ${symbol}`;
  if (!known.has(key)) known.set(key, read(key, { venue, symbol }));
  return known.get(key);
}

async function read(key, instrument) {
  let assets = { base: "", quote: "" };
  try {
    const [found] = (await get("/api/instruments", instrument)).instruments;
    if (found) assets = { base: found.base, quote: found.quote };
    return assets;
  } finally {
    if (!assets.base) known.delete(key); // later there may be
  }
}
