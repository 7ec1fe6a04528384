/** Horizontal lines of one chart that are moved by dragging: the viewer's own, and those of price alerts. */

import { precision } from "../format.js";
import { levels } from "./kept.js";

const LINE_PX = 5;

/** A price of the screen with the decimals of the instrument; null where there is none. */
export function priceAt({ canvas, focus }, y) {
  const { price } = canvas.placeAt(0, y);
  const shown = price === null ? null : Number(price.toFixed(precision.of(focus)));
  return shown > 0 ? shown : null;
}

/** Lines of a kind of the canvas. */
class PriceLines {
  /** `kind` of the canvas's lines. */
  constructor(chart, kind) {
    Object.assign(this, { chart, kind });
  }

  paint() {
    this.chart.canvas?.setRules(this.kind, this.lines());
  }

  hit(_, y, reach = 0) {
    const lines = this.lines();
    const index = lines.findLastIndex(({ price, isFixed }) => !isFixed && Math.abs(this.chart.canvas.yOf(price) - y) <= LINE_PX + reach);
    if (index < 0) return null;
    let moved = null;
    return {
      cursor: "ns-resize",
      take: () => {},
      move: (__, to) => {
        moved = priceAt(this.chart, to) ?? moved;
        if (moved !== null) this.chart.canvas.moveRule(this.kind, index, moved);
      },
      drop: () => moved !== null && this.moveTo(index, moved),
    };
  }
}

/** The viewer's own. */
export class Levels extends PriceLines {
  constructor(chart) {
    super(chart, "levels");
    levels.onChange(() => this.paint());
  }

  lines() {
    return levels.of(this.chart.focus).map((price) => ({ price }));
  }

  moveTo(index, price) {
    const others = levels.of(this.chart.focus).filter((_, each) => each !== index);
    keepLevels(this.chart.focus, [...others, price]);
  }
}

/** Keeps prices, each once, the highest first. */
export function keepLevels(focus, prices) {
  levels.set(focus, [...new Set(prices)].sort((one, other) => other - one));
}

/** Those of price alerts; a rule of the settings cannot be moved, and one that has fired for good is faint. */
export class AlertLines extends PriceLines {
  /** `rules` are those of the deployment. */
  constructor(chart, rules) {
    super(chart, "alerts");
    this.rules = rules;
    rules.onChange(() => this.paint());
  }

  #rules() {
    return this.chart.focus ? this.rules.ofPrice(this.chart.focus) : [];
  }

  lines() {
    return this.#rules().map((rule) => ({
      price: rule.price, title: titleOf(rule), isDashed: true, isFaint: this.rules.isOver(rule), isFixed: rule.origin !== "api",
    }));
  }

  /** Shows where one would be made; null: none. */
  preview(price) {
    if (!this.chart.canvas) return;
    const more = price === null ? [] : [{ price, title: "alert", isDashed: true }];
    this.chart.canvas.setRules(this.kind, [...this.lines(), ...more]);
  }

  moveTo(index, price) {
    const rule = this.#rules()[index];
    if (rule) void this.rules.move(rule, price);
  }
}

const titleOf = ({ kind }) => ({ price_above: "alert ↑", price_below: "alert ↓" })[kind] ?? "alert";
