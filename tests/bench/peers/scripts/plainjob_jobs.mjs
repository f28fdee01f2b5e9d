import fs from "node:fs";
import Database from "better-sqlite3";
import { better, defineQueue, defineWorker } from "plainjob";

const database = new Database("queue.db");
const quiet = { error() {}, warn() {}, info() {}, debug() {} };
const queue = defineQueue({ connection: better(database), logger: quiet });
const [verb, first, second] = process.argv.slice(2);

switch (verb) {
  case "setup":
    break;
  case "clear":
    database.exec("DELETE FROM plainjob_jobs");
    break;
  case "waiting":
    console.log(queue.countJobs());
    break;
  case "one":
    queue.add("mark", 0);
    break;
  case "fill": {
    const count = Number(second);
    const begun = process.hrtime.bigint();
    for (let from = 0; from < count; from += 1000) {
      const many = Array.from({ length: Math.min(1000, count - from) }, (_, n) => from + n);
      queue.addMany(first, many);
    }
    console.log(Number(process.hrtime.bigint() - begun) / 1e9);
    break;
  }
  case "work": {
    const ran = fs.openSync("ran", "a");
    const run = async (job) => {
      const now = `${BigInt(Date.now()) * 1000000n}`;
      fs.writeSync(ran, `${JSON.parse(job.data)} ${now} ${now}\n`);
    };
    const worker = defineWorker("mark", run, { queue, logger: quiet });
    process.on("SIGTERM", () => process.exit(0));
    await worker.start();
    break;
  }
}
if (verb !== "work") {
  queue.close();
}
