/** Lines of indicators: those of prices over the candles, others in a pane of their own below. */

import { colour } from "../page.js";

const COLOURS = ["line-1", "line-2", "line-3", "line-4", "line-5"];
const HISTOGRAMS = new Set(["histogram", "delta"]);
const MAIN_SHARE = 4; // of the height, to one for each pane below
const HIDDEN = new Set(["bbands/middle"]);
const REACH = 0.5; // of the height of the candles in view: so far lines stretch the scale of prices, up and down

/** `{ priceRange }` of a line, as far as it may stretch the scale that candles from `minValue` to `maxValue` have; null where it is beyond. */
export function stretched(info, candles) {
  if (!info?.priceRange || !candles) return info;
  const reach = (candles.maxValue - candles.minValue) * REACH;
  const minValue = Math.max(info.priceRange.minValue, candles.minValue - reach);
  const maxValue = Math.min(info.priceRange.maxValue, candles.maxValue + reach);
  return minValue <= maxValue ? { ...info, priceRange: { minValue, maxValue } } : null;
}

const seconds = (candle) => candle.time / 1_000;

export class Lines {
  #library;
  #chart;
  #shown = new Map(); // by label and output
  #labels = "";
  #drawnTo = 0;
  #range;

  /** `range()` is that of the candles in view. */
  constructor(library, chart, range) {
    this.#library = library;
    this.#chart = chart;
    this.#range = range;
  }

  /** Draws exactly these, `{ label, name, isPrice, values }`: a list for each output, one value for each candle. */
  draw(indicators, candles) {
    this.#arrange(indicators);
    this.#drawnTo = candles.at(-1)?.time ?? 0;
    for (const { key, column } of columnsOf(indicators)) {
      this.#shown.get(key).series.setData(candles.map((candle, index) => pointOf(candle, column[index])));
    }
  }

  /** Draws the last value of each again. */
  update(indicators, candles) {
    const last = candles.length - 1;
    if (candles[last].time < this.#drawnTo) return this.draw(indicators, candles);
    this.#drawnTo = candles[last].time;
    for (const { key, column } of columnsOf(indicators)) this.#shown.get(key)?.series.update(pointOf(candles[last], column[last]));
  }

  recolour() {
    for (const { series, colourName } of this.#shown.values()) series.applyOptions({ color: colour(colourName) });
  }

  /** The colour of an output, as a name of the style sheet. */
  colourOf(label, output) {
    return this.#shown.get(`${label}/${output}`)?.colourName;
  }

  /** Series for these and no others; all are made anew, as panes lose their numbers when one goes. */
  #arrange(indicators) {
    const labels = indicators.map(({ label }) => label).join(" ");
    if (labels === this.#labels) return;
    this.#labels = labels;
    for (const { series } of this.#shown.values()) this.#chart.removeSeries(series);
    this.#shown.clear();
    let pane = 0, overCandles = 0;
    for (const indicator of indicators) {
      if (!indicator.isPrice) pane += 1;
      const outputs = Object.keys(indicator.values).filter((output) => !HIDDEN.has(`${indicator.name}/${output}`));
      outputs.forEach((output, index) => {
        const isBand = indicator.name === "bbands";
        const place = indicator.isPrice ? (isBand ? 2 : overCandles++) : index;
        this.#add(indicator, output, indicator.isPrice ? 0 : pane, COLOURS[place % COLOURS.length]);
      });
    }
    this.#chart.panes().forEach((each, index) => each.setStretchFactor(index ? 1 : MAIN_SHARE));
  }

  #add({ label }, output, pane, colourName) {
    const { LineSeries, HistogramSeries } = this.#library;
    const options = {
      color: colour(colourName), lineWidth: 1, priceLineVisible: false, lastValueVisible: pane > 0 && !HISTOGRAMS.has(output),
      crosshairMarkerVisible: false, ...(pane ? {} : { autoscaleInfoProvider: (own) => stretched(own(), this.#range()) }),
    };
    const series = this.#chart.addSeries(HISTOGRAMS.has(output) ? HistogramSeries : LineSeries, options, pane);
    this.#shown.set(`${label}/${output}`, { series, colourName });
  }
}

const pointOf = (candle, value) => (value === null ? { time: seconds(candle) } : { time: seconds(candle), value });

const columnsOf = (indicators) =>
  indicators.flatMap(({ label, name, values }) =>
    Object.entries(values)
      .filter(([output]) => !HIDDEN.has(`${name}/${output}`))
      .map(([output, column]) => ({ key: `${label}/${output}`, column })),
  );
