node -e '
const fs = require("fs"), cp = require("child_process");
console.log([3, 1, 2].sort(), 2n ** 70n, /a(b+)/.exec("xabbb")[1]);
fs.writeFileSync("file", "text"); console.log(fs.readFileSync("file", "utf8"));
console.log(cp.execSync("echo child").toString());
const server = require("net").createServer(s => s.end("hello")).listen(0, "127.0.0.1", () => {
  require("net").connect(server.address().port, "127.0.0.1")
    .on("data", d => console.log(d.toString())).on("close", () => server.close(later));
});
function later() {
  setTimeout(() => console.log("later"), 20);
  setTimeout(() => Promise.all([1, 2].map(async x => x * 2)).then(console.log), 400);
}
'; echo "status $?"
