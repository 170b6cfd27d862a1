cat > program.py <<'END'
import os, pty, select, signal, sys, termios, tty

def collect(master):
    shown = b""
    while True:
        try:
            part = os.read(master, 1000)
        except OSError as error:
            return shown, error.errno
        shown += part

# What a shell with a terminal does, key by key.
child, master = pty.fork()
if child == 0:
    os.environ.update(PS1="$ ", PATH=os.environ["PATH"], TERM="dumb")
    os.execvp("bash", ["bash", "--norc", "--noprofile", "--noediting"])

def until(text):
    shown = b""
    while text not in shown:
        shown += os.read(master, 1000)
    return shown

print(until(b"$ "))
for line, prompt in [
    (b"stty rows 33 cols 44; stty size; test -t 0 && echo yes\n", b"yes\r\n$ "),
    (b"sleep 100\n", b"sleep 100\r\n"),
]:
    os.write(master, line)
    print(until(prompt))
def doing(pid):
    with open(f"/proc/{pid}/stat") as fields:
        return fields.read().split()[1:3]

# Until the job sleeps, and the shell waits for it.
while doing(os.tcgetpgrp(master)) != ["(sleep)", "S"] or doing(child) != ["(bash)", "S"]:
    select.select([], [], [], 0.01)
os.write(master, b"\x1a")
print(until(b"$ "))
os.write(master, b"kill %1; wait; jobs; exit 5\n")
print(collect(master)[1], os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

# A program that sets its terminal and is told of its size.
master, slave = pty.openpty()
print(os.ttyname(slave) == f"/dev/pts/{os.path.basename(os.ttyname(slave))}", os.isatty(slave))
tty.setraw(slave)
os.write(master, b"raw\r\x03")
print(os.read(slave, 100), termios.tcgetwinsize(slave))
termios.tcsetwinsize(slave, (12, 34))
print(os.get_terminal_size(slave))
os.close(slave)
print(collect(master))
END
python3 program.py; echo "status $?"
script -qec 'tty >/dev/null && stty -a | head -n 1; echo "in a script"; exit 6' typescript </dev/null >shown
echo "status $?"
cat -v shown
grep -c 'in a script' typescript
