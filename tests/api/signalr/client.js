// The official client, in Node (node client.js URL TOKEN; one line of JSON for each step) and in a page (walk, with what
// its bundles define). The test reads the steps, and pushes what they wait for.
async function walk(signalR, MessagePackHubProtocol, url, token, say) {
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
    await new Promise((resolve, reject) => {
      const subscription = connection.stream("StreamPrices", ["ETHUSDT"]).subscribe({
        next: ({ price }) => {
          say({ name, item: price });
          subscription.dispose();
          resolve();
        },
        error: reject,
        complete: () => {},
      });
    });
    const { channels } = await connection.invoke("Subscribe", ["MarketData"], ["btc/usdt"], null, null);
    say({ name, channels });
    await new Promise((resolve) => connection.on("PriceUpdate", ({ price }) => price === last && resolve()));
    await connection.stop();
    say({ name, is_done: connection.state === "Disconnected" });
  }

  const { WebSockets, ServerSentEvents, LongPolling } = signalR.HttpTransportType;
  const packed = () => new MessagePackHubProtocol();
  await run("json", null, {}, 777);
  await run("messagepack", packed(), { transport: WebSockets }, 778);
  await run("without negotiation", null, { skipNegotiation: true, transport: WebSockets }, 779);
  await run("events", null, { transport: ServerSentEvents }, 780);
  await run("polling", null, { transport: LongPolling }, 781);
  await run("polling messagepack", packed(), { transport: LongPolling }, 782);
}

if (typeof require === "function") {
  const signalR = require("@microsoft/signalr");
  const { MessagePackHubProtocol } = require("@microsoft/signalr-protocol-msgpack");
  const say = (step) => process.stdout.write(JSON.stringify(step) + "\n");
  walk(signalR, MessagePackHubProtocol, ...process.argv.slice(2), say).catch((error) => {
    say({ failed: String(error) });
    process.exit(1);
  });
}
