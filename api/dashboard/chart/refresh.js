/** The candles of an instrument, fetched from the exchange again. */

import { note, sleep } from "../page.js";
import { get } from "../rest.js";

/** Requests the flow to fetch the candles again, and shows the result. */
export async function refresh({ venue, symbol }, ask) {
  let work = await ask(`/api/market-data/refresh/${encodeURIComponent(symbol)}?${new URLSearchParams({ venue })}`);
  note(`${symbol} is being fetched again`);
  while (work.state === "open" || work.state === "running") {
    await sleep(1_000);
    work = await get(`/api/requests/${work.id}`);
  }
  note(`${symbol}: ${work.report || work.state}`, { bad: work.state === "failed" });
}
