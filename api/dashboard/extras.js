/** What is drawn in the charts besides candles: indicators and overlays, by buttons and the dialog of tools. The browser keeps it. */

import { parseLabel } from "./chart/indicators.js";
import { byId } from "./page.js";

const KEPT = "marketflow.extras";
const KEPT_LABELS = "marketflow.indicators";
const KEPT_PROFILE = "marketflow.profile";
const USUAL_LABELS = ["ema:20", "ema:50"];
const MOST_LABELS = 12;

export class Extras {
  #on = new Set(JSON.parse(localStorage.getItem(KEPT) ?? "[]"));
  #labels = new Set((JSON.parse(localStorage.getItem(KEPT_LABELS) ?? "null") ?? USUAL_LABELS).filter(parseLabel));
  #listeners = new Set();

  constructor() {
    for (const button of this.#buttons("labels")) button.onclick = () => this.#toggleLabels(button.dataset.labels.split(" "));
    for (const button of this.#buttons("extra")) button.onclick = () => this.#toggle(button.dataset.extra);
    this.#paintButtons();
  }

  /** Calls `work` when something else is to be drawn. */
  onChange(work) {
    this.#listeners.add(work);
  }

  /** The indicators, with their parameters, as `macd:12:26:9`. */
  get labels() {
    return [...this.#labels];
  }

  /** The overlays. */
  get overlays() {
    return [...this.#on];
  }

  isOn(name) {
    return this.#on.has(name);
  }

  /** What the volume profile is of: `view`, or `day`, the last 24 hours. */
  get profileOf() {
    return localStorage.getItem(KEPT_PROFILE) === "day" ? "day" : "view";
  }

  set profileOf(span) {
    localStorage.setItem(KEPT_PROFILE, span);
    this.#keep();
  }

  /** Draws exactly these; what is wrong of them is left out. */
  set({ labels, overlays }) {
    this.#on = new Set(overlays);
    this.#keepLabels(labels.filter(parseLabel));
  }

  add(label) {
    const parsed = parseLabel(label);
    if (parsed) this.#keepLabels([...this.#labels, [parsed.name, ...parsed.values].join(":")]);
  }

  drop(label) {
    this.#keepLabels([...this.#labels].filter((one) => one !== label));
  }

  /** Shows at its button why an overlay is not drawn; with "" that it is. */
  say(name, why) {
    for (const button of this.#buttons("extra").filter(({ dataset }) => dataset.extra === name)) {
      button.classList.toggle("failed", Boolean(why) && this.#on.has(name));
      button.title = why || button.dataset.about;
    }
  }

  #buttons(kind) {
    return [...byId("extras").querySelectorAll(`[data-${kind}]`)];
  }

  #toggle(name) {
    if (!this.#on.delete(name)) this.#on.add(name);
    this.#keep();
  }

  #toggleLabels(labels) {
    const has = labels.every((label) => this.#labels.has(label));
    this.#keepLabels(has ? [...this.#labels].filter((one) => !labels.includes(one)) : [...this.#labels, ...labels]);
  }

  #keepLabels(labels) {
    this.#labels = new Set(labels.slice(-MOST_LABELS));
    this.#keep();
  }

  #keep() {
    localStorage.setItem(KEPT, JSON.stringify([...this.#on]));
    localStorage.setItem(KEPT_LABELS, JSON.stringify([...this.#labels]));
    this.#paintButtons();
    for (const work of this.#listeners) work();
  }

  #paintButtons() {
    for (const button of this.#buttons("labels")) {
      const isOn = button.dataset.labels.split(" ").every((label) => this.#labels.has(label));
      button.setAttribute("aria-pressed", String(isOn));
    }
    for (const button of this.#buttons("extra")) button.setAttribute("aria-pressed", String(this.#on.has(button.dataset.extra)));
  }
}

/** As people read it: `MACD 12 26 9`. */
export function nameOf(label) {
  const { name, values } = parseLabel(label);
  return `${name.toUpperCase()} ${values.join(" ")}`.trim();
}
