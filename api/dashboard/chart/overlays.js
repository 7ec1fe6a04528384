/** Drawn behind and beside the candles: the volume profile as bars at the right edge, vacuums as zones. */

/** A primitive of lightweight-charts: calls `draw(context, {width, height, y})` in media coordinates, behind all. */
class Overlay {
  #update = () => {};
  #series;
  drawn = null;
  colours = {};
  #view = { zOrder: () => "bottom", renderer: () => ({ draw: (target) => this.#draw(target) }) };

  attached({ series, requestUpdate }) {
    this.#series = series;
    this.#update = requestUpdate;
  }

  detached() {
    this.#update = () => {};
  }

  paneViews() {
    return [this.#view];
  }

  show(drawn, colours) {
    this.drawn = drawn;
    this.colours = colours;
    this.#update();
  }

  #draw(target) {
    target.useMediaCoordinateSpace(({ context, mediaSize }) => {
      const y = (price) => this.#series.priceToCoordinate(price);
      this.draw(context, { ...mediaSize, y });
    });
  }
}

const WIDEST = 0.22; // of the chart's width, for the row with the most volume

export class ProfileOverlay extends Overlay {
  draw(context, { width, y }) {
    const profile = this.drawn;
    if (!profile) return;
    const { buy, sell, line } = this.colours;
    const most = Math.max(...profile.rows.map((row) => row.volume));
    for (const row of profile.rows) {
      const top = y(row.high + profile.tick), bottom = y(row.low);
      if (top === null || bottom === null || !row.volume) continue;
      const height = Math.max(1, bottom - top - 0.5);
      const sold = (row.sell_volume / most) * width * WIDEST, bought = (row.buy_volume / most) * width * WIDEST;
      context.globalAlpha = row.high <= profile.vah && row.low >= profile.val ? 0.32 : 0.15;
      context.fillStyle = sell;
      context.fillRect(width - sold, top, sold, height);
      context.fillStyle = buy;
      context.fillRect(width - sold - bought, top, bought, height);
    }
    context.globalAlpha = 0.8;
    context.fillStyle = line;
    const poc = y(profile.poc);
    if (poc !== null) context.fillRect(width * (1 - WIDEST), poc, width * WIDEST, 1);
    context.globalAlpha = 1;
  }
}

export class VacuumOverlay extends Overlay {
  draw(context, { width, y }) {
    context.fillStyle = this.colours.zone;
    for (const { low, high, fill } of this.drawn ?? []) {
      const top = y(high), bottom = y(low);
      if (top === null || bottom === null) continue;
      context.globalAlpha = 0.22 * (1 - Math.min(1, fill)) + 0.06;
      context.fillRect(0, top, width, Math.max(1, bottom - top));
    }
    context.globalAlpha = 1;
  }
}
