// npm's `node-binance-api`: REST, and streams by its `websockets`.
'use strict';
const { setTimeout: sleep } = require('node:timers/promises');
const required = require('node-binance-api');
const { KEY, SECRET, SYMBOL, add, equal, get, holds, http, isBook, isTrue, market, near, run, same, ws } = require('./harness.cjs');

/** The futures streams have addresses that no option changes. */
class Pointed extends (required.default ?? required) {
  getFStreamSingleUrl(category) {
    return `${ws}/${category}/ws/`;
  }

  getFStreamUrl(category) {
    return `${ws}/${category}/stream?streams=`;
  }
}

const client = new Pointed().options({
  APIKEY: KEY,
  APISECRET: SECRET,
  log: () => {},
  urls: {
    base: `${http}/api/`,
    fapi: `${http}/fapi/`,
    stream: `${ws}/ws/`,
    combineStream: `${ws}/stream?streams=`,
  },
});

same('ping', 'spot', async (it) => ((await it.ping()) ? {} : null), 'ping');
same('time', 'spot', (it) => it.time(), 'time');
same('exchangeInfo', 'spot', (it) => it.exchangeInfo(), 'exchangeInfo');
same('avgPrice', 'spot', (it) => it.avgPrice(SYMBOL), 'avgPrice', { symbol: SYMBOL });
same('prevDay', 'spot', (it) => it.prevDay(SYMBOL), 'ticker/24hr', { symbol: SYMBOL });
same('aggTrades', 'spot', (it) => it.aggTrades(SYMBOL, { limit: 20 }), 'aggTrades', { symbol: SYMBOL, limit: 20 }, {
  shaped: (rows) =>
    rows.map((row) => ({
      aggId: row.a,
      symbol: SYMBOL,
      price: row.p,
      quantity: row.q,
      firstId: row.f,
      lastId: row.l,
      timestamp: row.T,
      isBuyerMaker: row.m,
      wasBestPrice: row.M,
    })),
});
same('recentTrades', 'spot', (it) => it.recentTrades(SYMBOL, 20), 'trades', { symbol: SYMBOL, limit: 20 });
same('historicalTrades', 'spot', (it) => it.historicalTrades(SYMBOL, 20), 'historicalTrades', { symbol: SYMBOL, limit: 20 });
same(
  'candlesticks',
  'spot',
  async (it) => (await it.candlesticks(SYMBOL, '1m', { limit: 20 })).map((row) => [row.openTime, row.open, row.close, row.volume]),
  'klines',
  { symbol: SYMBOL, interval: '1m', limit: 20 },
  { shaped: (rows) => rows.map((row) => [row[0], row[1], row[4], row[5]]) },
);
add('prices', 'spot', async (it) => {
  equal((await it.prices())[SYMBOL], (await get('ticker/price', { symbol: SYMBOL })).price);
}, { still: true });
add('bookTickers', 'spot', async (it) => {
  const row = await get('ticker/bookTicker', { symbol: SYMBOL });
  const quote = await it.bookTickers(SYMBOL);
  equal((quote[SYMBOL] ?? quote).bidPrice ?? quote.bid, row.bidPrice);
}, { still: true });
same(
  'depth',
  'spot',
  async (it) => (await it.depth(SYMBOL, 50)).bids.map((level) => [level.price, level.quantity]),
  'depth',
  { symbol: SYMBOL, limit: 50 },
  { shaped: (book) => book.bids },
);

same('futuresPing', 'usdm', (it) => it.futuresPing(), 'ping');
same('futuresTime', 'usdm', (it) => it.futuresTime(), 'time', {}, { shaped: (it) => it.serverTime });
same('futuresExchangeInfo', 'usdm', (it) => it.futuresExchangeInfo(), 'exchangeInfo');
same('futuresDepth', 'usdm', async (it) => (await it.futuresDepth(SYMBOL, { limit: 50 })).lastUpdateId, 'depth', { symbol: SYMBOL, limit: 50 }, {
  shaped: (it) => it.lastUpdateId,
});
same('futuresOpenInterest', 'usdm', (it) => it.futuresOpenInterest(SYMBOL), 'openInterest', { symbol: SYMBOL });
same('futuresTrades', 'usdm', (it) => it.futuresTrades(SYMBOL, { limit: 20 }), 'trades', { symbol: SYMBOL, limit: 20 });
same('futuresAggTrades', 'usdm', (it) => it.futuresAggTrades(SYMBOL, { limit: 20 }), 'aggTrades', { symbol: SYMBOL, limit: 20 });
same('futuresFundingRate', 'usdm', (it) => it.futuresFundingRate(SYMBOL, { limit: 5 }), 'fundingRate', { symbol: SYMBOL, limit: 5 });
same('futuresMarkPrice', 'usdm', (it) => it.futuresMarkPrice(SYMBOL), 'premiumIndex', { symbol: SYMBOL });
same(
  'futuresCandles',
  'usdm',
  async (it) => (await it.futuresCandles(SYMBOL, '1m', { limit: 20 })).map((row) => [row.openTime, row.open, row.close]),
  'klines',
  { symbol: SYMBOL, interval: '1m', limit: 20 },
  { shaped: (rows) => rows.map((row) => [row[0], row[1], row[4]]) },
);
add('futuresPrices', 'usdm', async (it) => {
  equal((await it.futuresPrices())[SYMBOL], (await get('ticker/price', { symbol: SYMBOL })).price);
}, { still: true });

/** The first item that a subscription calls back with. */
function first(subscribe, of, wanted = () => true) {
  return new Promise((resolve) => subscribe(of, (...got) => wanted(...got) && resolve(got)));
}

const spot = (name, wanted) => async (it) => {
  const [payload] = await first((symbol, back) => it.websockets[name](symbol, back), SYMBOL, wanted);
  await isTrue(payload);
};
add('websockets.trades', 'spot', spot('trades'));
add('websockets.aggTrades', 'spot', spot('aggTrades'));
add('websockets.depth', 'spot', spot('depth'));
add('websockets.candlesticks', 'spot', async (it) => {
  const [payload] = await new Promise((resolve) => it.websockets.candlesticks(SYMBOL, '1m', (...got) => resolve(got)));
  await isTrue(payload);
});
add('websockets.prevDay', 'spot', async (it) => {
  const got = await first((symbol, back) => it.websockets.prevDay(symbol, back), SYMBOL);
  const ticker = got.at(-1)?.close ? got.at(-1) : got[0];
  near(ticker.close ?? ticker.currentClose, (await get('ticker/price', { symbol: SYMBOL })).price);
});
add('websockets.bookTickers', 'spot', async (it) => {
  const [quote] = await first((symbol, back) => it.websockets.bookTickers(symbol, back), SYMBOL);
  near(quote.bestBid, (await get('ticker/bookTicker', { symbol: SYMBOL })).bidPrice);
});
add('websockets.miniTicker', 'spot', async (it) => {
  const [tickers] = await new Promise((resolve) => it.websockets.miniTicker((...got) => got[0][SYMBOL] && resolve(got)));
  near(tickers[SYMBOL].close, (await get('ticker/price', { symbol: SYMBOL })).price);
});
add('websockets.chart', 'spot', async (it) => {
  const [, , chart] = await new Promise((resolve) => it.websockets.chart(SYMBOL, '1m', (...got) => resolve(got)));
  const rows = await get('klines', { symbol: SYMBOL, interval: '1m', limit: 100 });
  const closed = rows.slice(-20, -1);
  equal(closed.map((row) => chart[row[0]]?.close), closed.map((row) => row[4]));
});
add('websockets.depthCache', 'spot', async (it) => {
  let book;
  let count = 0;
  await new Promise((resolve) =>
    it.websockets.depthCache([SYMBOL], (symbol, depth) => {
      book = depth;
      if ((count += 1) === 10) resolve();
    }),
  );
  const sorted = (side, sign) =>
    Object.entries(side).map(([price, size]) => [Number(price), size]).sort((one, other) => sign * (one[0] - other[0]));
  await isBook(() => [sorted(book.bids, -1), sorted(book.asks, 1)]);
});
add('websockets.futuresAggTrades', 'usdm', async (it) => {
  const [row] = await first((symbol, back) => it.websockets.futuresAggTrades(symbol, back), SYMBOL);
  const id = row.aggTradeId ?? row.a;
  const [wanted] = await get('aggTrades', { symbol: SYMBOL, fromId: id, limit: 1 });
  equal(String(row.price ?? row.p), wanted.p);
});
add('websockets.futuresMarkPrice', 'usdm', async (it) => {
  const [mark] = await first((symbol, back) => it.websockets.futuresMarkPrice(symbol, back), SYMBOL);
  near(mark.markPrice ?? mark.p, (await get('premiumIndex', { symbol: SYMBOL })).markPrice);
});
add('websockets.futuresBookTicker', 'usdm', async (it) => {
  const [quote] = await first((symbol, back) => it.websockets.futuresBookTicker(symbol, back), SYMBOL);
  near(quote.bestBid ?? quote.b, (await get('ticker/bookTicker', { symbol: SYMBOL })).bidPrice);
});
add('websockets.futuresCandlesticks', 'usdm', async (it) => {
  const [payload] = await new Promise((resolve) => it.websockets.futuresCandlesticks(SYMBOL, '1m', (...got) => resolve(got)));
  await isTrue(payload);
});
add('websockets.futuresTicker', 'usdm', async (it) => {
  const [ticker] = await first((symbol, back) => it.websockets.futuresTicker(symbol, back), SYMBOL);
  near(ticker.close ?? ticker.c, (await get('ticker/price', { symbol: SYMBOL })).price);
});
add('websockets.futuresMiniTicker', 'usdm', async (it) => {
  const [ticker] = await first((symbol, back) => it.websockets.futuresMiniTicker(symbol, back), SYMBOL);
  near(ticker.close ?? ticker.c, (await get('ticker/price', { symbol: SYMBOL })).price);
});
add('websockets.futuresChart', 'usdm', async (it) => {
  const [, , chart] = await new Promise((resolve) => it.websockets.futuresChart(SYMBOL, '1m', (...got) => resolve(got)));
  const rows = await get('klines', { symbol: SYMBOL, interval: '1m', limit: 100 });
  const closed = rows.slice(-20, -1);
  equal(closed.map((row) => chart[row[0]]?.close), closed.map((row) => row[4]));
});
add('futuresSubscribe and futuresTerminate', 'usdm', async (it) => {
  const endpoint = `${SYMBOL.toLowerCase()}@aggTrade`;
  const seen = [];
  it.futuresSubscribeSingle(endpoint, (row) => seen.push(row));
  while (!seen.length) await sleep(50);
  await isTrue(seen[0]);
  it.futuresTerminate(endpoint);
  holds(seen.length > 0, 'nothing came');
});

run(client);
