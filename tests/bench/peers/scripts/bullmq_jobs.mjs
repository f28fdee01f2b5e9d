import fs from "node:fs";
import { Queue, Worker } from "bullmq";
import { Redis } from "ioredis";

const connection = new Redis({ path: process.env.REDIS_SOCKET, db: Number(process.env.REDIS_DB), maxRetriesPerRequest: null });
const [verb, first, second] = process.argv.slice(2);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const now = () => performance.timeOrigin + performance.now();

async function begun(n) {
  for (const deadline = Date.now() + 30000; Date.now() < deadline; await sleep(0.5)) {
    const lines = fs.existsSync("ran") ? fs.readFileSync("ran", "utf8").split("\n") : [];
    if (lines.length > n + 1) return Number(lines[n].split(" ")[1]) / 1e6;
  }
  throw new Error(`job ${n} did not begin`);
}

if (verb === "work") {
  const ran = fs.openSync("ran", "a");
  const run = async (job) => {
    const ns = `${BigInt(Math.round(now() * 1000)) * 1000n}`;
    fs.writeSync(ran, `${job.data.n} ${ns} ${ns}\n`);
  };
  new Worker("bench", run, { connection });
  process.on("SIGTERM", () => process.exit(0));
} else {
  const queue = new Queue("bench", { connection });
  if (verb === "clear" || verb === "setup") await queue.obliterate({ force: true });
  if (verb === "waiting") console.log(await queue.getWaitingCount());
  if (verb === "one") await queue.add("mark", { n: 0 });
  if (verb === "fill") {
    const count = Number(second);
    const start = now();
    for (let from = 0; from < count; from += 1000) {
      const many = Array.from({ length: Math.min(1000, count - from) }, (_, n) => ({ name: first, data: { n: from + n } }));
      await queue.addBulk(many);
    }
    console.log((now() - start) / 1000);
  }
  if (verb === "latency") {
    for (let n = 0; n <= Number(first); n++) {
      await queue.add("mark", { n });
      const returned = now();
      const waited = (await begun(n)) - returned;
      if (n > 0) console.log(waited);
      await sleep(10);
    }
  }
  await queue.close();
  connection.disconnect();
}
