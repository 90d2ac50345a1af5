# SPDX-License-Identifier: Apache-2.0
# terminal.py COMMAND… runs a command on a terminal of 80 columns. Standard input has pairs of lines: a text to wait for, and the
# keys to send then, as a JSON string. Prints what the terminal showed, without colours; ends with the command's status.
import fcntl, json, os, pty, re, struct, sys, termios

pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
shown = ""


def more():
    global shown
    try:
        data = os.read(terminal, 65536)
    except OSError:
        return False
    shown += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", data.decode(errors="replace"))
    return data != b""


lines = sys.stdin.read().splitlines()
for text, keys in zip(lines[::2], lines[1::2]):
    while text not in shown and more():
        pass
    os.write(terminal, json.loads(keys).encode())
while more():
    pass
print(shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
