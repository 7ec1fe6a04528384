/** The page of quality: what is recorded, what went wrong, what is compared, and what is proven at all. */

import { entryOf } from "../capabilities.js";
import { samplesOf } from "../operations/exposition.js";
import { Latency } from "../operations/latency.js";
import { Series } from "../operations/series.js";
import { Table } from "../operations/tables.js";
import { byId, element, write } from "../page.js";
import { get, getText } from "../rest.js";
import { openTheme } from "../theme.js";
import { onZone, openZones } from "../zone.js";
import { HOURS, tableOf } from "./days.js";
import { Incidents } from "./incidents.js";
import { rowOf, sumsOf } from "./proofs.js";

const CANDLES_AT_ONCE = 20_000; // of one answer with several charts
const DAY_MS = 86_400_000;
const EVERY_MS = 60_000;
const LATENCY_MS = 5_000;

let instruments = []; // { venue, symbol }, all that are recorded
let series = []; // with the candles of an hour of each
let chosenDay = null;

openZones();
openTheme(() => {});
const incidents = new Incidents();
const latency = new Latency(new Series());
const latencies = new Table(byId("latencies"));

const chosen = () => ({ venue: byId("of-venue").value, symbol: byId("of-symbol").value });
const venuesOf = (list) => [...new Set(list.map(({ venue }) => venue))].sort();
const isMeant = ({ venue, symbol }) => {
  const wanted = chosen();
  return (!wanted.venue || venue === wanted.venue) && (!wanted.symbol || symbol === wanted.symbol);
};

/** Runs work whose failure is shown above all; what was read before stays. */
async function shown(work) {
  try {
    await work();
    byId("missing").hidden = true;
  } catch (error) {
    byId("missing").hidden = false;
    write(byId("missing"), error.message);
  }
}

function fill(list, values, all) {
  const before = list.value;
  const options = ["", ...values].map((value) => Object.assign(element("option", "", value || all), { value }));
  list.replaceChildren(...options);
  list.value = values.includes(before) ? before : "";
}

async function readInstruments() {
  const states = await get("/api/symbols");
  instruments = states.filter(({ followed, wanted }) => followed || wanted).map(({ venue, symbol }) => ({ venue, symbol }));
  fill(byId("of-venue"), venuesOf(instruments), "all venues");
  fillSymbols();
}

function fillSymbols() {
  const { venue } = chosen();
  const ofVenue = instruments.filter((one) => !venue || one.venue === venue);
  fill(byId("of-symbol"), [...new Set(ofVenue.map(({ symbol }) => symbol))].sort(), "all symbols");
}

async function readDays() {
  const batch = Math.floor(CANDLES_AT_ONCE / HOURS);
  const found = [];
  for (const venue of venuesOf(instruments)) {
    const symbols = instruments.filter((one) => one.venue === venue).map(({ symbol }) => symbol);
    for (let place = 0; place < symbols.length; place += batch) {
      const query = { venue, symbols: symbols.slice(place, place + batch), timeframes: "1h", limit: HOURS };
      found.push(...(await get("/api/charts", query)));
    }
  }
  const isFirst = !series.length;
  series = found;
  paintDays();
  if (isFirst) byId("days").scrollLeft = byId("days").scrollWidth; // the newest days are those at the right
}

function paintDays() {
  const meant = series.filter(isMeant);
  const table = tableOf(meant, { chosen: chosenDay, onDay: chooseDay });
  byId("days").replaceChildren(meant.length ? table : element("p", "", "No symbol is recorded yet."));
}

/** The incidents of a day of a symbol; the same one again: of all. */
function chooseDay({ venue, symbol, day }) {
  const isAgain = chosenDay && chosenDay.venue === venue && chosenDay.symbol === symbol && chosenDay.day === day;
  chosenDay = isAgain ? null : { venue, symbol, day };
  const text = isAgain ? "" : new Date(day).toISOString().slice(0, 10);
  byId("from").value = byId("to").value = text;
  paintDays();
  chooseIncidents();
}

function chooseIncidents() {
  const { venue, symbol } = chosenDay ?? chosen();
  const [from, to] = [byId("from").valueAsNumber, byId("to").valueAsNumber];
  incidents.choose({
    venue, symbol, kind: byId("kind").value,
    start: Number.isNaN(from) ? "" : from, end: Number.isNaN(to) ? "" : to + DAY_MS,
  });
}

async function readProofs() {
  const { venue, symbol } = chosen();
  const meant = instruments.filter((one) => isMeant(one));
  const found = [];
  for (const one of venuesOf(meant)) found.push(await get("/api/quality", { venue: one, symbol }));
  const current = chosen();
  if (current.venue !== venue || current.symbol !== symbol) return;
  const sums = sumsOf(found.flatMap((each) => each.series));
  byId("proofs").replaceChildren(...sums.map(rowOf));
  write(byId("proofs-state"), sums.length ? "" : "no candles are stored yet");
}

async function readCapabilities() {
  const found = await get("/api/quality/capabilities", { venue: chosen().venue });
  byId("venues").replaceChildren(
    ...found.map(({ venue, capabilities }) => element("div", "", element("h3", "", venue), ...capabilities.map(entryOf))),
  );
}

async function readLatency() {
  try {
    const rows = latency.rows(samplesOf(await getText("/metrics")), chosen().venue);
    latencies.show(rows);
    write(byId("latency-state"), rows.length ? "" : "nothing came yet");
  } catch (error) {
    write(byId("latency-state"), error.message);
  }
}

function chooseAll() {
  chosenDay = null;
  paintDays();
  chooseIncidents();
  void shown(readProofs);
  void shown(readCapabilities);
  void readLatency();
}

byId("of-venue").onchange = () => {
  fillSymbols();
  chooseAll();
};
byId("of-symbol").onchange = () => {
  const owners = instruments.filter(({ symbol }) => symbol === byId("of-symbol").value);
  if (!byId("of-venue").value && owners.length > 1) byId("of-venue").value = owners[0].venue; // a name alone would be ambiguous
  chooseAll();
};
for (const id of ["kind", "from", "to"]) byId(id).onchange = chooseIncidents;
byId("clear").onclick = () => {
  byId("kind").value = byId("from").value = byId("to").value = "";
  chosenDay = null;
  paintDays();
  chooseIncidents();
};
for (const id of ["choice", "filter"]) byId(id).onsubmit = (event) => event.preventDefault();
onZone(() => incidents.paint());

async function readAll() {
  await shown(async () => {
    await readInstruments();
    await Promise.all([readDays(), readProofs(), readCapabilities()]);
  });
}

setInterval(() => document.hidden || readAll(), EVERY_MS);
setInterval(() => document.hidden || readLatency(), LATENCY_MS);
void readLatency();
chooseIncidents();
await readAll();
