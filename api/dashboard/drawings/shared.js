/**
 * Lines in a link: horizontal and trend lines of the shown instruments. What a link brings is another person's text: it is
 * bounded, anything that is no line is left out, and the viewer's own lines stay as they are.
 */

import { levels, trends } from "./kept.js";
import { agreed, note } from "../page.js";

const MOST = 20; // of a kind and instrument in a link
const MOST_INSTRUMENTS = 4;
const NAME = /^[A-Za-z0-9._-]{1,64}$/;
const NUMBER = /^-?\d{1,15}(\.\d{1,12})?$/;
const TIME = /^\d{1,13}$/;
const FIELDS = 4; // of a trend line: time and price of both ends

/** The parts of a link, `draw` for each of some instruments that have lines; the newest lines of each kind. */
export function encodeDrawings(instruments) {
  const found = instruments.map((one) => [one, levels.of(one).slice(-MOST), trends.of(one).slice(-MOST)]);
  return found.filter(([, prices, lines]) => prices.length || lines.length).slice(0, MOST_INSTRUMENTS).map(([{ venue, symbol }, prices, lines]) => {
    const ofTrend = ({ from, to, isRay }) => [from.time, plain(from.price), to.time, plain(to.price), ...(isRay ? ["r"] : [])].join("~");
    return `draw=${[`${venue}:${symbol}`, ...prices.map(plain), ...lines.map(ofTrend)].join(",")}`;
  });
}

/** Without an exponent, which `NUMBER` does not read. */
const plain = (price) => (/e/.test(String(price)) ? price.toFixed(12) : String(price));

/** `[{ venue, symbol, levels, trends }]` of the part of a link behind its `?`. */
export function decodeDrawings(text) {
  return new URLSearchParams(text).getAll("draw").slice(0, MOST_INSTRUMENTS).map(partOf).filter(Boolean);
}

function partOf(text) {
  const [name, ...items] = text.split(",").slice(0, 1 + 2 * MOST);
  const [venue, symbol = "", ...more] = name.split(":");
  if (more.length || !NAME.test(venue) || !NAME.test(symbol)) return null;
  const prices = items.filter((item) => NUMBER.test(item)).map(Number).filter((price) => price > 0);
  const lines = items.map(trendOf).filter(Boolean);
  const found = { venue, symbol, levels: [...new Set(prices)].slice(0, MOST), trends: lines.slice(0, MOST) };
  return found.levels.length || found.trends.length ? found : null;
}

function trendOf(item) {
  const fields = item.split("~");
  const [begin, low, end, high, ray] = fields;
  if (fields.length < FIELDS || fields.length > FIELDS + 1 || (ray !== undefined && ray !== "r")) return null;
  if (![begin, end].every((time) => TIME.test(time)) || ![low, high].every((price) => NUMBER.test(price))) return null;
  return { from: { time: Number(begin), price: Number(low) }, to: { time: Number(end), price: Number(high) }, isRay: ray === "r" };
}

/**
 * Adds the lines of a link: where the viewer has none at once, with a way back, where there are own ones after a question.
 * Own lines stay; what has no room beside them is left out.
 */
export async function takeDrawings(found) {
  const news = found.map(newOf).filter(({ levels: prices, trends: lines }) => prices.length || lines.length);
  if (!news.length) return;
  const text = news.map(({ symbol, levels: prices, trends: lines }) => `${countOf(prices.length + lines.length)} of ${symbol}`).join(", ");
  const own = news.filter((one) => levels.of(one).length || trends.of(one).length);
  if (own.length) {
    const names = own.map(({ symbol }) => symbol).join(", ");
    const isWanted = await agreed({ title: "Lines of the link", text: `The link brings ${text}. You have lines of your own there (${names}): they stay, and these come beside them.`, action: "Add them" });
    if (!isWanted) return;
  }
  for (const one of news) add(one);
  const undo = () => {
    for (const one of news) drop(one);
  };
  note(`the link brought ${text}`, { action: { text: "Take them away", run: undo } });
}

const countOf = (count) => `${count} ${count === 1 ? "line" : "lines"}`;
const sameAs = (line) => JSON.stringify([line.from.time, line.from.price, line.to.time, line.to.price, Boolean(line.isRay)]);

/** What of a link the viewer has not, as far as there is room. */
function newOf(given) {
  const own = new Set(trends.of(given).map(sameAs));
  const prices = given.levels.filter((price) => !levels.of(given).includes(price)).slice(0, levels.most - levels.of(given).length);
  const lines = given.trends.filter((line) => !own.has(sameAs(line))).slice(0, trends.most - trends.of(given).length);
  return { ...given, levels: prices, trends: lines };
}

function add(given) {
  if (given.levels.length) levels.set(given, [...levels.of(given), ...given.levels].sort((one, other) => other - one));
  if (given.trends.length) trends.set(given, [...trends.of(given), ...given.trends]);
}

function drop(given) {
  const gone = new Set(given.trends.map(sameAs));
  levels.set(given, levels.of(given).filter((price) => !given.levels.includes(price)));
  trends.set(given, trends.of(given).filter((line) => !gone.has(sameAs(line))));
}
