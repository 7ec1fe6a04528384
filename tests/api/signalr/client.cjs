// The official client: node client.cjs URL TOKEN; one line of JSON for each step, which the test reads and drives.
const signalR = require("@microsoft/signalr");
const { MessagePackHubProtocol } = require("@microsoft/signalr-protocol-msgpack");

const [url, token] = process.argv.slice(2);
const say = (step) => process.stdout.write(JSON.stringify(step) + "\n");

async function run(name, protocol, options, last) {
  const builder = new signalR.HubConnectionBuilder()
    .withUrl(url, { accessTokenFactory: () => token, ...options })
    .configureLogging(signalR.LogLevel.Error);
  if (protocol) builder.withHubProtocol(protocol);
  const connection = builder.build();
  connection.on("PriceUpdate", ({ symbol, price }) => say({ name, push: [symbol, price] }));
  await connection.start();
  const prices = await connection.invoke("GetPrices", ["BTCUSDT"]);
  say({ name, prices: prices.map(({ symbol }) => symbol) });
  const refused = await connection.invoke("GetCandles", "NOSUCH", "1m").catch((error) => error.message);
  say({ name, refused });
  const streamed = new Promise((resolve, reject) => {
    let subscription;
    subscription = connection.stream("StreamPrices", ["ETHUSDT"]).subscribe({
      next: ({ price }) => {
        say({ name, item: price });
        subscription.dispose();
        resolve();
      },
      error: reject,
      complete: () => {},
    });
  });
  await streamed;
  const { channels } = await connection.invoke("Subscribe", ["MarketData"], ["btc/usdt"], null, null);
  say({ name, channels });
  await new Promise((resolve) => connection.on("PriceUpdate", ({ price }) => price === last && resolve()));
  await connection.stop();
  say({ name, state: connection.state });
}

(async () => {
  const plain = { skipNegotiation: true, transport: signalR.HttpTransportType.WebSockets };
  await run("json", null, {}, 777);
  await run("messagepack", new MessagePackHubProtocol(), {}, 778);
  await run("without negotiation", null, plain, 779);
  await run("events", null, { transport: signalR.HttpTransportType.ServerSentEvents }, 780);
  await run("polling", null, { transport: signalR.HttpTransportType.LongPolling }, 781);
  await run("polling messagepack", new MessagePackHubProtocol(), { transport: signalR.HttpTransportType.LongPolling }, 782);
})().catch((error) => {
  say({ failed: String(error) });
  process.exit(1);
});
