/**
 * Indicators of all loaded candles, by the formulas of the REST API (api/analytics/indicators.py, TA-Lib): here too, as a
 * chart shows them of every candle and with every price. `delta` and `cvd` are the page's alone. Those that are `isTraded`
 * need what takers bought and the quote volume of each candle (chart/traded.js).
 *
 * Values are null where they are not defined. An average that goes on for ever begins with the simple one; until that has
 * faded the value would depend on how much is loaded, so `settle` candles precede the first one that is shown.
 */

const FADED = 1e-3; // weight of an average's begin below which it is not seen
const DAY_MS = 86_400_000;
const KEPT_SHORT = 1e-12; // of the largest value: what is left of a sum by rounding

const period = (least, usual) => ({ name: "period", least, most: 500, usual });

/** By name: outputs, parameters, `isPrice` where it is drawn over the candles, `settle(…parameters)` in candles. */
export const INDICATORS = {
  sma: { about: "simple average", outputs: ["sma"], parameters: [period(2, 20)], isPrice: true, settle: span },
  ema: { about: "exponential average", outputs: ["ema"], parameters: [period(2, 20)], isPrice: true, settle: emaSettle },
  wma: { about: "weighted average", outputs: ["wma"], parameters: [period(2, 20)], isPrice: true, settle: span },
  bbands: {
    about: "Bollinger bands", outputs: ["upper", "middle", "lower"], isPrice: true, settle: span,
    parameters: [period(2, 20), { name: "width", least: 0.1, most: 10, usual: 2, step: 0.1 }],
  },
  macd: {
    about: "fast less slow average", outputs: ["macd", "signal", "histogram"],
    settle: (fast, slow, signal) => emaSettle(Math.max(fast, slow)) + emaSettle(signal),
    parameters: [{ ...period(2, 12), name: "fast" }, { ...period(2, 26), name: "slow" }, { ...period(2, 9), name: "signal" }],
  },
  rsi: { about: "relative strength", outputs: ["rsi"], parameters: [period(2, 14)], settle: wilderSettle },
  stoch: {
    about: "place in the range", outputs: ["k", "d"], settle: (range, smooth, signal) => range + smooth + signal - 3,
    parameters: [period(2, 14), { ...period(1, 3), name: "smooth" }, { ...period(1, 3), name: "signal" }],
  },
  atr: { about: "average true range", outputs: ["atr"], parameters: [period(2, 14)], settle: wilderSettle },
  obv: { about: "volume on balance", outputs: ["obv"], parameters: [], settle: () => 0 },
  vwap: {
    about: "mean price by volume since midnight UTC", outputs: ["vwap"], parameters: [], settle: () => 0,
    isPrice: true, isTraded: true, isOfDay: true,
  },
  delta: { about: "bought less sold by takers", outputs: ["delta"], parameters: [], settle: () => 0, isTraded: true },
  cvd: {
    about: "cumulative delta since midnight UTC; of days, since New Year", outputs: ["cvd"], parameters: [], settle: () => 0,
    isTraded: true, isOfDay: true,
  },
};

/** `{ name, values }` of a label as `macd:12:26:9`, parameters that are left out with their usual value; null for a wrong one. */
export function parseLabel(label) {
  const [name, ...given] = label.split(":");
  const indicator = INDICATORS[name];
  if (!indicator || given.length > indicator.parameters.length) return null;
  const values = indicator.parameters.map(({ usual }, index) => (given[index] === undefined ? usual : Number(given[index])));
  const isRight = ({ least, most, step }, index) => values[index] >= least && values[index] <= most && (step || Number.isInteger(values[index]));
  return indicator.parameters.every(isRight) ? { name, values } : null;
}

/** Candles that precede the first value that does not depend on where the candles begin. */
export const settleOf = ({ name, values }) => INDICATORS[name].settle(...values);

/** A list of values for each output, one for each candle, oldest first. */
export function compute({ name, values }, candles) {
  const columns = FORMULAS[name](candles, ...values);
  return Object.fromEntries(INDICATORS[name].outputs.map((output, index) => [output, columns[index]]));
}

const closes = (candles) => candles.map(({ close }) => close);
const nulls = (length) => new Array(length).fill(null);

const FORMULAS = {
  sma: (candles, length) => [sma(closes(candles), length)],
  ema: (candles, length) => [ema(closes(candles), length)],
  wma: (candles, length) => [wma(closes(candles), length)],
  bbands(candles, length, width) {
    const prices = closes(candles);
    const middle = sma(prices, length);
    const spread = middle.map((mean, index) => mean === null ? null : width * deviation(prices, index, length, mean));
    const beside = (sign) => middle.map((mean, index) => (mean === null ? null : mean + sign * spread[index]));
    return [beside(1), middle, beside(-1)];
  },
  macd(candles, fast, slow, signal) {
    const prices = closes(candles);
    const macd = difference(ema(prices, fast), ema(prices, slow));
    const line = ema(macd, signal);
    return [macd, line, difference(macd, line)];
  },
  rsi: (candles, length) => [rsi(closes(candles), length)],
  stoch,
  atr: (candles, length) => [wilder(candles.map(trueRange), length)],
  obv: (candles) => [obv(candles)],
  vwap: (candles) => [vwap(candles)],
  delta: (candles) => [candles.map(deltaOf)],
  cvd: (candles) => [runningSums(candles, deltaOf)],
};

function sma(values, length) {
  const found = nulls(values.length);
  const first = values.findIndex((value) => value !== null);
  if (first < 0) return found;
  for (let index = first + length - 1; index < values.length; index++) found[index] = meanOf(values, index, length);
  return found;
}

function meanOf(values, index, length) {
  let sum = 0;
  for (let place = index - length + 1; place <= index; place++) sum += values[place];
  return sum / length;
}

function deviation(values, index, length, mean) {
  let squares = 0;
  for (let place = index - length + 1; place <= index; place++) squares += (values[place] - mean) ** 2;
  return Math.sqrt(squares / length);
}

/** It begins with the simple average of the first values; nulls before them are passed over. */
function ema(values, length) {
  const found = nulls(values.length);
  const first = values.findIndex((value) => value !== null);
  const begin = first + length - 1;
  if (first < 0 || begin >= values.length) return found;
  const weight = 2 / (length + 1);
  found[begin] = meanOf(values, begin, length);
  for (let index = begin + 1; index < values.length; index++) {
    found[index] = found[index - 1] + weight * (values[index] - found[index - 1]);
  }
  return found;
}

function wma(values, length) {
  const found = nulls(values.length);
  const weights = (length * (length + 1)) / 2;
  for (let index = length - 1; index < values.length; index++) {
    let sum = 0;
    for (let back = 0; back < length; back++) sum += values[index - back] * (length - back);
    found[index] = sum / weights;
  }
  return found;
}

/** Wilder's average, which begins with the simple one of the `length` values from the second on. */
function wilder(values, length) {
  const found = nulls(values.length);
  if (values.length <= length) return found;
  found[length] = meanOf(values, length, length);
  for (let index = length + 1; index < values.length; index++) {
    found[index] = (found[index - 1] * (length - 1) + values[index]) / length;
  }
  return found;
}

/** Not defined before the price has moved for the first time. */
function rsi(prices, length) {
  const moves = prices.map((price, index) => (index ? price - prices[index - 1] : 0));
  const gains = wilder(moves.map((move) => Math.max(0, move)), length);
  const losses = wilder(moves.map((move) => Math.max(0, -move)), length);
  const moved = prices.findIndex((price) => price !== prices[0]);
  return gains.map((gain, index) => {
    if (gain === null || moved < 0 || index < moved) return null;
    const both = gain + losses[index];
    return both > KEPT_SHORT * prices[index] ? (100 * gain) / both : 0;
  });
}

/** Not defined while the price had no range. */
function stoch(candles, length, smooth, signal) {
  const fast = candles.map(({ close }, index) => {
    if (index < length - 1) return null;
    const { low, high } = rangeOf(candles, index, length);
    return high === low ? NaN : (100 * (close - low)) / (high - low);
  });
  const slow = sma(fast, smooth);
  const line = sma(slow, signal);
  const defined = (value) => (value === null || Number.isNaN(value) ? null : value);
  return [slow.map((value, index) => (line[index] === null ? null : defined(value))), line.map(defined)];
}

function rangeOf(candles, index, length) {
  let low = Infinity, high = -Infinity;
  for (let place = index - length + 1; place <= index; place++) {
    low = Math.min(low, candles[place].low);
    high = Math.max(high, candles[place].high);
  }
  return { low, high };
}

function trueRange({ high, low }, index, candles) {
  if (!index) return 0;
  const before = candles[index - 1].close;
  return Math.max(high - low, Math.abs(high - before), Math.abs(low - before));
}

function obv(candles) {
  let sum = 0;
  return candles.map(({ close, volume }, index) => {
    const before = index ? candles[index - 1].close : close;
    sum += close > before ? volume : close < before ? -volume : 0;
    return sum;
  });
}

/** What takers bought less what they sold; null where that is not known. */
const deltaOf = ({ volume, taker_buy_volume: bought }) => (bought === undefined ? null : 2 * bought - volume);

function vwap(candles) {
  const volumes = runningSums(candles, ({ volume }) => volume);
  const quotes = runningSums(candles, ({ quote_volume: quote }) => quote ?? null);
  return quotes.map((quote, index) => (quote === null || !(volumes[index] > 0) ? null : quote / volumes[index]));
}

/** Sums since midnight UTC, of candles of days since New Year; null before the first such begin, and behind a null. */
function runningSums(candles, valueOf) {
  const isOfDays = candles.length > 1 && candles[1].time - candles[0].time >= DAY_MS;
  const partOf = ({ time }) => (isOfDays ? new Date(time).getUTCFullYear() : Math.floor(time / DAY_MS));
  const beginsOne = ({ time }) => (isOfDays ? new Date(time).toISOString().slice(5, 10) === "01-01" : time % DAY_MS === 0);
  let sum = null, part = null;
  return candles.map((candle) => {
    if (partOf(candle) !== part) sum = part === null && !beginsOne(candle) ? null : 0;
    part = partOf(candle);
    const value = valueOf(candle);
    sum = sum === null || value === null ? null : sum + value;
    return sum;
  });
}

const difference = (one, other) => one.map((value, index) => (value === null || other[index] === null ? null : value - other[index]));

function span(length) {
  return length - 1;
}

const fading = (weight) => (weight < 1 ? Math.ceil(Math.log(FADED) / Math.log1p(-weight)) : 0);

function emaSettle(length) {
  return length - 1 + fading(2 / (length + 1));
}

function wilderSettle(length) {
  return length + fading(1 / length);
}
