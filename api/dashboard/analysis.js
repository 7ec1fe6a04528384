/** The analysis of all timeframes as a table. */

import { byId, element, write } from "./page.js";
import { NONE, signed, wayOf } from "./format.js";
import { get } from "./rest.js";

const PLACES = 2;
const LEAN = 0.2; // as `LEAN` in api/analytics/analysis.py

export class Analysis {
  #focus = null;
  #known = null; // the focus of the last answer
  #reading = null; // that of the request under way

  /** Whether there was an answer for the chosen instrument. */
  get isKnown() {
    return this.#focus !== null && this.#known === this.#focus;
  }

  choose(focus) {
    this.#focus = focus;
    byId("readings").replaceChildren();
    this.#head("…", "", "");
  }

  async refresh() {
    const focus = this.#focus;
    if (!focus || focus === this.#reading) return;
    this.#reading = focus;
    let answer;
    try {
      answer = await get(`/api/analysis/${encodeURIComponent(focus.symbol)}`, { venue: focus.venue });
    } catch (error) {
      if (focus === this.#focus) this.#head(NONE, "", error.message);
      return;
    } finally {
      if (focus === this.#reading) this.#reading = null;
    }
    if (focus !== this.#focus) return;
    this.#known = focus;
    const { analysis, stale } = answer;
    const way = Math.abs(analysis.score ?? 0) < LEAN ? "" : wayOf(analysis.score);
    const sure = `score ${signed(analysis.score, PLACES)} · confidence ${Math.round(analysis.confidence * 100)}%`;
    this.#head(analysis.signal, way, stale ? `${sure} · stale` : sure);
    byId("readings").replaceChildren(...analysis.timeframes.map(rowOf));
  }

  #head(signal, way, about) {
    write(byId("signal"), signal);
    byId("signal").dataset.way = way;
    write(byId("confidence"), about);
  }
}

function rowOf(reading) {
  const row = element("tr", "", element("th", "", reading.timeframe));
  row.title = reading.reasons.join("\n");
  for (const name of ["trend", "momentum", "volume", "score"]) row.append(meter(reading[name], name === "score"));
  return row;
}

/** A score from -1 to +1 as a bar from the middle. */
function meter(score, strong) {
  const bar = element("i");
  bar.style.setProperty("--score", score ?? 0);
  bar.dataset.way = wayOf(score, PLACES);
  const number = element("span", strong ? "strong" : "", signed(score, PLACES));
  number.dataset.way = wayOf(score, PLACES);
  return element("td", "", element("div", "meter", bar), number);
}
