// npm's `binance`: REST by MainClient and USDMClient, streams by WebsocketClient.
'use strict';
const { MainClient, USDMClient, WebsocketClient } = require('binance');
const { KEY, SECRET, SYMBOL, add, equal, holds, http, isTrue, market, run, same, ws } = require('./harness.cjs');

const keys = { api_key: KEY, api_secret: SECRET };
const client = market === 'spot' ? new MainClient({ ...keys, baseUrl: http }) : new USDMClient({ ...keys, baseUrl: http });
const one = { symbol: SYMBOL };
const minute = { ...one, interval: '1m', limit: 20 };
const data = { ...one, period: '5m', limit: 10 };

const queries = {
  spot: {
    getExchangeInfo: ['exchangeInfo', one],
    getOrderBook: ['depth', { ...one, limit: 50 }],
    getRecentTrades: ['trades', { ...one, limit: 30 }],
    getHistoricalTrades: ['historicalTrades', { ...one, limit: 30 }],
    getAggregateTrades: ['aggTrades', { ...one, limit: 30 }],
    getKlines: ['klines', minute],
    getUIKlines: ['uiKlines', minute],
    getAvgPrice: ['avgPrice', one],
    get24hrChangeStatistics: ['ticker/24hr', one],
    getTradingDayTicker: ['ticker/tradingDay', one],
    getSymbolPriceTicker: ['ticker/price', one],
    getSymbolOrderBookTicker: ['ticker/bookTicker', one],
    getRollingWindowTicker: ['ticker', { ...one, windowSize: '1h' }],
  },
  usdm: {
    getExchangeInfo: ['exchangeInfo', {}],
    getOrderBook: ['depth', { ...one, limit: 50 }],
    getRecentTrades: ['trades', { ...one, limit: 30 }],
    getHistoricalTrades: ['historicalTrades', { ...one, limit: 30 }],
    getAggregateTrades: ['aggTrades', { ...one, limit: 30 }],
    getKlines: ['klines', minute],
    getContinuousContractKlines: ['continuousKlines', { pair: SYMBOL, contractType: 'PERPETUAL', interval: '1m', limit: 20 }],
    getIndexPriceKlines: ['indexPriceKlines', { pair: SYMBOL, interval: '1m', limit: 20 }],
    getMarkPriceKlines: ['markPriceKlines', minute],
    getPremiumIndexKlines: ['premiumIndexKlines', minute],
    getMarkPrice: ['premiumIndex', one],
    getFundingRateHistory: ['fundingRate', { ...one, limit: 5 }],
    getFundingRates: ['fundingInfo', {}],
    get24hrChangeStatistics: ['ticker/24hr', one],
    getSymbolPriceTicker: ['ticker/price', one],
    getSymbolPriceTickerV2: ['/fapi/v2/ticker/price', one],
    getSymbolOrderBookTicker: ['ticker/bookTicker', one],
    getOpenInterest: ['openInterest', one],
    getOpenInterestStatistics: ['/futures/data/openInterestHist', data],
    getTopTradersLongShortPositionRatio: ['/futures/data/topLongShortPositionRatio', data],
    getTopTradersLongShortAccountRatio: ['/futures/data/topLongShortAccountRatio', data],
    getGlobalLongShortAccountRatio: ['/futures/data/globalLongShortAccountRatio', data],
    getTakerBuySellVolume: ['/futures/data/takerlongshortRatio', data],
    getBasis: ['/futures/data/basis', { pair: SYMBOL, contractType: 'PERPETUAL', period: '5m', limit: 10 }],
  },
};
for (const [of, named] of Object.entries(queries)) {
  for (const [name, [path, params]] of Object.entries(named)) {
    same(name, of, (it) => it[name](params), path, params);
  }
  same('testConnectivity', of, (it) => it.testConnectivity(), 'ping');
  same('getServerTime', of, (it) => it.getServerTime(), 'time', {}, {
    shaped: (it) => it.serverTime,
    fails: of === 'spot' ? 'it goes to api.binance.com whatever address the client has' : '',
  });
  add('an unknown symbol', of, async (it) => {
    const error = await it.getOrderBook({ symbol: 'NOTHERE' }).then(() => null, (reason) => reason);
    equal(error?.code, -1121);
  }, { still: true });
}

const streams = {
  spot: [['/stream', 'main', ['trade', 'aggTrade', 'kline_1m', 'ticker', 'miniTicker', 'bookTicker', 'depth@100ms']]],
  usdm: [
    ['/market/stream', 'usdmMarket', ['aggTrade', 'kline_1m', 'ticker', 'miniTicker', 'markPrice@1s']],
    ['/public/stream', 'usdmPublic', ['bookTicker', 'depth@100ms']],
  ],
};
for (const [of, connections] of Object.entries(streams)) {
  for (const [path, key, channels] of connections) {
    for (const channel of channels) {
      add(`subscribe ${channel}`, of, async () => {
        const socket = new WebsocketClient({ wsUrl: `${ws}${path}` }, silent);
        try {
          const message = new Promise((resolve, reject) => {
            socket.on('message', (it) => (it.data ?? it).s && resolve(it.data ?? it));
            socket.on('exception', (error) => reject(new Error(JSON.stringify(error).slice(0, 200))));
          });
          await socket.subscribe([`${SYMBOL.toLowerCase()}@${channel}`], key);
          await isTrue(await message);
        } finally {
          socket.closeAll(true);
        }
      });
    }
  }
}
const quiet = () => {};
const silent = { trace: quiet, info: quiet, error: quiet };

add('subscribe and unsubscribe', 'spot', async () => {
  const socket = new WebsocketClient({ wsUrl: `${ws}/stream` }, silent);
  try {
    const seen = new Set();
    let both;
    const done = new Promise((resolve) => (both = resolve));
    socket.on('message', (it) => {
      const { s, e } = it.data ?? it;
      if (s) seen.add(`${s}@${e}`);
      if (seen.size > 1) both();
    });
    await socket.subscribe(['btcusdt@trade', 'ethusdt@trade'], 'main');
    await done;
    holds(seen.has('BTCUSDT@trade'), `saw ${[...seen]}`);
    await socket.unsubscribe(['ethusdt@trade'], 'main');
  } finally {
    socket.closeAll(true);
  }
});

run(client);
