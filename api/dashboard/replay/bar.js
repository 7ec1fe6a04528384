/** The bar of a replay: position, speed, pause and faults of the exchange that is played. */

import { byId, element, note, noteError, write } from "../page.js";
import { get, post, remove } from "../rest.js";
import { momentOf } from "../zone.js";

const EVERY_MS = 2_000;
const SPEEDS = [0.1, 0.5, 1, 2, 5, 10, 60, 600];

/** Milliseconds as `1:02:03`. */
export function lasting(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  const two = (number) => String(number).padStart(2, "0");
  return `${Math.floor(seconds / 3_600)}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
}

/** What the exchanges of all venues say together: that of the first which answers; null where none does. */
export function togetherOf(replays) {
  const reached = replays.filter((one) => one.reached);
  if (!reached.length) return null;
  return { ...reached[0], paused: reached.every(({ paused }) => paused), faults: reached.flatMap(({ venue, faults }) => faults.map((fault) => ({ venue, ...fault }))) };
}

export class ReplayBar {
  #timer = null;
  #state = null;
  #speeds = "";
  #hasKinds = false;
  #isBusy = false;

  constructor() {
    byId("replay-pause").onclick = () => void this.#change({ paused: !this.#state?.paused });
    byId("replay-speed").onchange = () => void this.#change({ speed: Number(byId("replay-speed").value) });
    byId("replay-pace").onsubmit = (event) => event.preventDefault();
    byId("replay-faults").addEventListener("toggle", ({ newState }) => newState === "open" && void this.#readKinds());
    byId("faults-end").onclick = () => void this.#act(() => remove("/api/replay/faults"), "all faults have ended");
    byId("order-fault").onsubmit = (event) => {
      event.preventDefault();
      void this.#order();
    };
  }

  /** Data is played: shows the bar where the exchange can be reached from here. */
  open() {
    if (this.#timer !== null) return;
    this.#timer = setInterval(() => document.hidden || void this.#read(), EVERY_MS);
    void this.#read();
  }

  async #read() {
    if (this.#isBusy) return;
    try {
      this.#paint(await get("/api/replay"));
    } catch {
      return; // the page says that nothing is reached
    }
  }

  async #act(work, done = "") {
    this.#isBusy = true;
    try {
      this.#paint(await work());
      if (done) note(done);
    } catch (error) {
      noteError(error);
    } finally {
      this.#isBusy = false;
    }
  }

  #change = (changes) => this.#act(() => post("/api/replay", changes));

  async #order() {
    let order;
    try {
      order = JSON.parse(byId("fault-order").value);
    } catch (error) {
      return note("the order is not JSON", { bad: true, about: error.message });
    }
    await this.#act(() => post("/api/replay/faults", { order }), `${order?.fault} is ordered`);
  }

  async #readKinds() {
    if (this.#hasKinds) return;
    try {
      const kinds = await get("/api/replay/faults");
      this.#hasKinds = true;
      byId("fault-kind").replaceChildren(...kinds.map(({ name }) => element("option", "", name)));
      byId("fault-kind").onchange = () => {
        const { summary, example } = kinds.find(({ name }) => name === byId("fault-kind").value);
        write(byId("fault-about"), summary);
        byId("fault-order").value = JSON.stringify(example, null, 1);
      };
      byId("fault-kind").onchange();
    } catch (error) {
      noteError(error);
    }
  }

  #paint(replays) {
    const state = (this.#state = togetherOf(replays));
    byId("replay").hidden = !replays.length;
    for (const id of ["replay-pause", "replay-speed", "replay-faults-open"]) byId(id).disabled = !state;
    if (!state) return write(byId("replay-state"), "the replay exchange does not answer");
    const lost = replays.filter(({ reached }) => !reached).map(({ venue }) => venue);
    write(byId("replay-state"), lost.length ? `does not answer: ${lost.join(", ")}` : state.finished ? "at its end" : state.paused ? "paused" : "");
    write(byId("replay-pause"), state.paused ? "Resume" : "Pause");
    byId("replay-pause").setAttribute("aria-pressed", String(state.paused));
    write(byId("replay-moment"), momentOf(state.now));
    write(byId("replay-lasting"), lasting(state.now - state.begin));
    byId("replay-position").title = state.plays;
    this.#paintSpeed(state.speed);
    const { faults } = state;
    write(byId("replay-faults-open"), faults.length ? `Faults (${faults.length})` : "Faults…");
    byId("faults-on").replaceChildren(...(faults.length ? faults : [null]).map(rowOf));
    byId("faults-end").disabled = !faults.length;
  }

  /** The speed that it has is among the choices, whatever it is. */
  #paintSpeed(speed) {
    byId("replay-pace").hidden = speed === null;
    const speeds = [...new Set([...SPEEDS, speed])].filter((one) => one > 0).sort((one, other) => one - other);
    if (this.#speeds !== speeds.join()) {
      this.#speeds = speeds.join();
      byId("replay-speed").replaceChildren(...speeds.map((one) => Object.assign(element("option", "", `${one}× speed`), { value: one })));
    }
    if (document.activeElement !== byId("replay-speed")) byId("replay-speed").value = speed;
  }
}

function rowOf(fault) {
  if (!fault) return element("li", "", "none");
  const { venue, fault: name, left, ...rest } = fault;
  return element("li", "", element("b", "", name), ` at ${venue}, ${left ?? "until it is ended"} ${left == null ? "" : "left"} ${JSON.stringify(rest)}`);
}
