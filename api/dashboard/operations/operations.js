/** The page of operations: what is up, lines, rates, latency, queues, stores, budgets, and what went wrong. */

import { age, bytes, compact, fixed, NONE, share } from "../format.js";
import { byId, write } from "../page.js";
import { Incidents } from "../report/incidents.js";
import { get, getText } from "../rest.js";
import { openTheme } from "../theme.js";
import { momentOf, onZone, openZones } from "../zone.js";
import { samplesOf, sumsBy } from "./exposition.js";
import { Latency } from "./latency.js";
import { Series } from "./series.js";
import { Table } from "./tables.js";

const EVERY_MS = 5_000;
const INCIDENTS_MS = 30_000;
const FULL = 0.8; // of a queue or a budget, from which on it is a warning
const DISK_LEFT = 0.1; // of a disk, below which it is one

const tables = Object.fromEntries(["parts", "lines", "rates", "latencies", "queues", "stores", "disks", "budgets", "answers"].map((name) => [name, new Table(byId(name))]));
const series = new Series();
const latency = new Latency(new Series());

openZones();
openTheme(() => {});
const incidents = new Incidents();
byId("kind").onchange = chooseIncidents;
onZone(() => {
  incidents.paint();
  void look();
});

function chooseIncidents() {
  incidents.choose({ venue: "", symbol: "", kind: byId("kind").value });
}

/** What failed is said above all; the other panels are shown all the same. */
async function look() {
  const [status, own, flow] = await Promise.allSettled([get("/api/status"), getText("/metrics"), getText("/metrics/flow")]);
  const failed = [status, own].find((one) => one.status === "rejected");
  byId("missing").hidden = !failed;
  if (failed) write(byId("missing"), failed.reason.message);
  byId("no-flow").hidden = flow.status === "fulfilled";
  if (flow.status === "rejected") write(byId("no-flow"), `Queues, stores and budgets are not known: ${flow.reason.detail ?? flow.reason.message}`);
  const seconds = performance.now() / 1_000;
  if (status.status === "fulfilled") showStatus(status.value);
  if (own.status === "fulfilled") showOwn(samplesOf(own.value), seconds);
  showFlow(flow.status === "fulfilled" ? samplesOf(flow.value) : new Map(), seconds);
  write(byId("looked"), `as of ${momentOf(Date.now())}`);
}

const row = (key, head, cells, more = {}) => ({ key, head, cells, ...more });

function showStatus({ parts, lines, flows, instruments, missing }) {
  const states = Map.groupBy(instruments, ({ venue }) => venue);
  const flowRows = flows.map(({ venue, alive, heartbeat_ms_ago: silent, clock }) => {
    const all = states.get(venue) ?? [], current = all.filter(({ state }) => state === "live" || state === "quiet");
    const about = [`${current.length} of ${all.length} instruments current`, clock === "unsure" ? "clock unsure" : ""].filter(Boolean).join(", ");
    return row(`flow ${venue}`, `flow of ${venue}`, [alive ? "alive" : "no sign of life", `heartbeat ${age(silent)} ago`, about], { mood: alive && current.length === all.length ? "good" : "bad" });
  });
  tables.parts.show([
    ...parts.map(({ name, up, since, reason }) => row(name, name, [up ? "up" : "down", since ? `since ${momentOf(since)}` : "", up ? "" : reason], { mood: up ? "good" : "bad" })),
    ...flowRows,
  ]);
  tables.lines.show(lines.map(({ venue, line, state, symbols, reason }) => row(`${venue} ${line}`, `${line} of ${venue}`, [state, `${symbols.length} symbols`, reason], { mood: state === "live" ? "good" : "bad" })));
  byId("all-well").textContent = missing.length ? `${missing.length} missing or not current` : "everything is up and current";
  byId("all-well").dataset.mood = missing.length ? "warn" : "good";
  byId("all-well").title = missing.join("\n");
}

function showOwn(samples, seconds) {
  const rates = [...sumsBy(samples.get("market_data_updates_total"), "venue", "channel")].sort();
  tables.rates.show(rates.map(([name, count]) => {
    const rate = series.rate(`rate ${name}`, count, seconds);
    return row(name, name, [rate === null ? NONE : `${fixed(rate, 1)}/s`, compact(count)], { values: series.of(`rate ${name}`) });
  }));
  tables.latencies.show(latency.rows(samples));
  const answers = [...sumsBy(samples.get("market_data_api_answers_total"), "route", "status")];
  const byStatus = Map.groupBy(answers, ([name]) => `${name.at(-3)}xx`);
  tables.answers.show([...byStatus].sort().map(([status, all]) => {
    const count = all.reduce((sum, [, one]) => sum + one, 0), rate = series.rate(`answers ${status}`, count, seconds);
    const most = all.toSorted(([, one], [, other]) => other - one)[0][0];
    return row(status, `answers ${status}`, [rate === null ? NONE : `${fixed(rate, 1)}/s`, compact(count), `most: ${most}`], { mood: status === "5xx" && rate > 0 ? "bad" : "", values: series.of(`answers ${status}`) });
  }));
}

function showFlow(samples, seconds) {
  const capacities = sumsBy(samples.get("market_data_queue_capacity"), "queue", "venue");
  tables.queues.show([...sumsBy(samples.get("market_data_queue_depth"), "queue", "venue")].map(([name, waiting]) => {
    const most = capacities.get(name) ?? 0;
    return row(name, name, [fixed(waiting, 0), `of ${compact(most)}`], { ...filled(`queue ${name}`, waiting, most) });
  }));
  const isUp = sumsBy(samples.get("market_data_store_up"), "store");
  const errors = sumsBy(samples.get("market_data_storage_errors_total"), "store");
  tables.stores.show([...sumsBy(samples.get("market_data_storage_writes_total"), "store", "kind")].map(([name, count]) => {
    const store = name.split(" ")[0], rate = series.rate(`writes ${name}`, count, seconds);
    const cells = [rate === null ? NONE : `${fixed(rate, 1)}/s`, compact(count), `${fixed(errors.get(store) ?? 0, 0)} failed writes`];
    return row(name, name, cells, { mood: isUp.get(store) === 0 ? "bad" : "good", values: series.of(`writes ${name}`) });
  }));
  const sizes = sumsBy(samples.get("market_data_disk_size_bytes"), "folder");
  tables.disks.show([...sumsBy(samples.get("market_data_disk_free_bytes"), "folder")].map(([name, free]) => {
    const left = free / (sizes.get(name) || Infinity);
    return row(name, name, [`${bytes(free)} free`, `${share(left).replace(/\..*/, "").replace("%", "")}% of ${bytes(sizes.get(name))}`], { mood: left < DISK_LEFT ? "bad" : "good" });
  }));
  const limits = sumsBy(samples.get("market_data_request_weight_limit"), "venue"), banned = sumsBy(samples.get("market_data_banned_seconds"), "venue");
  const refused = sumsBy(samples.get("market_data_rate_limited_total"), "venue");
  tables.budgets.show([...sumsBy(samples.get("market_data_request_weight"), "venue")].map(([venue, used]) => {
    const most = limits.get(venue) ?? 0, ban = banned.get(venue) ?? 0;
    const cells = [fixed(used, 0), `of ${compact(most)}`, ban ? `banned for ${age(ban * 1_000)}` : `refused ${fixed(refused.get(venue) ?? 0, 0)} times`];
    return row(venue, venue, cells, { ...filled(`budget ${venue}`, used, most), ...(ban ? { mood: "bad" } : {}) });
  }));
}

/** Mood and chart of something that is used up to a bound. */
function filled(name, used, most) {
  series.take(name, used);
  return { mood: most && used / most >= FULL ? "warn" : "good", values: series.of(name), most };
}

/** Calls `work` now, and periodically while the page is visible. */
function every(ms, work) {
  void work();
  setInterval(() => document.hidden || work(), ms);
}

every(EVERY_MS, look);
every(INCIDENTS_MS, chooseIncidents);
