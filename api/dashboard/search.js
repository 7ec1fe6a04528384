/** Search over all instruments of all venues: a list below the field, to go to what is recorded, and to add the rest. */

import { byId, element, noteError } from "./page.js";
import { get } from "./rest.js";

const MOST_READ = 10_000;
const MOST_SHOWN = 40;
const KEPT_MS = 300_000; // venues list new ones now and then

/** How well a text names an instrument, the least is best; Infinity where it does not. */
export function distanceOf({ symbol, base = "" }, text) {
  const [name, wanted] = [symbol.toUpperCase(), text.toUpperCase().replace(/[\s/]/g, "")];
  const plain = name.replace(/[-/_]/g, "");
  if (name === wanted || plain === wanted) return 0;
  if (base?.toUpperCase() === wanted) return 1;
  if (name.startsWith(wanted) || plain.startsWith(wanted)) return 2;
  return name.includes(wanted) || plain.includes(wanted) ? 3 : Infinity;
}

/** The best of them for a text, recorded ones first. */
export function bestOf(instruments, text, most = MOST_SHOWN) {
  const rank = ({ one, distance }) => [one.followed ? 0 : 1, distance, one.symbol.length, one.symbol, one.venue];
  const found = instruments.map((one) => ({ one, distance: distanceOf(one, text) })).filter(({ distance }) => distance < Infinity);
  return found.sort((left, right) => compare(rank(left), rank(right))).slice(0, most).map(({ one }) => one);
}

function compare(left, right) {
  const place = left.findIndex((value, index) => value !== right[index]);
  return place < 0 ? 0 : left[place] < right[place] ? -1 : 1;
}

export class Search {
  #instruments = [];
  #readAt = -Infinity;
  #shown = [];
  #active = -1;
  #isVain = false; // whether what is typed is listed nowhere
  #field = byId("add-symbol");
  #list = byId("found");

  /** `onChoose(instrument)`; its `followed` says whether it is recorded. `isRecorded(instrument)` is as the list knows it. */
  constructor({ onChoose, isRecorded }) {
    this.onChoose = onChoose;
    this.isRecorded = isRecorded;
    this.#field.onfocus = () => void this.#read();
    this.#field.oninput = () => this.#paint();
    this.#field.onblur = () => this.close();
    this.#field.onkeydown = (event) => this.#onKey(event);
    this.#list.onpointerdown = (event) => event.preventDefault(); // the field keeps the focus
  }

  /** Looks for a text. */
  look(text) {
    this.#field.value = text;
    this.#field.focus();
    this.#paint();
  }

  close() {
    this.#isVain = false;
    this.#shown = [];
    this.#active = -1;
    this.#show();
  }

  async #read() {
    if (performance.now() - this.#readAt < KEPT_MS) return;
    this.#readAt = performance.now();
    try {
      this.#instruments = (await get("/api/instruments", { limit: MOST_READ })).instruments;
      if (document.activeElement === this.#field) this.#paint();
    } catch (error) {
      this.#readAt = -Infinity;
      noteError(error);
    }
  }

  #paint() {
    const text = this.#field.value.trim();
    const known = this.#instruments.map((one) => ({ ...one, followed: this.isRecorded(one) }));
    this.#shown = text ? bestOf(known, text) : [];
    this.#isVain = Boolean(text && known.length && !this.#shown.length);
    this.#active = -1;
    this.#show();
  }

  #show() {
    const options = this.#shown.map((one, index) => optionOf(one, index, () => this.#choose(one)));
    if (this.#isVain) options.push(vain());
    this.#list.replaceChildren(...options);
    this.#list.hidden = !options.length;
    this.#field.setAttribute("aria-expanded", String(options.length > 0));
    this.#mark();
  }

  #mark() {
    [...this.#list.children].forEach((option, index) => option.setAttribute("aria-selected", String(index === this.#active)));
    const option = this.#list.children[this.#active];
    if (option) this.#field.setAttribute("aria-activedescendant", option.id);
    else this.#field.removeAttribute("aria-activedescendant");
    option?.scrollIntoView({ block: "nearest" });
  }

  #onKey(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") {
      if (this.#shown.length || this.#isVain) this.close();
      else this.#field.blur();
    } else if (step && this.#shown.length) {
      this.#active = (this.#active + step + this.#shown.length) % this.#shown.length;
      this.#mark();
    } else if (event.key === "Enter" && this.#active >= 0) {
      this.#choose(this.#shown[this.#active]);
    } else {
      return;
    }
    event.preventDefault();
  }

  #choose(instrument) {
    this.#field.value = "";
    this.close();
    this.#field.blur();
    this.onChoose(instrument);
  }
}

function vain() {
  const option = element("li", "", element("small", "", "no venue that is followed lists it"));
  option.setAttribute("role", "option");
  option.setAttribute("aria-disabled", "true");
  return option;
}

function optionOf({ symbol, venue, followed, status }, index, choose) {
  const state = followed ? "recorded" : status === "TRADING" ? "add" : status.toLowerCase();
  const option = element("li", "", element("b", "", symbol), element("small", "", venue), element("small", "state", state));
  option.id = `found-${index}`;
  option.setAttribute("role", "option");
  option.onclick = choose;
  return option;
}
