/** Times in the time zone that the viewer chose: UTC, this machine's, or any other. */

import { byId, element } from "./page.js";

const KEPT = "marketflow.zone";
const UTC = "UTC";
const LOCAL = "local";
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
export const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const two = (number) => String(number).padStart(2, "0");

/** A time zone. */
export class Zone {
  #format;
  #offsets = new Map(); // by quarter of an hour: offsets change at none but such times

  /** `name` is `UTC`, `local` or one of the IANA database; an unknown one is UTC. */
  constructor(name = UTC) {
    this.name = UTC;
    if (name === UTC) return;
    const timeZone = name === LOCAL ? undefined : name;
    const fields = { year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric", hourCycle: "h23" };
    try {
      this.#format = new Intl.DateTimeFormat("en-US", { timeZone, ...fields });
      this.name = name;
    } catch {
      return;
    }
  }

  /** Milliseconds that its clocks are ahead of UTC at a time, ms UTC. */
  offsetAt(time) {
    if (this.name === UTC) return 0;
    const quarter = Math.floor(time / (15 * MINUTE_MS));
    if (!this.#offsets.has(quarter)) this.#offsets.set(quarter, this.#offsetAt(quarter * 15 * MINUTE_MS));
    return this.#offsets.get(quarter);
  }

  #offsetAt(time) {
    const parts = this.#format.formatToParts(time).filter(({ type }) => type !== "literal");
    const { year, month, day, hour, minute, second } = Object.fromEntries(parts.map(({ type, value }) => [type, Number(value)]));
    return Date.UTC(year, month - 1, day, hour, minute, second) - time;
  }

  /** The fields of its clocks as those of a `Date` in UTC. */
  at(time) {
    return new Date(time + this.offsetAt(time));
  }

  /** As `UTC`, `UTC+2`, `UTC+5:30` at a time. */
  label(time) {
    const minutes = Math.round(this.offsetAt(time) / MINUTE_MS);
    if (!minutes) return UTC;
    const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
    return `${UTC}${minutes < 0 ? "-" : "+"}${hours}${rest ? `:${two(rest)}` : ""}`;
  }
}

let zone = new Zone();
const listeners = new Set();

const msOf = (time) => (typeof time === "number" ? time : Date.parse(time));
const dayOf = (date) => `${date.getUTCFullYear()}-${two(date.getUTCMonth() + 1)}-${two(date.getUTCDate())}`;

/** Time of day of milliseconds or an ISO-8601 text. */
export const clock = (time) => zone.at(msOf(time)).toISOString().slice(11, 19);

/** Day and minute of milliseconds; `isDay` for a period that is a day of UTC. */
export function minuteOf(time, isDay = false) {
  const date = isDay ? new Date(time) : zone.at(time);
  return isDay ? dayOf(date) : `${dayOf(date)} ${date.toISOString().slice(11, 16)}`;
}

/** Day and second of milliseconds or an ISO-8601 text, with the zone. */
export const momentOf = (time) => `${dayOf(zone.at(msOf(time)))} ${clock(time)} ${zoneLabel(msOf(time))}`;

/** The zone at a time, now by default. */
export const zoneLabel = (time = Date.now()) => zone.label(time);

/** What stands at a place of the time axis: what is new there, the year, the month, the day or the time. */
export function tickOf(time, isDay) {
  const [date, before] = isDay ? [new Date(time), new Date(time - DAY_MS)] : [zone.at(time), zone.at(time - 1)];
  if (!isDay && date.getUTCDate() === before.getUTCDate()) return date.toISOString().slice(11, 16);
  if (date.getUTCFullYear() !== before.getUTCFullYear()) return String(date.getUTCFullYear());
  if (date.getUTCMonth() !== before.getUTCMonth()) return MONTHS[date.getUTCMonth()];
  return `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}`;
}

/** Calls `work` when another zone was chosen. */
export function onZone(work) {
  listeners.add(work);
}

const optionOf = (value, text) => Object.assign(element("option", "", text), { value });

/** Takes the zone of the last visit. The list has that one alone until it is filled. */
export function openZones() {
  const list = byId("zone");
  zone = new Zone(localStorage.getItem(KEPT) ?? UTC);
  list.append(optionOf(zone.name, placeOf(zone.name)));
  list.onchange = () => {
    zone = new Zone(list.value);
    localStorage.setItem(KEPT, zone.name);
    for (const work of listeners) work();
  };
}

/** Fills the list of zones. */
export function fillZones() {
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "";
  const regions = Map.groupBy(Intl.supportedValuesOf("timeZone"), (name) => name.split("/")[0]);
  const groups = [...regions].map(([region, names]) => {
    const group = Object.assign(document.createElement("optgroup"), { label: region });
    group.append(...names.map((name) => optionOf(name, placeOf(name))));
    return group;
  });
  const list = byId("zone");
  list.replaceChildren(optionOf(UTC, UTC), optionOf(LOCAL, `this device${own ? `: ${placeOf(own)}` : ""}`), ...groups);
  list.value = zone.name;
}

const placeOf = (name) => name.split("/").slice(1).join(", ").replaceAll("_", " ") || name;
