/** Prometheus' text format. Pure. */

const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)(?: -?\d+)?$/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)",?/g;
const ESCAPES = { "\\n": "\n", "\\\\": "\\", '\\"': '"' };
const NUMBERS = { "+Inf": Infinity, "-Inf": -Infinity, NaN };

/** The samples of a text by name, each `{ labels, value }`; lines that are none are left out. */
export function samplesOf(text) {
  const found = new Map();
  for (const line of text.split("\n")) {
    const [, name, labels = "", number] = line.startsWith("#") ? [] : (SAMPLE.exec(line) ?? []);
    if (!name) continue;
    const value = NUMBERS[number] ?? Number(number);
    if (!found.has(name)) found.set(name, []);
    found.get(name).push({ labels: labelsOf(labels), value });
  }
  return found;
}

function labelsOf(text) {
  const labels = {};
  for (const [, name, value] of text.matchAll(LABEL)) labels[name] = value.replace(/\\[n\\"]/g, (escape) => ESCAPES[escape]);
  return labels;
}

/** Sums of a metric by labels, as `{ "binance market": 3 }` by `venue` and `line`. */
export function sumsBy(samples, ...names) {
  const sums = new Map();
  for (const { labels, value } of samples ?? []) {
    const key = names.map((name) => labels[name] ?? "").join(" ").trim();
    sums.set(key, (sums.get(key) ?? 0) + value);
  }
  return sums;
}

/** Which value a share of what a histogram counted between two looks does not exceed, by its buckets `[bound, count]` cumulated; null of nothing. */
export function quantileOf(buckets, before, share) {
  const counted = buckets.map(([bound, count]) => [bound, count - (before.get(bound) ?? 0)]).sort(([one], [other]) => one - other);
  const whole = counted.at(-1)?.[1] ?? 0;
  if (!(whole > 0)) return null;
  let low = 0, below = 0;
  for (const [bound, count] of counted) {
    if (count >= share * whole) {
      if (bound === Infinity) return low;
      return low + (bound - low) * (count > below ? (share * whole - below) / (count - below) : 1);
    }
    [low, below] = [bound, count];
  }
  return low;
}
