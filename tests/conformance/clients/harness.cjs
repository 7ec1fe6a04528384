// What suite.py, exchange.py and checks.py are to the clients of Python: cases, the exchange's own REST, and whether a
// payload is true. It needs nothing but Node.
'use strict';
const { appendFileSync } = require('node:fs');
const { isDeepStrictEqual } = require('node:util');

const CASE_MS = 60_000;
const KNOWN_MS = 10_000;
const [market, address, report] = process.argv.slice(2);
const http = `http://${address}`;
const ws = `ws://${address}`;
const api = market === 'spot' ? '/api/v3' : '/fapi/v1';
const SYMBOL = 'BTCUSDT';
const KEY = 'replayDemoHmac'.padEnd(64, '0');
const SECRET = 'replayDemoSecret'.padEnd(64, '0');
const cases = [];

async function get(path, params = {}) {
  const query = new URLSearchParams(params).toString();
  const whole = path.startsWith('/') ? path : `${api}/${path}`;
  const answer = await fetch(`${http}${whole}${query && `?${query}`}`, { headers: { 'X-MBX-APIKEY': KEY } });
  if (!answer.ok) throw new Error(`the exchange refused ${whole}: ${await answer.text()}`);
  return answer.json();
}

async function control(order) {
  await fetch(`${http}/control/${order}`, { method: 'POST' });
}

/** Adds a case of a market; `still` ones run while the market is paused, `fails` is why the client gets it wrong. */
function add(name, of, run, { still = false, fails = '' } = {}) {
  if (of === market) cases.push({ name, run, still, fails });
}

/** Adds a case: the call gives what REST has for a path; `shaped` makes what REST has what the client gives. */
function same(name, of, call, path, params = {}, { shaped = (it) => it, fails = '' } = {}) {
  const run = async (client) => equal(await call(client), shaped(await get(path, params)));
  add(name, of, run, { still: true, fails });
}

function equal(got, wanted, where = 'the answer') {
  if (isDeepStrictEqual(got, wanted)) return;
  if (got && wanted && typeof got === 'object' && typeof wanted === 'object') {
    for (const key of new Set([...Object.keys(wanted), ...Object.keys(got)])) equal(got[key], wanted[key], `${where}.${key}`);
    return;
  }
  throw new Error(`${where}: ${JSON.stringify(got)} instead of ${JSON.stringify(wanted)}`);
}

function holds(fact, reason) {
  if (!fact) throw new Error(reason);
}

async function trade(id) {
  const newest = await get('trades', { symbol: SYMBOL, limit: 1000 });
  return newest.find((row) => row.id === id) ?? (await get('historicalTrades', { symbol: SYMBOL, fromId: id, limit: 1 }))[0];
}

/** Fails where a payload is not what REST has under the ids and times that it names. */
async function isTrue(payload) {
  holds((payload.s ?? payload.ps) === SYMBOL, `of ${payload.s}`);
  if (payload.e === 'aggTrade') {
    const [row] = await get('aggTrades', { symbol: SYMBOL, fromId: payload.a, limit: 1 });
    equal([payload.a, payload.p, payload.q, payload.T, payload.m], [row.a, row.p, row.q, row.T, row.m]);
  } else if (payload.e === 'trade') {
    const row = await trade(payload.t);
    equal([payload.p, payload.q, payload.T, payload.m], [row.price, row.qty, row.time, row.isBuyerMaker]);
  } else if (payload.e === 'kline') {
    const kline = payload.k;
    const [row] = await get('klines', { symbol: SYMBOL, interval: kline.i, startTime: kline.t, limit: 1 });
    equal([kline.t, kline.T, kline.o], [row[0], row[6], row[1]]);
    if (kline.L >= 0) equal(kline.c, (await trade(kline.L)).price);
  } else if (payload.e === '24hrTicker') {
    const last = await trade(payload.L);
    equal([payload.c, payload.Q], [last.price, last.qty]);
  } else if (payload.e === '24hrMiniTicker') {
    const newest = await get('trades', { symbol: SYMBOL, limit: 1000 });
    holds(newest.some((row) => row.price === payload.c), `no trade had the price ${payload.c}`);
  } else if (payload.e === 'markPriceUpdate') {
    const row = await get('premiumIndex', { symbol: SYMBOL });
    near(payload.p, row.markPrice);
    equal(payload.T, row.nextFundingTime);
  } else if (payload.e === 'depthUpdate') {
    holds(payload.U <= payload.u, 'its ids are reversed');
    await reached(payload.u);
  } else if (payload.b && payload.a && payload.u) {
    holds(Number(payload.b) < Number(payload.a), 'bid and ask are crossed');
    await reached(payload.u);
  } else {
    throw new Error(`an unexpected payload ${JSON.stringify(payload).slice(0, 120)}`);
  }
}

/** Waits until REST's book has an update id: it follows the quickest stream by some moments. */
async function reached(id) {
  await until(async () => (await get('depth', { symbol: SYMBOL, limit: 5 })).lastUpdateId >= id, 10_000);
}

function near(got, wanted) {
  holds(Math.abs(Number(got) / Number(wanted) - 1) < 0.05, `${got} is far from ${wanted}`);
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(look, withinMs = 40_000) {
  const end = Date.now() + withinMs;
  for (;;) {
    const found = await look();
    if (found) return found;
    holds(Date.now() < end, `nothing within ${withinMs / 1000} s`);
    await pause(50);
  }
}

/** Fails unless the client's book is REST's while the market stands; `levels` gives its bids and asks as numbers. */
async function isBook(levels, count = 20) {
  await control('pause');
  try {
    const book = await get('depth', { symbol: SYMBOL, limit: 1000 });
    const wanted = [book.bids, book.asks].map((side) => side.slice(0, count).map((row) => row.map(Number)));
    let got;
    await until(() => isDeepStrictEqual((got = levels().map((side) => side.slice(0, count))), wanted), 8_000).catch(() =>
      equal(got, wanted),
    );
  } finally {
    await control('resume');
  }
}

const write = (row) => appendFileSync(report, `${JSON.stringify(row)}\n`);

async function outcome(one, client) {
  const most = one.fails ? KNOWN_MS : CASE_MS;
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing within ${most / 1000} s`)), most);
  });
  let reason = '';
  try {
    await Promise.race([one.run(client), late]);
  } catch (error) {
    reason = String(error?.message ?? error?.msg ?? JSON.stringify(error)).slice(0, 400) || 'an error without a word';
  }
  clearTimeout(timer);
  write({ case: one.name, reason, fails: one.fails });
}

/** Runs the cases in the order of suite.py, and ends the process. */
async function run(client) {
  process.on('unhandledRejection', (error) => console.error('unhandled', error));
  cases.sort((one, other) => Number(other.still) - Number(one.still));
  write({ cases: cases.map((one) => one.name) });
  await control('pause');
  for (const one of cases.filter((it) => it.still)) await outcome(one, client);
  await control('resume');
  for (const one of cases.filter((it) => !it.still)) await outcome(one, client);
  write({ ended: true });
  process.exit(0);
}

module.exports = { KEY, SECRET, SYMBOL, add, equal, get, holds, http, isBook, isTrue, market, near, run, same, until, ws };
