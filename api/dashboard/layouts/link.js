/** A layout as a part of the address behind its `?`: what a link to the page brings besides its chart. */

import { parseLabel } from "../chart/indicators.js";
import { timeframeOf } from "../chart/timeframe.js";

const PANELS = ["watch", "book", "tape", "analysis"];
const OVERLAYS = ["profile", "vacuums", "footprint"];
const SCALES = ["linear", "logarithmic", "percent"];
const NAME = /^[A-Za-z0-9._-]{1,64}$/;
const MOST_CHARTS = 4;
const MOST_COMPARED = 5;
const MOST_LABELS = 12;

/**
 * The text of `{ count, active, charts, links, hidden, labels, overlays, scale }`: charts are `{ venue, symbol, timeframe,
 * compared }`, `hidden` the panels that are not shown.
 */
export function encodeLayout({ count, active, charts, links, hidden, labels, overlays, scale }) {
  const found = new URLSearchParams({ charts: count, active });
  for (const chart of charts.slice(0, count)) found.append("chart", [chart, ...chart.compared].map(nameOf).join(","));
  found.set("link", Object.keys(links).filter((name) => links[name]).join(","));
  found.set("hide", hidden.join(","));
  found.set("indicators", labels.join(","));
  found.set("overlays", overlays.join(","));
  found.set("scale", scale);
  return String(found).replaceAll("%2C", ",").replaceAll("%3A", ":");
}

/** The layout of a text, without what is none in it; null where it is no layout. */
export function decodeLayout(text) {
  const given = new URLSearchParams(text);
  const count = Number(given.get("charts"));
  if (![1, 2, 4].includes(count)) return null;
  const listOf = (name, isKnown) => (given.get(name) ?? "").split(",").filter(isKnown);
  const links = listOf("link", (name) => name === "symbol" || name === "time");
  const active = Number(given.get("active"));
  return {
    count,
    active: Number.isInteger(active) && active >= 0 && active < count ? active : 0,
    charts: given.getAll("chart").slice(0, MOST_CHARTS).map(chartOf).filter(Boolean),
    links: { symbol: links.includes("symbol"), time: links.includes("time") },
    hidden: listOf("hide", (name) => PANELS.includes(name)),
    labels: listOf("indicators", (label) => label && parseLabel(label)).slice(0, MOST_LABELS),
    overlays: listOf("overlays", (name) => OVERLAYS.includes(name)),
    scale: SCALES.includes(given.get("scale")) ? given.get("scale") : SCALES[0],
  };
}

const nameOf = ({ venue, symbol, timeframe }) => [venue, symbol, ...(timeframe ? [timeframe] : [])].join(":");

function chartOf(text) {
  const [first, ...others] = text.split(",").map((name) => name.split(":"));
  const isInstrument = ([venue, symbol]) => NAME.test(venue) && NAME.test(symbol ?? "");
  const timeframe = timeframeOf(first[2] ?? "");
  if (!isInstrument(first) || !timeframe) return null;
  const compared = others.filter(isInstrument).slice(0, MOST_COMPARED).map(([venue, symbol]) => ({ venue, symbol }));
  return { venue: first[0], symbol: first[1], timeframe, compared };
}
