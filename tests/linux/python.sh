cat > program.py <<'END'
import asyncio, fcntl, hashlib, json, mmap, multiprocessing, os, pathlib, select, signal, socket
import sqlite3, subprocess, tempfile, threading, zlib

print(sum(range(10**5)), json.dumps({"a": [1, 2.5, None]}), hashlib.sha1(b"x").hexdigest())

async def later(value):
    await asyncio.sleep(0.01)
    return value

async def gathered():
    process = await asyncio.create_subprocess_exec("echo", "async", stdout=subprocess.PIPE)
    print((await process.communicate())[0])
    return await asyncio.gather(*(later(n) for n in range(5)))

print(asyncio.run(gathered()))

results = []
threads = [threading.Thread(target=lambda n=n: results.append(n * n)) for n in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(sorted(results))

server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
peer, _ = server.accept()
client.sendall(b"over loopback")
print(select.select([peer], [], [], 5)[0] == [peer], peer.recv(100))
one, other = socket.socketpair()
socket.send_fds(one, [b"x"], [client.fileno()])
print(len(socket.recv_fds(other, 1, 1)[1]))

with open("file", "w+b") as file:
    file.truncate(8192)
    with mmap.mmap(file.fileno(), 8192) as memory:
        memory[4096:4100] = b"mapd"
    file.seek(4096)
    print(file.read(4))
    fcntl.flock(file, fcntl.LOCK_EX)
    fcntl.lockf(file, fcntl.LOCK_UN)

path = pathlib.Path("tree/deep")
path.mkdir(parents=True)
(path / "link").symlink_to("../nowhere")
os.utime(path, (1, 2))
print(sorted(str(p) for p in pathlib.Path("tree").rglob("*")), path.stat().st_mtime)

signal.signal(signal.SIGALRM, lambda *_: print("alarm"))
signal.setitimer(signal.ITIMER_REAL, 0.05)
signal.pause()

database = sqlite3.connect("data.db")
database.execute("pragma journal_mode=wal")
database.execute("create table t(a)")
database.executemany("insert into t values(?)", [(n,) for n in range(100)])
database.commit()
print(database.execute("select sum(a) from t").fetchone())

if __name__ == "__main__":
    with multiprocessing.Pool(2) as pool:
        print(pool.map(abs, [-1, -2, 3]))
    print(subprocess.run("exit 7", shell=True).returncode)
END
python3 program.py; echo "status $?"
