/** The quality strip: completeness, equality with the exchange's candles, last incident, latency. */

import { byId, write } from "./page.js";
import { NONE, age, fixed, isBefore, share } from "./format.js";
import { get } from "./rest.js";
import { clock } from "./zone.js";

const LATENCIES = 200;
const MEASURED_MS = 5_000;

export class Quality {
  #focus = null;
  #latencies = [];
  #measuredAt = 0;
  #incident = null;

  choose(focus) {
    this.#focus = focus;
    this.#incident = null;
    for (const name of ["completeness", "equality", "incident"]) this.#say(name, "…", "");
  }

  /** Reads the quality of the chosen symbol from the API. */
  async refresh() {
    const focus = this.#focus;
    if (!focus) return;
    let quality;
    try {
      quality = await get("/api/quality", { symbol: focus.symbol, venue: focus.venue });
    } catch (error) {
      if (focus !== this.#focus) return;
      for (const name of ["completeness", "equality"]) this.#say(name, "unknown", "", error.message);
      return;
    }
    if (focus !== this.#focus) return;
    this.#paintTrades(quality.trades);
    this.#paintProofs(quality.series);
    const [incident] = quality.incidents;
    if (incident) this.onIncident(incident);
    else if (!this.#incident) this.#say("incident", "none", "good"); // the ledger is written later than the broadcast
  }

  /** Takes how long new prices took (broadcast/latency.js), ms. */
  takeLatencies(found) {
    if (!found.length) return;
    this.#measuredAt = performance.now();
    this.#latencies = [...this.#latencies, ...found].slice(-LATENCIES);
  }

  /** Old measurements, and those of data that is not current, are not shown. */
  paintLatency(isCurrent) {
    if (!isCurrent || performance.now() - this.#measuredAt > MEASURED_MS) this.#latencies = [];
    if (!this.#latencies.length) return this.#say("latency", NONE, "", "nothing has come lately to measure it by");
    const sorted = this.#latencies.toSorted((one, other) => one - other);
    const middle = sorted[sorted.length >> 1], late = sorted[Math.floor(sorted.length * 0.99)];
    const about = `99 of 100 within ${age(Math.max(0, late))}, exchange to broadcast`;
    this.#say("latency", age(Math.max(0, middle)), middle > 1_000 ? "warn" : "good", about);
  }

  onIncident(incident) {
    if (this.#incident && isBefore(incident.begin, this.#incident.begin)) return;
    this.#incident = incident;
    this.retime();
  }

  /** Writes the last incident again, as in another time zone. */
  retime() {
    const incident = this.#incident;
    if (!incident) return;
    const where = incident.symbol || incident.venue;
    const text = `${incident.kind} ${clock(incident.begin)} ${where}`;
    this.#say("incident", text, "", [incident.cause, incident.outcome].filter(Boolean).join(": "));
  }

  #paintTrades(trades) {
    const found = trades?.find(({ symbol }) => symbol === this.#focus.symbol);
    if (!found) return this.#say("completeness", trades ? "no trades yet" : "trades are not stored here", "");
    const about = `${fixed(found.held, 0)} of ${fixed(found.issued, 0)} trade ids of the last hour`;
    this.#say("completeness", share(found.completeness), found.completeness >= 1 ? "good" : "warn", about);
  }

  #paintProofs(series) {
    const sum = (name) => series.reduce((total, one) => total + (one.proofs[name] ?? 0), 0);
    const equal = sum("equal"), wrong = sum("ours wrong") + sum("theirs wrong"), told = sum("exchange's own");
    const more = told ? `${fixed(told, 0)} candles come from the exchange itself` : "";
    if (!equal && !wrong) return this.#say("equality", "nothing compared yet", "", more);
    const about = `${equal} of ${equal + wrong} compared candles are the exchange's own, field by field`;
    const text = `${share(equal / (equal + wrong))} of ${equal + wrong}`;
    this.#say("equality", text, wrong ? "warn" : "good", [about, more].filter(Boolean).join("; "));
  }

  #say(name, text, mood, about = "") {
    const shown = byId(name);
    write(shown, text);
    shown.dataset.mood = mood;
    shown.parentElement.title = about;
  }
}
