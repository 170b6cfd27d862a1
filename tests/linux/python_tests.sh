# Some of Python's own tests: what became of each. They run as nobody: some try what only the
# superuser may, such as to set the clock.
cat >program.py <<'END_PY'
import os, sys, unittest
from test import support

CHOICE = """
test_asyncio.test_subprocess.SubprocessThreadedWatcherTests.test_communicate
test_asyncio.test_subprocess.SubprocessThreadedWatcherTests.test_kill
test_asyncio.test_unix_events
test_epoll test_fcntl test_mmap
test_os.ForkTests test_os.LinkTests test_os.MemfdCreateTests test_os.EventfdTests
test_os.PidTests test_os.SpawnTests test_os.TestScandir
test_os.TestSendfile test_os.UtimeTests test_os.WalkTests
test_pipes test_poll.PollTests.test_poll1 test_posix.PosixTester
test_posix.TestPosixSpawn.test_setsigmask test_posix.TestPosixSpawn.test_open_file
test_posix.TestPosixSpawn.test_dup2 test_posix.TestPosixSpawn.test_returns_pid
test_pty test_resource test_select test_selectors.EpollSelectorTestCase.test_timeout
test_shutil.TestMove test_shutil.TestCopyFileObj test_shutil.TestZeroCopySendfile
test_signal.PendingSignalsTests test_signal.PosixTests
test_socket.BasicSocketPairTest test_socket.BasicTCPTest test_socket.BasicUDPTest
test_socket.NonBlockingTCPTests test_socket.RecvmsgTCPTest
test_socket.RecvmsgIntoSCMRightsStreamTest test_socket.SendfileUsingSendfileTest
test_socket.TestLinuxAbstractNamespace test_socket.TestUnixDomain
test_subprocess.POSIXProcessTestCase.test_close_fds
test_subprocess.POSIXProcessTestCase.test_exception_bad_executable
test_subprocess.POSIXProcessTestCase.test_pass_fds
test_subprocess.POSIXProcessTestCase.test_preexec
test_subprocess.POSIXProcessTestCase.test_restore_signals
test_subprocess.POSIXProcessTestCase.test_shell_sequence
test_subprocess.POSIXProcessTestCase.test_start_new_session
test_tempfile.TestNamedTemporaryFile test_tempfile.TestMkstemp
test_thread test_threading.BarrierTests test_threading.SemaphoreTests
test_time.TestStrftime4dyear test_time.TimeTestCase.test_monotonic
test_time.TimeTestCase.test_pthread_getcpuclockid test_time.TimeTestCase.test_thread_time
"""
# F_NOTIFY, which is not there, and a crowd of sockets.
WITHOUT = ["test_fcntl_64_bit", "test_above_fd_setsize"]

class Outcomes(unittest.TestResult):
    def __init__(self):
        super().__init__()
        self.buffer = True
        self.names = []

    def note(self, test, outcome):
        self.names.append(f"{test.id()} {outcome}")

    def addSuccess(self, test):
        self.note(test, "ok")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.note(test, "skipped")

def each(tests):
    for test in tests:
        if isinstance(test, unittest.TestSuite):
            yield from each(test)
        elif not any(test.id().endswith(name) for name in WITHOUT):
            yield test

def become_nobody():
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    os.execv(sys.executable, [sys.executable, *sys.argv])

if __name__ == "__main__":
    if os.getuid() == 0:
        become_nobody()
    support.verbose = False
    names = [f"test.{name}" for name in CHOICE.split()]
    tests = unittest.TestSuite(each(unittest.defaultTestLoader.loadTestsFromNames(names)))
    outcomes = Outcomes()
    tests.run(outcomes)
    print("\n".join(outcomes.names))
    for test, why in outcomes.failures + outcomes.errors:
        print(test.id(), "failed")
        print(why, file=sys.stderr)
    print(outcomes.testsRun)
END_PY
chmod a+rwx .
/usr/bin/python3.11 program.py; echo "status $?"
