// The official client, which reconnects: node resume.cjs URL TOKEN json|messagepack [stateless]. Each trade and each answer
// is a line; a line of input makes it call GetPrices that often, or "stop".
const signalR = require("@microsoft/signalr");
const { MessagePackHubProtocol } = require("@microsoft/signalr-protocol-msgpack");
const lines = require("node:readline").createInterface({ input: process.stdin });

const [url, token, encoding, kind] = process.argv.slice(2);
const say = (step) => process.stdout.write(JSON.stringify(step) + "\n");

(async () => {
  const builder = new signalR.HubConnectionBuilder()
    .withUrl(url, { accessTokenFactory: () => token })
    .withAutomaticReconnect({ nextRetryDelayInMilliseconds: () => 50 })
    .configureLogging(signalR.LogLevel.Critical);
  if (encoding === "messagepack") builder.withHubProtocol(new MessagePackHubProtocol());
  if (kind !== "stateless") builder.withStatefulReconnect();
  const connection = builder.build();
  connection.on("TradeUpdate", ({ trades }) => trades.forEach(({ id }) => say({ trade: id })));
  connection.on("Lagged", (dropped) => say({ dropped }));
  connection.onreconnecting(() => say({ state: "reconnecting" }));
  connection.onreconnected(() => say({ state: "reconnected" }));
  connection.onclose(() => say({ state: "closed" }));
  await connection.start();
  const id = connection.connectionId;
  await connection.invoke("Subscribe", ["Trade"], ["BTCUSDT"], null, null);
  say({ state: "subscribed" });
  let answered = 0;
  lines.on("line", async (line) => {
    if (line === "stop") {
      await connection.stop();
      process.exit(0);
    }
    const calls = Array.from({ length: Number(line) }, () => connection.invoke("GetPrices", ["ETHUSDT"]));
    for (const answer of await Promise.all(calls)) say({ answer: answer[0].price, number: ++answered, same: connection.connectionId === id });
  });
})().catch((error) => {
  say({ failed: String(error) });
  process.exit(1);
});
