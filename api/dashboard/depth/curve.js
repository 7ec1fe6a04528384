/** The depth chart: what is offered up to each price, bids to the left and asks to the right of the middle. */

import { byId, coloursOf } from "../page.js";
import { compact, fixed } from "../format.js";

/** `[price, sum]` of levels, best first. */
export function sumsOf(levels) {
  let sum = 0;
  return levels.map(([price, quantity]) => [price, (sum += quantity)]);
}

/** How much of what is offered are bids, 0 to 1, of the levels within `share` of the middle; null where a side is empty. */
export function imbalanceOf(bids, asks, share = Infinity) {
  if (!bids.length || !asks.length) return null;
  const middle = (bids[0][0] + asks[0][0]) / 2;
  const near = (levels) => levels.filter(([price]) => Math.abs(price - middle) <= share * middle).reduce((sum, [, quantity]) => sum + quantity, 0);
  const [bought, sold] = [near(bids), near(asks)];
  return bought + sold ? bought / (bought + sold) : null;
}

const COLOURS = ["up", "down", "up-soft", "down-soft"];

export class Curve {
  #canvas = byId("depth");
  #size = { width: 0, height: 0 };
  #colours = null;

  /** `onSize()`: it has another size, none while it is hidden. Sizes are observed, as reading them costs a layout. */
  constructor(onSize) {
    new ResizeObserver(([{ contentRect }]) => {
      this.#size = contentRect;
      onSize();
    }).observe(this.#canvas);
  }

  /** Dark or light. */
  recolour() {
    this.#colours = null;
  }

  /** Draws it; nothing while it is hidden. */
  paint(bids, asks, decimals) {
    const { width, height } = this.#size;
    if (!width || !height) return;
    const scale = globalThis.devicePixelRatio || 1;
    Object.assign(this.#canvas, { width: Math.round(width * scale), height: Math.round(height * scale) });
    const context = this.#canvas.getContext("2d");
    context.scale(scale, scale);
    this.#canvas.setAttribute("aria-label", aboutOf(bids, asks, decimals));
    this.#colours ??= coloursOf(COLOURS);
    if (!bids.length || !asks.length) return;
    const middle = (bids[0][0] + asks[0][0]) / 2;
    const far = Math.max(middle - bids.at(-1)[0], asks.at(-1)[0] - middle) || 1;
    const [bought, sold] = [sumsOf(bids), sumsOf(asks)];
    const most = Math.max(bought.at(-1)[1], sold.at(-1)[1]);
    const x = (price) => width / 2 + ((price - middle) / far) * (width / 2);
    const y = (sum) => height - (sum / most) * (height - 4);
    const { up, down, "up-soft": upSoft, "down-soft": downSoft } = this.#colours;
    drawSide(context, bought.map(([price, sum]) => [x(price), y(sum)]), { edge: 0, height, line: up, area: upSoft });
    drawSide(context, sold.map(([price, sum]) => [x(price), y(sum)]), { edge: width, height, line: down, area: downSoft });
  }
}

/** Steps from the middle outwards, to the edge. */
function drawSide(context, points, { edge, height, line, area }) {
  context.beginPath();
  context.moveTo(points[0][0], height);
  let level = height;
  for (const [x, y] of points) {
    context.lineTo(x, level);
    context.lineTo(x, (level = y));
  }
  context.lineTo(edge, level);
  context.strokeStyle = line;
  context.lineWidth = 1.25;
  context.stroke();
  context.lineTo(edge, height);
  context.closePath();
  context.fillStyle = area;
  context.fill();
}

function aboutOf(bids, asks, decimals) {
  if (!bids.length || !asks.length) return "Depth: not known";
  const side = (name, levels) => `${compact(sumsOf(levels).at(-1)[1])} ${name} to ${fixed(levels.at(-1)[0], decimals)}`;
  return `Depth: ${side("bids down", bids)}, ${side("asks up", asks)}`;
}
