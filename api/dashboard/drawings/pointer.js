/** The pointer in a chart: it takes hold of what is drawn, and otherwise moves the chart. */

const FINGER_PX = 9; // a finger is less exact than a mouse

export class Pointer {
  #held = null;
  #stage;

  /** `layers` are asked in their order what there is at a place. `isFree()`: whether no tool is in use. */
  constructor(chart, layers, isFree) {
    Object.assign(this, { chart, layers, isFree });
    this.#stage = chart.parts.canvas;
    this.#stage.addEventListener("pointermove", (event) => this.#onMove(event), { capture: true });
    this.#stage.addEventListener("pointerdown", (event) => this.#onDown(event), { capture: true });
    for (const name of ["pointerup", "pointercancel"]) addEventListener(name, () => this.#drop());
  }

  #placeOf(event) {
    const box = this.#stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  #hit(event) {
    if (!this.chart.canvas || !this.chart.focus || !this.isFree() || event.altKey) return null;
    const [x, y] = this.#placeOf(event);
    const reach = event.pointerType === "touch" ? FINGER_PX : 0;
    for (const layer of this.layers) {
      const found = layer.hit(x, y, reach);
      if (found) return found;
    }
    return null;
  }

  #onMove(event) {
    if (this.#held) return this.#held.move(...this.#placeOf(event));
    if (event.buttons) return;
    this.#stage.dataset.cursor = this.#hit(event)?.cursor ?? "";
  }

  #onDown(event) {
    if (event.button) return;
    this.#held = this.#hit(event);
    if (!this.#held) return this.layers.forEach((layer) => layer.leave?.());
    this.chart.canvas.isFrozen = true;
    this.#held.take();
    this.#stage.dataset.cursor = this.#held.cursor;
  }

  #drop() {
    if (!this.#held) return;
    const held = this.#held;
    this.#held = null;
    this.chart.canvas.isFrozen = false;
    held.drop();
  }
}
