/** Programs that listen: to the broadcast, and over SignalR. Pure; they are given the address of the page. */

const hub = ({ protocol, host }) => `${protocol === "https:" ? "wss" : "ws"}://${host}/ws`;

const broadcastPython = (page) => `import asyncio
import json

import websockets


async def main() -> None:
    async for socket in websockets.connect("${hub(page)}"):  # connects again by itself
        await socket.send(json.dumps({"op": "subscribe", "channels": ["MarketData", "Candle"], "symbols": ["BTCUSDT"]}))
        try:
            async for text in socket:
                message = json.loads(text)
                print(message["type"], message["data"])
        except websockets.ConnectionClosed:
            continue


asyncio.run(main())`;

const broadcastScript = (page) => `const socket = new WebSocket("${hub(page)}");
socket.onopen = () => socket.send(JSON.stringify({ op: "subscribe", channels: ["MarketData", "Candle"], symbols: ["BTCUSDT"] }));
socket.onmessage = ({ data }) => {
  const message = JSON.parse(data);
  console.log(message.type, message.data);
};`;

const broadcastShell = (page) => `websockets "${hub(page)}?channels=MarketData,Candle&symbols=BTCUSDT"`;

const signalrScript = ({ origin }) => `const connection = new signalR.HubConnectionBuilder()
  .withUrl("${origin}/hubs/marketdata", { accessTokenFactory: () => token })
  .withAutomaticReconnect()
  .build();
connection.on("PriceUpdate", ({ symbol, price }) => console.log(symbol, price));
await connection.start();
await connection.invoke("Subscribe", ["MarketData"], ["BTCUSDT"], null, null);`;

const signalrSharp = ({ origin }) => `var connection = new HubConnectionBuilder()
    .WithUrl("${origin}/hubs/marketdata", options => options.AccessTokenProvider = () => Task.FromResult(token))
    .WithAutomaticReconnect()
    .Build();
connection.On<JsonElement>("PriceUpdate", price => Console.WriteLine($"{price.GetProperty("symbol")} {price.GetProperty("price")}"));
await connection.StartAsync();
await connection.InvokeAsync("Subscribe", new[] { "MarketData" }, new[] { "BTCUSDT" }, null, null);`;

const signalrPython = ({ origin }) => `import asyncio

from pysignalr.client import SignalRClient


async def main() -> None:
    client = SignalRClient("${origin}/hubs/marketdata", headers={"Authorization": f"Bearer {TOKEN}"})

    async def subscribe() -> None:
        await client.send("Subscribe", [["MarketData"], ["BTCUSDT"], None, None])

    async def show(arguments: list[dict[str, object]]) -> None:
        print(arguments[0]["symbol"], arguments[0]["price"])

    client.on_open(subscribe)
    client.on("PriceUpdate", show)
    await client.run()


asyncio.run(main())`;

export const PROGRAMS = {
  broadcast: { Python: broadcastPython, JavaScript: broadcastScript, Shell: broadcastShell },
  signalr: { JavaScript: signalrScript, "C#": signalrSharp, Python: signalrPython },
};
